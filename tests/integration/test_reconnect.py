"""A mailbox server that cuts its users off, or answers late: who is in first, who hears what."""
import contextlib
import json
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from conftest import PATIENCE, free_port, wait_for
from line_mailboxes import Mailboxes
from mailboxes import certificate, make_front

GATE, KNOWN, STRANGERS = 64, 50, 450
PASSWORD = "correct horse battery"


class Talk:
    """A client; it stays on its connection whatever it hears."""

    def __init__(self, server, user, password=PASSWORD):
        self.user, self.password = user, password
        self.socket = socket.create_connection(("127.0.0.1", server.ports["imap"]), PATIENCE)
        self.lines = self.socket.makefile("rb")
        assert self.lines.readline().startswith(b"* OK ")

    def ask(self):
        self.socket.sendall(f"a LOGIN {self.user} \"{self.password}\"\r\n".encode())

    def hear(self):
        """The answer to the command, and nothing that is said without one."""
        while line := self.lines.readline():
            if line.startswith(b"a "):
                return line.decode()
        return ""

    def log_in(self):
        """Again for as long as it is told to come later."""
        while "[UNAVAILABLE]" in (said := self.hear()):
            self.ask()
        assert said.startswith("a OK"), (self.user, said)

    def close(self):
        self.lines.close()
        self.socket.close()


@pytest.fixture
def place():
    """Where a server may live, and its certificate."""
    top = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    top.chmod(0o755)
    yield top, certificate(top)
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def make(place):
    top, cert = place
    made = []

    def make(settings="", auth='delay = "0s"; queue = 1000;', guard=""):
        imap = free_port()
        (top / "home").mkdir(mode=0o755)
        server = make_front(
            top / "home", cert, [f'{{ name = "far"; imap = "127.0.0.1:{imap}"; }}'],
            auth=f"without-tls = true; {auth}",
            settings='sessions: { per-address = 4000; };\nrun: { edges = 1; };\n'
                     f'guard: {{ connect-rate = 0; {guard} }};\n' + settings)
        server.imap = imap
        made.append(server)
        return server.start()
    yield make
    for server in made:
        server.stop()


def rows(server, *words):
    return [json.loads(line) for line in server.cli(*words, "--json").splitlines()]


def asked(server):
    """How many clients that are here have said something."""
    return sum(row["commands"] > 0 and row["state"] != "leaves"
               for row in rows(server, "sessions", "--limit", "1000"))


def test_after_a_cut_known_devices_are_in_before_strangers_who_came_first(make):
    server = make(settings='mailbox: { connect-timeout = "60s"; };\n')
    known = [f"known{n}@example.test" for n in range(KNOWN)]
    with Mailboxes(server.imap) as far, contextlib.ExitStack() as stack:
        def come(user):
            one = Talk(server, user)
            stack.callback(one.close)
            one.ask()
            return one
        for one in [come(user) for user in known]:
            one.log_in()
            sessions = one
        far.greets.clear()
        far.cut()
        assert sessions.lines.read() == b""
        had = len(far.came)
        strangers = [come(f"stranger{n}@example.test") for n in range(STRANGERS)]
        wait_for("all strangers to have asked", lambda: asked(server) == STRANGERS)
        back = [come(user) for user in known]
        wait_for("all who are known to have asked", lambda: asked(server) == STRANGERS + KNOWN)
        far.greets.set()
        for one in back + strangers:
            one.log_in()
    # by when their connections came: a thread of this process may be overtaken by many others
    order = [far.said_by[who].split()[0].strip('"') for who in far.came[had:] if who in far.said_by]
    last = max(order.index(user) for user in known)
    assert last < GATE + KNOWN + GATE, f"the last of those who are known was number {last} of {len(order)}"


def test_a_server_that_answers_too_late_is_told_as_an_answer_and_the_client_may_try_again(make):
    server = make(settings='mailbox: { login-timeout = "5s"; reply-timeout = "7s"; };\n')
    with Mailboxes(server.imap) as far, contextlib.closing(Talk(server, "ann@example.test")) as ann:
        far.answers.clear()
        ann.ask()
        assert "[UNAVAILABLE]" in ann.hear()
        far.answers.set()
        ann.ask()
        ann.log_in()


def test_who_hangs_up_before_the_answer_again_and_again_is_a_guesser(make):
    server = make(auth='delay = "2s";', guard='mode = "enforce";')
    with Mailboxes(server.imap) as far:
        far.answers.clear()

        def hang_up(user, password):
            """When the mailbox server has been asked; False: it never was."""
            had = len(far.said)
            with contextlib.closing(Talk(server, user, password)) as one:
                one.ask()
                one.socket.settimeout(0.05)

                def asked():
                    with contextlib.suppress(TimeoutError):
                        return one.socket.recv(1000)
                    return len(far.said) > had
                return wait_for("the question, or the answer", asked) is True
        # a telephone that loses its network
        assert all(hang_up("ann@example.test", PASSWORD) for _ in range(10))
        guesses = next(n for n in range(40) if not hang_up("ben@example.test", f"guess {n}"))
        assert guesses >= 4, guesses
        told = {row["part"]: row for row in rows(server, "explain", "ben@example.test")}
        assert told["history"]["different-wrong-passwords"] >= 3, told
        told = {row["part"]: row for row in rows(server, "explain", "ann@example.test")}
        assert told["history"]["different-wrong-passwords"] == 0, told
        assert "reason=left" in server.wait_log(r"log=login-failed .*reason=left")[0]
        far.answers.set()
        with contextlib.closing(Talk(server, "ann@example.test")) as ann:
            ann.ask()
            ann.log_in()


def test_who_is_silent_for_too_long_is_let_go_and_who_is_not_stays(make):
    server = make(settings='mailbox: { idle-timeout = "15s"; };\n')
    with Mailboxes(server.imap), contextlib.closing(Talk(server, "ann@example.test")) as still, \
            contextlib.closing(Talk(server, "ben@example.test")) as busy:
        for one in still, busy:
            one.ask()
            one.log_in()
        still.socket.settimeout(0.1)

        def let_go():
            busy.socket.sendall(b"a NOOP\r\n")
            assert busy.hear().startswith("a OK")
            with contextlib.suppress(TimeoutError):
                return still.socket.recv(1) == b""
            return False
        wait_for("the silent one to be let go", let_go)
        server.wait_log(r"end=timeout")
        busy.socket.sendall(b"a NOOP\r\n")
        assert busy.hear().startswith("a OK")


@pytest.mark.parametrize("guard", ['mode = "observe";', 'mode = "enforce"; observe = [ "account-sessions" ];'])
def test_one_session_too_many_is_let_in_and_told_while_the_guard_only_observes(make, guard):
    server = make(settings="mailbox: { per-user-network = 2; };\n", guard=guard)
    with Mailboxes(server.imap), contextlib.ExitStack() as stack:
        for n in range(8):
            one = Talk(server, "ann@example.test")
            stack.callback(one.close)
            one.ask()
            one.log_in()
        server.wait_log(r"log=would-refuse .*rule=account-sessions")

        def history():
            return next(row for row in rows(server, "explain", "ann@example.test") if row["part"] == "history")
        # who is let in by the edge hears so before auth does
        wait_for("all to be counted", lambda: history()["logins"] == 8)
        assert history()["refused-over-limit"] == 6, history()


def test_a_program_is_known_by_the_order_of_its_first_commands(make):
    server = make()

    def come(*first):
        """The line of the log: was the device known?"""
        had = len(logins())
        with contextlib.closing(Talk(server, "ann@example.test")) as one:
            for command in first:
                one.socket.sendall(f"a {command}\r\n".encode())
                assert one.hear().startswith("a OK")
            one.ask()
            one.log_in()
        return "known-device=true" in wait_for("the login to be told", lambda: logins()[had:])[0]

    def logins():
        return [line for line in server.log().splitlines() if "log=login " in line]
    with Mailboxes(server.imap):
        assert not come("CAPABILITY")
        assert come("CAPABILITY")
        assert come("CAPABILITY", "NOOP", "CAPABILITY")
        assert not come()
        assert not come('ID NIL', "CAPABILITY")
