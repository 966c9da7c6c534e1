"""Who reads mail goes on while programs change: IDLE and POP3 through upgrades, and when it ends after all."""
import contextlib
import imaplib
import json
import os
import pathlib
import poplib
import re
import shutil
import socket
import ssl
import zlib

import pytest

import conftest
from conftest import PATIENCE, free_port, wait_for
from line_mailboxes import Mailboxes
from mailboxes import backend, dovecot_for_a_file, make_front, needs_mailboxes
from test_clients import MESSAGE
from test_life import end_as_silent
from test_pop3 import make_server as make_maildirs

PASSWORD = "correct horse battery"
BYE = b"* BYE [UNAVAILABLE] Service is stopping, try again\r\n"
USERS = [f"user{n}@example.test" for n in range(1, 9)]


@pytest.fixture(scope="module")
def cellar():
    with dovecot_for_a_file(USERS, PASSWORD) as dovecot:
        yield dovecot


@pytest.fixture
def program(home, monkeypatch):
    """A program file of the server's own, as upgrades replace it."""
    path = home / "holdfast"
    shutil.copy(conftest.HOLDFAST, path)
    path.chmod(0o755)
    monkeypatch.setattr(conftest, "HOLDFAST", path)
    return path


def run(server, *sets):
    server.run_args = [word for s in ("run.drain=1s", *sets) for word in ("--set", s)]
    return server.start()


@contextlib.contextmanager
def judged(server):
    yield
    if server.process and server.process.poll() is None:
        server.stop()
    for line in server.log().splitlines():
        assert "AddressSanitizer" not in line and "runtime error" not in line, line


@pytest.fixture
def front(cellar, home, program):
    with contextlib.ExitStack() as stack:
        def make(*sets):
            server = make_front(home, cellar.certificate, [backend(cellar)])
            stack.enter_context(judged(server))
            return run(server, *sets)
        yield make


@pytest.fixture
def maildirs(home, program):
    server = make_maildirs(home, ["alice"])
    with judged(server):
        yield run(server)


# A program that does something with the state that the old one has left for it.
STRANGER = """#!/usr/bin/python3
import os, re, sys
if "--resume" in sys.argv:
    fd = int(sys.argv[sys.argv.index("--resume") + 1])
    state = os.pread(fd, 1 << 16, 0)
    {does}
    os.ftruncate(fd, 0)
    os.pwrite(fd, state, 0)
os.execv("{original}", sys.argv)
"""


def takes_roles_for(version):
    return rf'state = re.sub(rb"(?m)^(child(?: \S+){{6}}) \d+", rb"\1 {version}", state)'


def finds_another_layout_of(memory):
    """Of a memory that all see; the old edges keep the one that they have."""
    return f"""its = int(re.search(rb"(?m)^{memory} (\\d+)", state)[1])
    other = os.memfd_create("of another version")
    os.truncate(other, os.fstat(its).st_size)
    os.pwrite(other, b"another layout", 0)
    os.dup2(other, its)"""


def settled(server):
    return len(re.findall(r"the old program's roles have", server.log()))


def upgrade(server, does=None):
    """Until all that is left of the old program is edges with readers."""
    before = settled(server)
    path = pathlib.Path(conftest.HOLDFAST)
    fresh = path.with_suffix(".new")
    shutil.copy(path, fresh)
    if does:
        fresh.rename(path.with_suffix(".real"))
        fresh.write_text(STRANGER.format(does=does, original=path.with_suffix(".real")))
        fresh.chmod(0o755)
    fresh.rename(path)
    assert "takes over" in server.cli("upgrade")
    wait_for("the upgrade", lambda: settled(server) > before)
    if does:
        path.with_suffix(".real").rename(path)  # for commands
    server.wait_ready()


class Reader:
    """A raw IMAP session inside TLS."""

    def __init__(self, server, user=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", server.ports["imaps"]), PATIENCE)
        self.sock = context.wrap_socket(raw)
        self.file = self.sock.makefile("rb")
        assert self.line().startswith(b"* OK")
        if user:
            answer = self.ask(f'LOGIN "{user}" "{PASSWORD}"')
            assert answer.startswith(b"a OK"), answer

    def line(self):
        return self.file.readline()

    def until(self, pattern):
        while not re.match(pattern, line := self.line()):
            assert line, "the connection ended"
        return line

    def ask(self, text):
        self.sock.sendall(b"a " + text.encode() + b"\r\n")
        return self.until(rb"a ")

    def idle(self):
        assert self.ask("SELECT INBOX").startswith(b"a OK")
        self.sock.sendall(b"i IDLE\r\n")
        self.until(rb"\+ ")
        return self

    def done(self):
        self.sock.sendall(b"DONE\r\n")
        assert self.until(rb"i ").startswith(b"i OK")

    def has_ended(self):
        """All that comes until the connection is closed."""
        heard = b""
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            while more := self.file.read1():
                heard += more
        return heard

    def close(self):
        self.file.close()
        self.sock.close()


def append(server, user, text=b"Subject: new\r\n\r\nmail\r\n"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"], ssl_context=context, timeout=PATIENCE) as client:
        client.login(user, PASSWORD)
        assert client.append("INBOX", None, None, text)[0] == "OK"


def status(server, name):
    found = re.search(rf"^{name} +(.*)$", server.cli("status"), re.M)
    return found and found[1]


def kept_edges(server, before, count=1):
    """Of those edges; one that keeps nobody takes a moment to end."""
    return wait_for(f"{count} of the old edges to be left",
                    lambda: len(left := set(before) & set(server.pids("edge"))) == count and left)


def edge_pid(server, number):
    return next(pid for pid, line in server.pids("edge").items() if re.match(rf"holdfast: edge {number}\b", line))


def edge_of(server, user):
    """The number of the edge that has the one session of this user, once nobody who has left is counted any more."""
    def one():
        rows = [json.loads(line) for line in server.cli("sessions", "--user", user, "--json").splitlines()]
        rows = [row for row in rows if row.get("user") == user]
        return rows if len(rows) == 1 else None
    row, = wait_for("one session", one)
    return int(row["edge"])


# ---- IMAP, relayed

@needs_mailboxes
def test_idle_goes_on_through_two_upgrades_and_a_reload(front, cellar):
    server = front()
    reader = Reader(server, USERS[0]).idle()
    before = server.pids("edge")
    upgrade(server)
    kept = kept_edges(server, before)  # the other old one held nobody
    assert "in force" in server.cli("reload")
    upgrade(server)
    assert kept <= set(server.pids("edge"))
    wait_for("status to say so", lambda: status(server, "old-edges") == "1")
    wait_for("one session", lambda: re.fullmatch(r"edge \d+: 1", status(server, "old-edges-sessions")))
    append(server, USERS[0])
    reader.until(rb"\* \d+ EXISTS")
    reader.done()
    assert reader.ask("NOOP").startswith(b"a OK")
    assert reader.ask("LOGOUT").startswith(b"a OK")
    wait_for("the old edge to end", lambda: not kept & set(server.pids("edge")))
    wait_for("status to say so", lambda: status(server, "old-edges") == "0")
    reader.close()


@needs_mailboxes
def test_a_replaced_edge_keeps_its_readers_too(front):
    server = front("run.edges=1")
    reader = Reader(server, USERS[1]).idle()
    before = set(server.pids("edge"))
    assert "replaced" in server.cli("restart", "edge", "0")
    wait_for("another edge", lambda: len(server.pids("edge")) == 2)
    append(server, USERS[1])
    reader.until(rb"\* \d+ EXISTS")
    # ordered once more, the old one is given up
    assert "now it ends" in server.cli("restart", "edge", "0")
    reader.has_ended()
    wait_for("the old edge to end", lambda: not before & set(server.pids("edge")))
    reader.close()


@needs_mailboxes
def test_who_is_left_on_an_old_edge_can_be_seen_and_kicked(front):
    server = front()
    reader = Reader(server, USERS[2]).idle()
    before = set(server.pids("edge"))
    upgrade(server)
    kept, = kept_edges(server, before)
    number = edge_of(server, USERS[2])
    assert edge_pid(server, number) == kept
    server.cli("kick", USERS[2])
    reader.has_ended()
    wait_for("the old edge to end", lambda: kept not in server.pids("edge"))
    reader.close()


@needs_mailboxes
def test_sessions_on_old_edges_count_for_their_account(front):
    server = front("mailbox.per-user=1", "guard.mode=enforce", "guard.connect-rate=0")
    reader = Reader(server, USERS[3])
    upgrade(server)

    def is_too_many():
        """The new auth hears of the reader from the old edge, when that has a turn."""
        with contextlib.closing(Reader(server)) as other:
            if b"LIMIT" in other.ask(f'LOGIN "{USERS[3]}" "{PASSWORD}"'):
                return True
            assert other.ask("LOGOUT").startswith(b"a OK")
        edge_of(server, USERS[3])  # the next is not one too many for this one
    wait_for("the reader to count", is_too_many)
    assert reader.ask("LOGOUT").startswith(b"a OK")
    reader.close()

    def gets_in():
        with contextlib.closing(Reader(server)) as again:
            return again.ask(f'LOGIN "{USERS[3]}" "{PASSWORD}"').startswith(b"a OK")
    wait_for("room for another", gets_in)


@needs_mailboxes
def test_the_oldest_edges_leave_first_when_there_are_too_many(front):
    server = front("run.edges=1", "mailbox.old-edges=2")
    readers = []
    for n in range(3):
        readers.append(Reader(server, USERS[4]).idle())
        upgrade(server)
    assert readers[0].has_ended().endswith(BYE)
    wait_for("the oldest to end", lambda: len(server.pids("edge")) == 3)
    wait_for("status to say so", lambda: status(server, "old-edges") == "2")
    append(server, USERS[4])
    for reader in readers[1:]:
        reader.until(rb"\* \d+ EXISTS")
    for reader in readers:
        reader.close()


@needs_mailboxes
@pytest.mark.parametrize("setting", ["mailbox.drain=0s", "mailbox.drain=3s", "mailbox.old-edges=0"])
def test_readers_have_no_more_time_than_is_set(front, setting):
    server = front(setting)
    reader = Reader(server, USERS[5]).idle()
    before = set(server.pids("edge"))
    upgrade(server)
    reader.has_ended()
    wait_for("the old edges to end", lambda: not before & set(server.pids("edge")))
    reader.close()


@needs_mailboxes
def test_a_stop_waits_for_no_reader(front):
    server = front()
    reader = Reader(server, USERS[6]).idle()
    upgrade(server)
    roles = server.pids()
    wait_for("status to say so", lambda: status(server, "old-edges") == "1")
    assert server.stop() == 0
    reader.has_ended()
    assert not [pid for pid in roles if os.path.exists(f"/proc/{pid}")]
    reader.close()


@needs_mailboxes
def test_an_old_edge_that_hangs_is_found_and_ended(front):
    server = front("run.edges=1")
    reader = Reader(server, USERS[7]).idle()
    old, = server.pids("edge")
    upgrade(server)
    end_as_silent(server, [old])
    server.wait_log(r"log=role-ended.*silent")
    reader.has_ended()
    reader.close()


@needs_mailboxes
def test_who_has_not_logged_in_hears_that_we_stop(front):
    server = front()
    reader = Reader(server)
    upgrade(server)
    assert reader.has_ended().startswith(b"* BYE")
    reader.close()


@needs_mailboxes
@pytest.mark.parametrize("version, stays", [(99, True), (4, False)])
def test_a_program_of_another_version_keeps_those_who_understand_it(front, version, stays):
    server = front()
    reader = Reader(server, USERS[0]).idle()
    before = set(server.pids("edge"))
    upgrade(server, takes_roles_for(version))
    if stays:
        append(server, USERS[0])
        reader.until(rb"\* \d+ EXISTS")
        assert edge_of(server, USERS[0]) in (0, 1)
        server.cli("kick", USERS[0])
    reader.has_ended()
    wait_for("the old edges to end", lambda: not before & set(server.pids("edge")))
    reader.close()


# Without the guard's memory, or the orders, in common nobody could see them, or kick them.
@needs_mailboxes
@pytest.mark.parametrize("memory, stays", [("guard", False), ("orders", False), ("accounts", True)])
def test_a_memory_of_another_layout_ends_old_edges_early(front, cellar, memory, stays):
    server = front()
    readers = [Reader(server, USERS[1]).idle()]
    server.cli("ban", "198.51.100.1")
    upgrade(server)
    readers.append(Reader(server, USERS[1]).idle())
    before = set(server.pids("edge"))  # one that is kept already, and those of now
    upgrade(server, finds_another_layout_of(memory))
    server.wait_log(rf"log=memory .*key={memory} .*of another version: made anew")
    if stays:
        kept_edges(server, before, 2)
        wait_for("status to say so", lambda: status(server, "old-edges") == "2")
        append(server, USERS[1])
    for reader in readers:
        if stays:
            reader.until(rb"\* \d+ EXISTS")
            reader.done()
            assert reader.ask("LOGOUT").startswith(b"a OK")
        else:
            assert reader.has_ended().endswith(BYE)
        reader.close()
    wait_for("the old edges to end", lambda: not before & set(server.pids("edge")))
    # who comes now is on a new one, with memories that are whole
    again = Reader(server, USERS[1]).idle()
    assert edge_pid(server, edge_of(server, USERS[1])) not in before
    again.close()
    server.cli("ban", "192.0.2.1")
    assert "192.0.2.1" in server.cli("bans")
    # what was ordered before is read from the disk, where the memory is another
    assert "198.51.100.1" in server.cli("bans")


# ---- what IMAP hears when it cannot be kept

def give_up(server, user):
    """Its edge is to end now, whoever is there."""
    number = edge_of(server, user)
    assert "replaced" in server.cli("restart", "edge", number)
    assert "now it ends" in server.cli("restart", "edge", number)


@needs_mailboxes
def test_who_has_compression_gets_nothing_but_compressed_bytes(front):
    server = front()
    reader = Reader(server, USERS[2])
    assert reader.ask("COMPRESS DEFLATE").startswith(b"a OK")
    up, down = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
    reader.sock.sendall(up.compress(b"b SELECT INBOX\r\nc IDLE\r\n") + up.flush(zlib.Z_SYNC_FLUSH))
    heard = b""
    while b"\r\n+ " not in heard:
        more = reader.file.read1()
        assert more, heard
        heard += down.decompress(more)
    assert b"b OK" in heard
    give_up(server, USERS[2])
    more = down.decompress(reader.has_ended())
    assert down.unused_data == b"" and b"BYE" not in heard + more
    reader.close()


@needs_mailboxes
def test_who_has_asked_for_compression_only_hears_no_plain_words(front):
    server = front()
    reader = Reader(server, USERS[3])
    assert reader.ask("COMPRESS DEFLATE").startswith(b"a OK")
    give_up(server, USERS[3])
    assert reader.has_ended() == b""
    reader.close()


@needs_mailboxes
def test_who_is_between_answers_hears_bye_even_if_the_last_one_was_now(front):
    server = front()
    reader = Reader(server, USERS[6])
    assert reader.ask("NOOP").startswith(b"a OK")
    give_up(server, USERS[6])
    assert reader.has_ended() == BYE
    reader.close()


@needs_mailboxes
def test_a_server_that_hangs_inside_a_literal_is_not_continued_by_us(cellar, home, program):
    port = free_port()
    with Mailboxes(port) as stuck:
        server = make_front(home, cellar.certificate, [f'{{ name = "a"; imap = "127.0.0.1:{port}"; }}'])
        with judged(server):
            run(server)
            reader = Reader(server, USERS[0])
            stuck.fetched = "* 1 FETCH (BODY[] {100}\r\nSubject: the rest does not come"
            reader.sock.sendall(b"b FETCH 1 BODY[]\r\n")
            assert reader.line() == b"* 1 FETCH (BODY[] {100}\r\n"
            assert reader.line().startswith(b"Subject")
            give_up(server, USERS[0])
            assert reader.has_ended() == b""
            reader.close()


# ---- POP3 from the Maildirs

def test_a_mailbox_of_ours_is_read_on_with_the_new_store(maildirs):
    server = maildirs
    for _ in range(2):
        with server.smtp() as s:
            s.sendmail("sender@client.example", ["alice@example.test"], MESSAGE)
    server.wait_messages("alice", 2)
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    client.stls(context=ssl._create_unverified_context())
    client.user("alice@example.test")
    client.pass_(server.password)
    before = set(server.pids("edge"))
    for _ in range(2):
        upgrade(server)
    kept = kept_edges(server, before)
    assert len(client.retr(1)[1]) > 3
    client.dele(1)
    assert client.quit().startswith(b"+OK")
    assert len(server.messages("alice")) == 1
    wait_for("the old edge to end", lambda: not kept & set(server.pids("edge")))


def test_a_mailbox_of_ours_hears_it_when_it_cannot_be_kept(maildirs):
    server = maildirs
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    client.stls(context=ssl._create_unverified_context())
    client.user("alice@example.test")
    client.pass_(server.password)
    number = edge_of(server, "alice@example.test")
    server.cli("restart", "edge", number)
    assert client.noop().startswith(b"+OK")
    server.cli("restart", "edge", number)
    assert client.file.readline().startswith(b"-ERR [SYS/TEMP]")


def test_a_mailbox_of_ours_hears_it_when_the_new_store_speaks_another_version(maildirs):
    server = maildirs
    with server.smtp() as s:
        s.sendmail("sender@client.example", ["alice@example.test"], MESSAGE)
    server.wait_messages("alice", 1)
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    client.stls(context=ssl._create_unverified_context())
    client.user("alice@example.test")
    client.pass_(server.password)
    before = set(server.pids("edge"))
    upgrade(server, takes_roles_for(99))
    kept_edges(server, before)
    assert client.dele(1).startswith(b"+OK")
    assert client.rset().startswith(b"+OK")
    with pytest.raises(poplib.error_proto, match=r"-ERR \[SYS/TEMP\]"):
        client.retr(1)
    wait_for("the old edge to end", lambda: not before & set(server.pids("edge")))
    assert len(server.messages("alice")) == 1


def test_with_as_many_edges_as_there_are_numbers_an_upgrade_comes_first(home, program):
    server = make_maildirs(home, ["alice"])
    with judged(server):
        run(server, "run.edges=16")
        client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
        client.stls(context=ssl._create_unverified_context())
        client.user("alice@example.test")
        client.pass_(server.password)
        before = set(server.pids("edge"))
        upgrade(server)
        assert client.file.readline().startswith(b"-ERR [SYS/TEMP]")
        assert len(server.pids("edge")) == 16 and not before & set(server.pids("edge"))
        wait_for("status to say so", lambda: status(server, "old-edges") == "0")
