"""Several mailbox servers: whose mail is where, who is moved, who is drained."""
import contextlib
import imaplib
import json
import select
import shutil
import socket
import ssl
import tempfile
from pathlib import Path

import pytest

from conftest import PATIENCE, free_port, wait_for
from line_mailboxes import Mailboxes
from mailboxes import Dovecot, backend, certificate, make_front, needs_mailboxes

pytestmark = needs_mailboxes

PASSWORD = "correct horse battery"
USERS = [f"user{n}@example.test" for n in range(1, 13)]


@pytest.fixture(scope="module")
def cellars():
    """Two mailbox servers; every mailbox says on which of them it is."""
    top = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    top.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, top, ignore_errors=True)
        cert = certificate(top)
        both = {name: stack.enter_context(Dovecot(top / name, USERS, PASSWORD, cert)) for name in "ab"}
        for name, dovecot in both.items():
            for user in USERS:
                dovecot.put(user, f"Subject: mail on {name}\r\n\r\ntext\r\n".encode())
        yield cert, both


@pytest.fixture
def front(home, cellars):
    cert, both = cellars
    made = []

    def make(more_b="", settings="", only_b=False):
        a = [] if only_b else [backend(both["a"], "a")]
        server = make_front(home, cert, [*a, backend(both["b"], "b", more=more_b)],
                            settings='mailbox: { check-every = "200ms"; };\n' + settings)
        made.append(server.start())
        return server
    yield make
    for server in made:
        server.stop()


def anything():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def log_in(server, user):
    m = imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"], ssl_context=anything(), timeout=PATIENCE)
    try:
        m.login(user, PASSWORD)
    except imaplib.IMAP4.error:
        m.shutdown()
        raise
    return m


def where(server, user):
    """On which server is the mail that this user reads?"""
    m = log_in(server, user)
    try:
        m.select("INBOX", readonly=True)
        text = m.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1]
        return text.decode().split()[-1]
    finally:
        m.logout()


def refusal(server, user):
    try:
        log_in(server, user).logout()
    except imaplib.IMAP4.error as e:
        return str(e)
    return ""


def rows(server, *words):
    return [json.loads(line) for line in server.cli(*words, "--json").splitlines()]


def backends(server):
    return {row["name"]: row for row in rows(server, "backend", "list")}


def test_the_same_user_always_comes_to_the_same_server_and_each_server_has_some(front):
    server = front()
    first = {user: where(server, user) for user in USERS}
    assert set(first.values()) == {"a", "b"}
    assert {user: where(server, user) for user in USERS} == first


def test_a_user_is_where_the_configuration_or_the_administrator_says(front):
    server = front(more_b="weight = 0;",
                   settings=f'mailboxes = ( {{ user = "{USERS[1].upper()}"; backend = "b"; }} );\n')
    assert [where(server, u) for u in USERS[:3]] == ["a", "b", "a"]
    server.cli("user", "backend", USERS[2], "b")
    assert where(server, USERS[2]) == "b"
    assert rows(server, "user", "backend", USERS[2]) == [
        {"address": USERS[2], "backend": "b", "from": "database"}]
    assert rows(server, "user", "backend", USERS[1])[0]["from"] == "mailboxes"
    refused = server.cli("user", "backend", USERS[1], "a", check=False)
    assert refused.returncode == 1 and "goes first" in refused.stderr
    # the sessions that are there stay; who is kicked comes back to the new one
    m = log_in(server, USERS[2])
    server.cli("user", "backend", USERS[2], "--remove")
    assert m.noop()[0] == "OK"
    server.cli("kick", USERS[2])
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        while True:
            m.noop()
    m.shutdown()
    assert where(server, USERS[2]) == "a"


def test_a_server_without_a_weight_is_for_those_only_who_are_named(front):
    server = front(more_b="weight = 0;", only_b=True)
    server.cli("user", "backend", USERS[0], "b")
    assert where(server, USERS[0]) == "b"
    assert refusal(server, USERS[1]) != ""


def test_a_reload_brings_mailbox_servers_and_takes_them_away(front, cellars):
    server = front(only_b=True)
    before = server.config.read_text()
    there = log_in(server, USERS[0])
    both = before.replace("backends = ( ", f'backends = ( {backend(cellars[1]["a"], "a")}, ', 1)
    server.config.write_text(both + f'mailboxes = ( {{ user = "{USERS[0]}"; backend = "a"; }} );\n')
    server.cli("reload")
    wait_for("the new server to be used", lambda: where(server, USERS[0]) == "a")
    assert set(backends(server)) == {"a", "b"}
    assert there.noop()[0] == "OK"
    wait_for("only the old session to be counted", lambda: backends(server)["b"]["sessions"] == 1)
    server.config.write_text(before)
    server.cli("reload")
    wait_for("the old one to be used", lambda: where(server, USERS[0]) == "b")
    assert there.noop()[0] == "OK"
    there.logout()


def test_a_server_that_is_drained_keeps_its_sessions_and_gets_no_new_ones(front):
    server = front(more_b="weight = 0;")
    server.cli("user", "backend", USERS[0], "b")
    there = log_in(server, USERS[0])
    wait_for("its session to be counted", lambda: backends(server)["b"]["sessions"] == 1)
    assert "1 is still there" in server.cli("backend", "drain", "b")
    assert backends(server)["b"]["drained"] is True and backends(server)["a"]["drained"] is False
    for _ in range(5):  # at once, whichever edge is asked
        assert "[UNAVAILABLE]" in refusal(server, USERS[0])
    assert there.noop()[0] == "OK"
    assert where(server, USERS[1]) == "a"
    # an edge that is new knows it as well
    server.kill_role("edge")
    server.wait_ready()
    there.shutdown()
    assert "[UNAVAILABLE]" in wait_for("an answer", lambda: answer(server, USERS[0]))
    server.stop()
    server.start()
    assert backends(server)["b"]["drained"] is True
    assert "[UNAVAILABLE]" in refusal(server, USERS[0])
    server.cli("backend", "resume", "b")
    wait_for("it to serve again", lambda: refusal(server, USERS[0]) == "")
    assert server.cli("backend", "resume", "b", check=False).returncode == 1
    assert "no \"c\" among backends" in server.cli("backend", "drain", "c", check=False).stderr


def answer(server, user):
    """What somebody hears who may come while an edge is being replaced."""
    with contextlib.suppress(OSError):
        return refusal(server, user)
    return ""


def test_the_list_says_who_does_not_answer_and_others_take_over(front, cellars):
    server = front()
    on_b = next(u for u in USERS if where(server, u) == "b")
    row = wait_for("his login to be counted", lambda: (r := backends(server)["b"])["logins"] >= 1 and r)
    assert row["imap"] == "well" and row["weight"] == 1
    cellars[1]["b"].stop()
    try:
        assert where(server, on_b) == "a"
        wait_for("it to be seen", lambda: backends(server)["b"]["imap"].startswith("does not answer"))
        server.wait_log(r"log=backend .*backend=b .*state=down")
    finally:
        cellars[1]["b"].start()
    wait_for("it to be well", lambda: backends(server)["b"]["imap"] == "well")
    wait_for("him to be where he was", lambda: where(server, on_b) == "b")


def rename(server, name):
    """A reload, until the edge has it."""
    server.config.write_text(server.config.read_text().replace('hostname = "', f'hostname = "{name}.', 1))
    server.cli("reload")

    def greeted():
        with contextlib.closing(server.talk()) as talk:
            return talk.reply().startswith(f"220 {name}.".encode())
    wait_for("the new name", greeted)


LOGIN = b"a LOGIN user1@example.test anything\r\n"


def test_a_login_that_looks_for_another_server_outlives_two_reloads(home, cellars):
    ports = free_port(), free_port()
    rows = [f'{{ name = "{p}"; imap = "127.0.0.1:{p}"; }}' for p in ports]
    server = make_front(home, cellars[0], rows, auth="without-tls = true;",
                        settings='run: { edges = 1; };\nmailbox: { connect-timeout = "60s"; };\n')
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(Mailboxes(port)) for port in ports]
        for one in both:
            one.greets.clear()
        server.start()
        stack.callback(server.stop)
        client = stack.enter_context(socket.create_connection(("127.0.0.1", server.ports["imap"]), PATIENCE))
        lines = stack.enter_context(client.makefile("rb"))
        lines.readline()
        client.sendall(LOGIN)

        def asked():
            """The store has 10 s to say that it names none; who hears "later" comes again."""
            if select.select([client], [], [], 0)[0]:
                assert b"[UNAVAILABLE]" in lines.readline()
                client.sendall(LOGIN)
            return next((m for m in both if m.there), None)
        first = wait_for("a server to be asked", asked)
        second = both[first is both[0]]
        rename(server, "one")
        first.cut()
        wait_for("the other one to be asked", lambda: second.there)
        rename(server, "two")
        second.greets.set()
        assert lines.readline().startswith(b"a OK ")
        assert "log=role-ended" not in server.log()
