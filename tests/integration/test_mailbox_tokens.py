"""Tokens (OAUTHBEARER, XOAUTH2) that only the mailbox server can judge: they are passed on to it."""
import base64
import imaplib
import shutil
import socket
import tempfile
import time
from pathlib import Path

import pytest

from conftest import PATIENCE, free_port, wait_for
from line_mailboxes import Mailboxes
from mailboxes import Dovecot, backend, certificate, make_front, needs_mailboxes

jwt = pytest.importorskip("jwt")

ANN = "ann@example.test"
SECRET = b"thirty-two bytes that nobody has"
MECHANISMS = 'delay = "0s"; without-tls = true; mechanisms = "plain oauthbearer xoauth2";'
MORE = """
auth_mechanisms = plain login oauthbearer xoauth2
passdb {{
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = {top}/oauth2.conf
}}
"""
OAUTH2 = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={top}/keys/
username_attribute = email
"""


def token(user=ANN, secret=SECRET, **more):
    now = int(time.time())
    return jwt.encode({"email": user, "sub": user, "iat": now - 5, "exp": now + 300, **more}, secret, "HS256")


def words(mechanism, of, user=ANN):
    who = f"n,a={user},\x01" if mechanism == "OAUTHBEARER" else f"user={user}\x01"
    return f"{who}auth=Bearer {of}\x01\x01".encode()


def imap(server, mechanism, of, user=ANN):
    """The session, or the refusal."""
    m = imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=PATIENCE)
    said = [words(mechanism, of, user), b"\x01"]
    try:
        m.authenticate(mechanism, lambda unused: said.pop(0))
    except imaplib.IMAP4.error as e:
        m.shutdown()
        return str(e)
    return m


def pop3(server, mechanism, of):
    with socket.create_connection(("127.0.0.1", server.ports["pop3"]), PATIENCE) as s, s.makefile("rb") as lines:
        assert lines.readline().startswith(b"+OK")
        s.sendall(f"AUTH {mechanism} {base64.b64encode(words(mechanism, of)).decode()}\r\nSTAT\r\n".encode())
        assert lines.readline().startswith(b"+OK"), mechanism
        return lines.readline()


@pytest.fixture(scope="module")
def place():
    top = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    top.chmod(0o755)
    cert = certificate(top)
    yield top, cert
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="module")
def dovecot(place):
    top, cert = place
    keys = top / "keys" / "default" / "HS256"
    keys.mkdir(parents=True)
    (keys / "default").write_bytes(base64.b64encode(SECRET))
    (top / "oauth2.conf").write_text(OAUTH2.format(top=top))
    with Dovecot(top / "dovecot", [ANN], "no password", cert, more=MORE.format(top=top)) as one:
        one.put(ANN, b"Subject: one\r\n\r\ntext\r\n")
        yield one


@pytest.fixture
def front(place, home):
    made = []

    def make(*backends):
        server = make_front(home, place[1], backends, auth=MECHANISMS)
        made.append(server)
        return server.start()
    yield make
    for server in made:
        server.stop()


@needs_mailboxes
def test_dovecot_judges_tokens_by_way_of_us(front, dovecot):
    server = front(backend(dovecot))
    for mechanism in "OAUTHBEARER", "XOAUTH2":
        m = imap(server, mechanism, token())
        assert not isinstance(m, str), m + dovecot.log()
        assert m.select("INBOX")[1] == [b"1"]
        m.logout()
        assert pop3(server, mechanism, token()).startswith(b"+OK 1 ")
        for wrong in token(secret=b"another that is as long as it is"), token(exp=int(time.time()) - 3600), "opaque":
            assert "AUTHENTICATIONFAILED" in imap(server, mechanism, wrong), dovecot.log()
    # nobody reads as somebody else
    assert "AUTHENTICATIONFAILED" in imap(server, "XOAUTH2", token("ben@example.test"))
    assert token().split(".")[0] not in server.log()
    server.wait_log(r"log=login .*mechanism=oauthbearer")


@needs_mailboxes
def test_a_token_goes_through_tls_to_the_mailbox_server(front, dovecot):
    server = front(f'{{ name = "dovecot"; imap = "localhost:{dovecot.ports["imaps"]}"; tls = "implicit"; '
                   'verify = false; }')
    m = imap(server, "OAUTHBEARER", token())
    assert not isinstance(m, str), m
    m.logout()


def test_what_arrives_there_is_what_the_client_gave_and_a_wrong_one_arrives_once(front):
    port, long = free_port(), "x" * 3000
    right = [words("OAUTHBEARER", t) for t in ("right", long)] + [words("XOAUTH2", "right")]
    accepted = {base64.b64encode(w).decode() for w in right}
    with Mailboxes(port, lets_in=lambda said: said.split()[1] in accepted,
                   offers="AUTH=OAUTHBEARER AUTH=XOAUTH2") as far:
        server = front(f'{{ name = "far"; imap = "127.0.0.1:{port}"; }}')
        for mechanism, of in ("OAUTHBEARER", "right"), ("OAUTHBEARER", long), ("XOAUTH2", "right"):
            m = imap(server, mechanism, of)
            assert not isinstance(m, str), m
            m.shutdown()
        assert [said.split() for said in far.said] == [
            [w, base64.b64encode(b).decode()] for w, b in zip(["OAUTHBEARER", "OAUTHBEARER", "XOAUTH2"], right)]
        for _ in range(3):
            assert "AUTHENTICATIONFAILED" in imap(server, "OAUTHBEARER", "wrong")
        assert len(far.said) == 4


def test_a_server_that_knows_no_tokens_is_told_none_and_the_user_hears_later(front):
    port = free_port()
    with Mailboxes(port, offers="AUTH=PLAIN") as far:
        server = front(f'{{ name = "far"; imap = "127.0.0.1:{port}"; }}')
        assert "[UNAVAILABLE]" in imap(server, "OAUTHBEARER", "a-token")
        assert not far.said
        wait_for("it to be told", lambda: "AUTH=OAUTHBEARER is not offered there" in server.log())
