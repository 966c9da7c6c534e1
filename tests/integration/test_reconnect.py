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

    def make(settings="", auth="queue = 1000;", **options):
        imap = free_port()
        (top / "home").mkdir(mode=0o755)
        server = make_front(
            top / "home", cert, [f'{{ name = "far"; imap = "127.0.0.1:{imap}"; }}'],
            auth=f'delay = "0s"; without-tls = true; {auth}',
            settings='sessions: { per-address = 4000; };\nrun: { edges = 1; };\n'
                     'guard: { connect-rate = 0; };\n' + settings)
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
        far.said.clear()
        strangers = [come(f"stranger{n}@example.test") for n in range(STRANGERS)]
        wait_for("all strangers to have asked", lambda: asked(server) == STRANGERS)
        back = [come(user) for user in known]
        wait_for("all who are known to have asked", lambda: asked(server) == STRANGERS + KNOWN)
        far.greets.set()
        for one in back + strangers:
            one.log_in()
    order = [said.split()[0].strip('"') for said in far.said]
    last = max(order.index(user) for user in known)
    assert last < GATE + KNOWN + GATE, f"the last of those who are known was number {last} of {len(order)}"
