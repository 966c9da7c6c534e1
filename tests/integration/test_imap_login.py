"""IMAP up to the login: right and wrong passwords, and input that nobody honest sends."""
import contextlib
import imaplib
import json
import re
import socket

import pytest

from conftest import PATIENCE, Server, free_port, wait_for

HOST = "127.0.0.1"
PASSWORD = "correct horse battery"


@pytest.fixture
def make_imap(home):
    made = []

    def make(settings="", auth="", **options):
        smtp, imap, nobody = free_port(), free_port(), free_port()
        server = Server(
            home, listen=f'listen = ( {{ address = "{HOST}:{smtp}"; service = "smtp"; }},'
                         f' {{ address = "{HOST}:{imap}"; service = "imap"; }} );',
            settings=f'backends = ( {{ name = "away"; imap = "{HOST}:{nobody}"; }} );\n'
                     f'auth: {{ delay = "0s"; {auth} }};\n{settings}', **options)
        server.port, server.imap = smtp, imap
        made.append(server)
        return server.start()

    yield make
    for server in made:
        if server.process and server.process.poll() is None:
            server.stop()


@pytest.fixture
def server(make_imap):
    return make_imap()


class Talk:
    def __init__(self, server, source=HOST):
        self.socket = socket.create_connection((HOST, server.imap), PATIENCE, source_address=(source, 0))
        self.lines = self.socket.makefile("rb")

    def line(self):
        return self.lines.readline()

    def send(self, what):
        self.socket.sendall(what)

    def end(self):
        """All is said, unless the other side has ended it already."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as e:
            raise ConnectionResetError from e

    def ask(self, what):
        """The answer to the command: its last line."""
        self.send(what + b"\r\n")
        tag = what.split(b" ")[0]
        for line in self.lines:
            if line.startswith((tag + b" ", b"* BYE", b"* BAD", b"+ ")):
                return line
        return b""

    def close(self):
        self.lines.close()
        self.socket.close()


def talk_to(server, source=HOST):
    talk = Talk(server, source)
    assert talk.line().startswith(b"* OK [CAPABILITY IMAP4rev1 ")
    return talk


def campaigns_after(server, *first):
    """How many programs are campaigns after guesses from 12 networks, each with these words before?"""
    for i in range(12):
        with contextlib.closing(talk_to(server, f"127.77.{i}.9")) as talk:
            for words in first:
                assert talk.ask(words).startswith(b"b OK")
            assert talk.ask(b"a LOGIN admin@example.test guess%d" % i).startswith(b"a NO")
    told = [json.loads(line) for line in server.cli("campaigns", "--json").splitlines()]
    return len([one for one in told if one.get("by") == "the same program"])


@pytest.mark.parametrize("first,campaigns", [((), 0), ((b'b ID ("name" "guesser")',), 1)])
def test_a_program_that_says_nothing_of_itself_is_no_campaign(make_imap, first, campaigns):
    assert campaigns_after(make_imap(auth="campaign-at = 5;"), *first) == campaigns


def still_serves(server):
    assert talk_to(server).ask(b"a NOOP") == b"a OK Done\r\n"


def test_a_wrong_password_and_a_right_one_are_told_apart_by_imaplib(server):
    client = imaplib.IMAP4(HOST, server.imap, timeout=PATIENCE)
    for user in ("alice@example.test", "nobody@example.test"):
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            client.login(user, "wrong")
    # its mailbox server is not there: that is no wrong password
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        client.login("alice@example.test", PASSWORD)
    assert client.logout()[0] == "BYE"
    server.wait_log(r"auth-failed:1")


def test_a_password_in_each_way_to_write_it_is_the_same_password(server):
    def got(answer):
        return b"[UNAVAILABLE]" in answer

    user, secret = b"alice@example.test", PASSWORD.encode()
    assert got(talk_to(server).ask(b'a LOGIN "%s" "%s"' % (user, secret)))
    assert got(talk_to(server).ask(b'a LOGIN %s {%d+}\r\n%s' % (user, len(secret), secret)))
    talk = talk_to(server)
    assert talk.ask(b"a LOGIN {%d}" % len(user)).startswith(b"+ ")
    talk.send(user + b" {%d}\r\n" % len(secret))
    assert talk.line().startswith(b"+ ")
    talk.send(secret + b"\r\n")
    assert got(talk.line())
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        imaplib.IMAP4(HOST, server.imap, timeout=PATIENCE).authenticate(
            "PLAIN", lambda unused: b"\0%s\0%s" % (user, secret))


def test_what_a_client_calls_itself_is_in_the_log(server):
    talk = talk_to(server)
    assert talk.ask(b'a ID ("name" "Thunderbird \x1b[1m" "version" "115.3")') == b"a OK Done\r\n"
    assert talk.ask(b"b LOGOUT").startswith(b"* BYE")
    server.wait_log(r'end=quit .*helo="?Thunderbird \[1m 115\.3"?')


BAD = {
    "a tag of a megabyte": b"x" * (1 << 20) + b" NOOP\r\n",
    "a name of twelve kilobytes": b"a LOGIN " + b"x" * 12288 + b" secret\r\n",
    "a literal of an exabyte": b"a LOGIN {1000000000000000000+}\r\n",
    "literals without end": b'a ID ("a" {4000+}\r\n' + (b"x" * 4000 + b' "a" {4000+}\r\n') * 1000,
    "a web browser": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a ClientHello in the clear": b"\x16\x03\x01\x02\x00\x01" + b"\0" * 600,
    "binary": bytes(range(256)) * 64,
    "NUL bytes": b"a NOOP\0\r\n" * 30,
    "a thousand commands": b"a NOOP\r\n" * 1000,
}


@pytest.mark.parametrize("what", BAD, ids=str)
def test_bad_input_ends_the_session_or_is_refused_and_harms_nobody(server, what):
    talk = Talk(server)
    with contextlib.suppress(ConnectionError):
        talk.send(BAD[what])
        talk.end()
        said = talk.lines.read()
        assert b"* BYE" in said or b" BAD " in said
        assert len(said) < 65536
    still_serves(server)
    assert "trouble" not in server.log() and "died" not in server.log()


def test_what_is_in_a_literal_is_never_a_command(server):
    talk = talk_to(server)
    talk.send(b"a APPEND INBOX {20+}\r\nb LOGOUT\r\nc LOGOUT\r\n\r\n")
    assert talk.line().startswith(b"a BAD ")
    assert talk.ask(b"d NOOP") == b"d OK Done\r\n"


def test_who_never_reads_is_served_no_further_and_leaves_at_last(make_imap):
    server = make_imap(settings='mailbox: { login-timeout = "5s"; };\nsmtp: { junk = 10000; };')
    talk = Talk(server)
    talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    talk.socket.settimeout(1)
    with contextlib.suppress(OSError):
        while True:
            talk.send(b"a CAPABILITY\r\n" * 1000)
    with server.smtp() as other:  # there nobody has to log in within 5 s
        assert other.noop()[0] == 250
    server.wait_log(r"end=(timeout|commands|reset)")


def test_who_is_refused_at_connect_hears_it_in_imap(make_imap):
    server = make_imap(settings='guard: { mode = "enforce"; };')
    server.cli("ban", "127.0.0.9", "--for", "1h", "--force")

    def refused():
        with contextlib.closing(Talk(server, "127.0.0.9")) as talk:
            said = talk.line()
        return said if said.startswith(b"* BYE") else None
    assert re.fullmatch(rb"\* BYE Refused by policy \[O[0-9A-Z]{6}\]\r\n", wait_for("the ban to hold", refused))
    still_serves(server)


def rss_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


@pytest.mark.parametrize("say", [b"", b"a LOGIN somebody@example.test half-a-pass"], ids=["silent", "half-a-line"])
def test_two_thousand_held_sessions_take_at_most_4_kib_each(make_imap, say):
    server = make_imap(settings='sessions: { per-address = 4000; };\nrun: { edges = 1; };\n'
                                'guard: { connect-rate = 0; };')
    edge = server.pids("edge")
    before = sum(map(rss_of, edge))
    with contextlib.ExitStack() as stack:
        for _ in range(2000):
            talk = talk_to(server)
            stack.callback(talk.close)
            talk.send(say)
        still_serves(server)
        taken = sum(map(rss_of, edge)) - before
    assert taken <= 2000 * 4096, f"{taken / 2000:.0f} bytes each"
