"""What lies between a client and its mailbox server: big mail, TLS there, addresses, and what does not cut it."""
import hashlib
import imaplib
import json
import poplib
import re
import shutil
import socket
import ssl
import tempfile
from pathlib import Path

import pytest

from conftest import PATIENCE, wait_for
from mailboxes import HOST, Dovecot, backend, certificate, make_front, needs_mailboxes

pytestmark = needs_mailboxes

PASSWORD = "correct horse battery"
USERS = [f"user{n}@example.test" for n in range(1, 6)]
READER, BIG = USERS[0], USERS[1]
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def cellar():
    top = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    top.chmod(0o755)
    cert = certificate(top)
    with Dovecot(top / "dovecot", USERS, PASSWORD, cert) as dovecot:
        dovecot.certificate = cert
        dovecot.put(READER, b"Subject: one\r\n\r\ntext\r\n")
        yield dovecot
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def make(cellar, home):
    made = []

    def make(backends=None, **options):
        server = make_front(home, cellar.certificate, backends or [backend(cellar)],
                            settings=f'delivery: {{ authorities = "{cellar.certificate[0]}"; }};\n', **options)
        made.append(server)
        return server.start()
    yield make
    for server in made:
        if server.process and server.process.poll() is None:
            server.stop()
        for line in server.log().splitlines():
            assert "AddressSanitizer" not in line and "runtime error" not in line, line


def anything():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect(server, tls=True):
    if tls:
        return imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"], ssl_context=anything(), timeout=PATIENCE)
    return imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=PATIENCE)


def log_in(server, user=READER, tls=True):
    client = connect(server, tls)
    client.login(user, PASSWORD)
    return client


def answer(server, user=READER):
    """What LOGIN is answered with."""
    client = connect(server)
    try:
        client.login(user, PASSWORD)
        client.logout()
        return "in"
    except imaplib.IMAP4.error as error:
        client.shutdown()
        return str(error)


def session_lines(server, user=READER):
    return [line for line in server.log().splitlines() if "log=session" in line and f"login={user}" in line]


# ---- big mail

@pytest.mark.parametrize("tls, to_server", [(False, "none"), (True, "none"), (True, "implicit")],
                         ids=["plain", "tls", "tls both"])
def test_fifty_megabytes_come_and_go_as_they_are(make, cellar, tls, to_server):
    server = make(backends=[in_tls(cellar, to_server)] if to_server != "none" else None)
    lines = b"".join(b"%08d " % n + b"x" * 67 + b"\r\n" for n in range(MEGABYTE // 78))
    mail = b"Subject: big\r\n\r\n" + lines * 50
    client = log_in(server, BIG, tls)
    assert client.append("INBOX", None, None, mail)[0] == "OK"
    count = client.select("INBOX")[1][0].decode()
    got = client.fetch(count, "(BODY.PEEK[])")[1][0][1]
    assert hashlib.sha256(got).digest() == hashlib.sha256(mail).digest()
    client.store(count, "+FLAGS", r"(\Deleted)")
    client.expunge()
    client.logout()
    server.wait_log(rf"log=session .*login={BIG}.*backend=dovecot read=(\d+)")
    line = session_lines(server, BIG)[-1]
    assert re.search("end=(quit|hung-up)", line)  # whoever closes first
    assert int(re.search(r"read=(\d+)", line)[1]) > len(mail) < int(re.search(r"bytes=(\d+)", line)[1])


def test_who_does_not_read_holds_up_nobody_and_gets_all_of_it_later(make, cellar):
    server = make()
    mail = b"Subject: big\r\n\r\n" + (b"y" * 76 + b"\r\n") * (20 * MEGABYTE // 78)
    cellar.put(USERS[2], mail)
    with socket.create_connection(("127.0.0.1", server.ports["imap"]), PATIENCE) as raw:
        file = raw.makefile("rb")
        file.readline()
        raw.sendall(f'a LOGIN "{USERS[2]}" "{PASSWORD}"\r\nb SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\nd LOGOUT\r\n'.encode())
        while not (line := file.readline()).startswith(b"* 1 FETCH"):
            assert line
        for _ in range(5):  # more has come than sockets hold
            assert answer(server) == "in"
        size = int(re.search(rb"\{(\d+)\}", line)[1])
        assert hashlib.sha256(file.read(size)).digest() == hashlib.sha256(mail).digest()
        assert b"d OK" in file.read()


# ---- TLS on the way there

def in_tls(dovecot, how, name=HOST, verify="true"):
    ports = {"imap": dovecot.ports["imap"], "pop3": dovecot.ports["pop3"]}
    if how == "implicit":
        ports = {"imap": dovecot.ports["imaps"], "pop3": dovecot.ports["pop3s"]}
    return (f'{{ name = "dovecot"; imap = "{name}:{ports["imap"]}"; pop3 = "{name}:{ports["pop3"]}"; '
            f'tls = "{how}"; verify = {verify}; identity = "id"; }}')


@pytest.mark.parametrize("how", ["starttls", "implicit"])
def test_the_server_behind_may_be_met_inside_tls(make, cellar, how):
    server = make(backends=[in_tls(cellar, how)])
    client = log_in(server)
    assert client.select("INBOX") == ("OK", [b"1"])
    client.logout()
    wait_for("Dovecot to say that it was in TLS", lambda: re.search(
        rf"imap-login: Info: Login: user=<{READER}>.*(TLS|secured)", cellar.log()))


@pytest.mark.parametrize("how", ["starttls", "implicit"])
def test_a_certificate_for_another_name_is_not_believed(make, cellar, how):
    server = make(backends=[in_tls(cellar, how, name="127.0.0.1")])
    assert "UNAVAILABLE" in answer(server)
    server.wait_log(r"\bbackend\b.*dovecot.*(certificate|mismatch|IP address)")


@pytest.mark.parametrize("how", ["starttls", "implicit"])
def test_unless_nobody_wants_to_know(make, cellar, how):
    server = make(backends=[in_tls(cellar, how, name="127.0.0.1", verify="false")])
    assert answer(server) == "in"


# ---- its addresses

def test_an_address_that_does_not_answer_is_followed_by_the_next(make, cellar):
    """localhost has two, and Dovecot listens on one of them."""
    server = make(backends=[f'{{ name = "dovecot"; imap = "localhost:{cellar.ports["imap"]}"; }}'])
    assert [answer(server) for _ in range(3)] == ["in"] * 3


# ---- its limits

@pytest.mark.parametrize("source", ["backend", "database"])
def test_a_limit_of_the_server_is_told_as_one(make, cellar, source):
    with Dovecot(cellar.top.parent / f"small-{source}", [READER], PASSWORD, cellar.certificate,
                 more="mail_max_userip_connections = 1\n") as small:
        server = make(backends=[backend(small)], sources=f'( {{ kind = "{source}"; }} )')
        if source == "database":
            server.cli("user", "add", READER, "--password", PASSWORD)
        first = log_in(server)

        def full():
            """Dovecot lets in whoever it cannot count within 5 s."""
            said = answer(server)
            assert said == "in" or "[LIMIT]" in said
            return said != "in"
        wait_for("the limit", full)
        pop = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=anything(), timeout=PATIENCE)
        pop.user(READER)
        assert pop.pass_(PASSWORD).startswith(b"+OK")  # counted apart there
        pop.quit()
        first.logout()
        wait_for("room", lambda: answer(server) == "in")


# ---- what does not cut a session, and what does

def test_a_reload_and_the_death_of_other_roles_cut_no_session(make, cellar):
    server = make()
    client = log_in(server)
    client.select("INBOX")
    server.cli("reload")
    assert client.noop()[0] == "OK"
    for role in ("auth", "store"):
        killed = set(server.kill_role(role))
        wait_for(f"another {role}", lambda r=role, k=killed: set(server.pids(r)) - k)
        assert client.noop()[0] == "OK"
    wait_for("a login as before", lambda: answer(server) == "in")
    client.logout()


def test_a_session_is_shown_and_can_be_kicked(make, cellar):
    server = make()
    client = log_in(server)
    client.select("INBOX")

    def shown():
        rows = map(json.loads, server.cli("--json", "sessions", "--user", READER).splitlines())
        return [r for r in rows if r["state"] == "reads"]
    wait_for("the session to be shown", shown)
    server.cli("kick", READER)

    def cut():
        try:
            client.noop()
        except (imaplib.IMAP4.abort, OSError):
            return True
    wait_for("the session to be cut", cut)
    wait_for("its line in the log", lambda: session_lines(server))
    assert "backend=dovecot" in session_lines(server)[-1]


def test_when_the_client_vanishes_so_does_its_session_there(make, cellar):
    server = make()
    before = len(re.findall(r"imap\(user4@example.test\).*(Connection closed|Logged out|Disconnected)", cellar.log()))
    client = log_in(server, USERS[3])
    client.select("INBOX")
    client.shutdown()
    wait_for("Dovecot to notice", lambda: len(re.findall(
        r"imap\(user4@example.test\).*(Connection closed|Logged out|Disconnected)", cellar.log())) > before)
    wait_for("the end in the log", lambda: session_lines(server, USERS[3]))
    assert re.search(r"end=(hung-up|reset)", session_lines(server, USERS[3])[-1])
