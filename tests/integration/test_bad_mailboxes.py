"""A mailbox server behind us that hangs, lies or vanishes: its users hear so, everybody else nothing."""
import contextlib
import imaplib
import poplib
import shutil
import socketserver
import tempfile
import threading
from pathlib import Path

import pytest

from conftest import free_port, wait_for
from hops import drips, gone, half_a_line, hang, reset
from mailboxes import Dovecot, backend, certificate, make_front, needs_mailboxes
from test_reading_rules import Imap, Pop3

pytestmark = needs_mailboxes

PASSWORD = "correct horse battery"
HIS, HERS = "his@example.test", "hers@example.test"


def nonsense(talk):
    talk.say("\xff\xfeHTTP/1.1 200 OK")
    hang(talk)


def endless_line(talk):
    with contextlib.suppress(OSError):
        for _ in range(200):
            talk.request.sendall(b"* OK " + b"x" * 10000)


def endless_lines(talk):
    with contextlib.suppress(OSError):
        while not talk.hop.stop.is_set():
            talk.request.sendall(b"* OK still here\r\n" * 100)


def endless_literal(talk):
    with contextlib.suppress(OSError):
        talk.request.sendall(b"* CAPABILITY {4294967295}\r\n")
        for _ in range(200):
            talk.request.sendall(b"x" * 10000)


def says_goodbye(talk):
    talk.say("-ERR [SYS/TEMP] going down" if talk.hop.pop3 else "* BYE going down")


class Dialogue(socketserver.StreamRequestHandler):
    """Enough of IMAP and POP3 for somebody to log in."""

    def setup(self):
        super().setup()
        self.hop = self.server.hop

    def say(self, text):
        self.request.sendall(text.encode("latin-1") + b"\r\n")

    def turn(self, at):
        if not self.hop.ill or at != self.hop.at:
            return
        with self.hop.lock:
            self.hop.misdeeds += 1
        self.hop.do(self)
        raise EOFError

    def handle(self):
        with contextlib.suppress(OSError, EOFError):
            self.turn("greeting")
            self.say("+OK here" if self.hop.pop3 else "* OK here")
            while line := self.rfile.readline().decode("latin-1").strip():
                (self.pop3 if self.hop.pop3 else self.imap)(line)

    def imap(self, line):
        tag, verb = (line.upper().split() + [""])[:2]
        tag = line.split()[0]
        if verb == "CAPABILITY":
            self.turn("capability")
            self.say("* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN")
        elif verb in ("LOGIN", "AUTHENTICATE"):
            self.turn("login")
        else:
            self.turn("relayed")
        self.say(f"{tag} OK done")

    def pop3(self, line):
        verb = line.upper().split()[0]
        if verb == "USER":
            self.turn("user")
        elif verb in ("PASS", "AUTH"):
            self.turn("login")
        self.say("+OK 0 0")


class Mailboxes:
    """One that can be told to misbehave at one point of the dialogue."""

    def __init__(self, port, pop3=False):
        self.at, self.do, self.pop3, self.ill, self.misdeeds = None, None, pop3, False, 0
        self.lock, self.stop = threading.Lock(), threading.Event()
        kind = socketserver.ThreadingTCPServer
        kind.allow_reuse_address = kind.daemon_threads = True
        self.server = kind(("127.0.0.1", port), Dialogue)
        self.server.hop = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def fall_ill(self, at, do):
        self.at, self.do, self.ill = at, do, True

    def heal(self):
        self.ill = False
        self.stop.set()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.heal()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def front():
    """His mailbox is at the port where each test has its own bad server, hers at a Dovecot."""
    top = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    top.chmod(0o755)
    cert, (imap, pop3) = certificate(top), (free_port(), free_port())
    (top / "front").mkdir(mode=0o755)
    with Dovecot(top / "dovecot", [HERS], PASSWORD, cert) as good:
        server = make_front(
            top / "front", cert,
            [f'{{ name = "bad"; imap = "127.0.0.1:{imap}"; pop3 = "127.0.0.1:{pop3}"; }}', backend(good, "good")],
            sources='( { kind = "database"; } )',
            settings='mailbox: { connect-timeout = "1s"; reply-timeout = "1s"; check-every = "200ms"; };\n'
                     'log: { full = 1000; };\n'
                     f'mailboxes = ( {{ user = "{HIS}"; backend = "bad"; }}, '
                     f'{{ user = "{HERS}"; backend = "good"; }} );\n')
        server.bad = {False: imap, True: pop3}
        server.start()
        for user in (HIS, HERS):
            server.cli("user", "add", user, "--password", PASSWORD)
        yield server
        server.stop()
    for line in server.log().splitlines():
        assert "AddressSanitizer" not in line and "runtime error" not in line, line
    shutil.rmtree(top, ignore_errors=True)


def imap_login(server, user):
    """None, or the refusal."""
    client = Imap(server)
    try:
        client.login(user, PASSWORD)
        client.logout()
    except imaplib.IMAP4.abort as e:
        return f"cut: {e}"
    except imaplib.IMAP4.error as e:
        client.shutdown()
        return str(e)


def session(server, user):
    client = Imap(server)
    try:
        client.login(user, PASSWORD)
        return client
    except imaplib.IMAP4.error:
        client.shutdown()


def pop3_login(server, user):
    client = Pop3(server)
    try:
        client.user(user)
        client.pass_(PASSWORD)
        client.quit()
    except poplib.error_proto as e:
        client.close()
        return str(e)


def served(server, come):
    """She is let in, for all that his server does. Her own has a second, too: it may not have had its turn."""
    def let_in():
        said = come(server, HERS)
        assert said is None or server.wait_log(r"log=backend .*backend=good .*state=(down|refuses)"), said
        return said is None
    wait_for("her login", let_in)


MISDEEDS = [hang, gone, reset, half_a_line, nonsense, endless_line, drips, says_goodbye]
IMAP = [(at, do) for at in ("greeting", "capability", "login") for do in MISDEEDS]
IMAP += [("capability", endless_lines), ("login", endless_lines), ("capability", endless_literal)]
POP3 = [(at, do) for at in ("greeting", "user", "login") for do in MISDEEDS]


@pytest.mark.parametrize("at, do, pop3", [(*row, False) for row in IMAP] + [(*row, True) for row in POP3],
                         ids=lambda v: getattr(v, "__name__", {True: "pop3", False: "imap"}.get(v, v)))
def test_its_users_hear_later_others_are_served_and_it_recovers(front, at, do, pop3):
    come, later = (pop3_login, "[SYS/TEMP]") if pop3 else (imap_login, "[UNAVAILABLE]")
    with Mailboxes(front.bad[pop3], pop3) as bad:
        wait_for("his login", lambda: come(front, HIS) is None)
        bad.fall_ill(at, do)
        said = come(front, HIS)
        assert said and later in said, said
        # it may have been thought dead for another reason, just before
        wait_for("what it does", lambda: bad.misdeeds or come(front, HIS) is None)
        assert later in (come(front, HIS) or "")
        served(front, come)
        bad.heal()
        wait_for("his next login", lambda: come(front, HIS) is None)


@pytest.mark.parametrize("do", [gone, reset], ids=lambda v: v.__name__)
def test_a_mailbox_server_that_vanishes_after_login_ends_that_session_and_nothing_else(front, do):
    with Mailboxes(front.bad[False]) as bad:
        wait_for("his login", lambda: imap_login(front, HIS) is None)
        edges = front.pids("edge")
        client, other = (wait_for("a session", lambda u=user: session(front, u)) for user in (HIS, HERS))
        bad.fall_ill("relayed", do)
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            client.noop()
        client.shutdown()
        assert other.select("INBOX")[0] == "OK"
        other.logout()
        assert front.pids("edge") == edges
