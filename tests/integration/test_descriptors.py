"""Roles that have no descriptor left: what needs one is put off, and no role is lost."""
import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess

import pytest

from conftest import PATIENCE, Server, Talk, free_port, wait_for

EVERYBODY = ("edge", "store", "auth", "watch", "fetch")


@pytest.fixture
def server(home):
    port, path = free_port(), home / "submit.sock"
    server = Server(home, settings='run: { edges = 1; silence = "60s"; };\n', listen=f"""listen = (
      {{ address = "127.0.0.1:{port}"; service = "smtp"; }}, {{ address = "unix:{path}"; service = "submission"; }} );""")
    server.port, server.submit = port, path
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        server.wait_fetch()
        yield server


def allow(pid, soft):
    """As the user of that process, who may do so without being root."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    uid, gid = (int(re.search(rf"^{who}:\t(\d+)", status, re.M)[1]) for who in ("Uid", "Gid"))
    as_it = {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={soft}:"], check=True, **as_it)


@contextlib.contextmanager
def out_of_descriptors(pids):
    """What they have stays open; the next one fails."""
    pids = list(pids)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for pid in pids:
            allow(pid, 3)
        yield
    finally:
        for pid in pids:
            allow(pid, soft)


def rcpt(talk, user):
    """Not too often in one session: RSET counts among the commands that bring no mail."""
    assert talk.ask("RSET").startswith(b"250")
    assert talk.ask("MAIL FROM:<sender@client.example>").startswith(b"250")
    return talk.ask(f"RCPT TO:<{user}@example.test>")[:3]


class Program(Talk):
    """Over a socket of this machine."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("rb")


def all_pids(server):
    return {role: set(server.pids(role)) for role in EVERYBODY}


def test_an_edge_without_a_descriptor_for_new_recipients_says_later_and_gets_them_later(server):
    before = all_pids(server)
    talk = server.talk().hello()
    with out_of_descriptors(before["edge"]):
        server.cli("user", "add", "carol@example.test", "--password", "correct horse battery")
        server.wait_log(r"log=capacity.*lost=recipients")
        assert rcpt(talk, "alice") == b"250"
        assert rcpt(talk, "carol") == b"451"
        assert rcpt(talk, "nobody") == b"451"
    server.wait_known("carol@example.test")
    assert rcpt(talk, "carol") == b"250"
    assert rcpt(talk, "nobody") == b"550"
    assert all_pids(server) == before
    assert "log=link-broken" not in server.log() and "log=trouble" not in server.log(), server.log()


def test_recipients_that_the_store_could_not_publish_are_published_once_it_can(server):
    before = all_pids(server)
    talk = server.talk().hello()
    with out_of_descriptors(before["store"]):
        got = server.cli("user", "add", "carol@example.test", "--password", "correct horse battery", check=False)
        assert got.returncode != 0 and "could not be published yet" in got.stdout + got.stderr, got
        assert rcpt(talk, "alice") == b"250"
        assert rcpt(talk, "carol") == b"451"
        assert rcpt(talk, "nobody") == b"451"
    server.wait_known("carol@example.test")
    assert rcpt(talk, "nobody") == b"550"
    assert all_pids(server) == before


def test_a_reload_reaches_roles_that_had_no_descriptor_for_it_once_they_have_one(server):
    before = all_pids(server)
    text = server.config.read_text()
    server.config.write_text(text.replace('hostname = "mx.example.test"', 'hostname = "new.example.test"'))
    with out_of_descriptors(pid for pids in before.values() for pid in pids):
        server.process.send_signal(signal.SIGHUP)
        server.wait_log(r"log=reloaded")
        for role in EVERYBODY:
            server.wait_log(rf'log=capacity .*key="?{role}.*lost=conf')

    def greeting():
        with contextlib.closing(server.talk()) as talk:
            return talk.reply()
    wait_for("the new name", lambda: b"new.example.test" in greeting())
    wait_for("the new name in watch", lambda: "new.example.test" in server.cli("status"))
    with contextlib.closing(server.talk().hello().envelope("alice")) as talk:
        assert talk.ask("DATA").startswith(b"354")
        assert talk.ask(b"Subject: all is well\r\n\r\n.\r\n").startswith(b"250")
    server.wait_messages("alice", 1)
    assert all_pids(server) == before
    assert "log=link-broken" not in server.log(), server.log()


def test_a_new_store_is_met_by_who_had_no_descriptor_for_its_link_at_first(server):
    before = all_pids(server)
    talk = server.talk().hello()
    others = set().union(*(before[role] for role in EVERYBODY if role != "store"))
    with out_of_descriptors(others):
        server.kill_role("store")
        for role in ("edge", "auth", "watch"):
            server.wait_log(rf'log=capacity .*key="?{role}.*lost=peer')
    assert rcpt(talk, "alice") == b"250"
    assert talk.ask("DATA").startswith(b"354")
    assert talk.ask(b"Subject: all is well\r\n\r\n.\r\n").startswith(b"250")
    server.wait_messages("alice", 1)
    # each of them meets it in its own time
    wait_for("watch to meet it, too",
             lambda: "alice@example.test" in server.cli("user", "list", check=False).stdout)
    after = all_pids(server)
    assert {role: after[role] for role in EVERYBODY if role != "store"} == {
        role: before[role] for role in EVERYBODY if role != "store"}
    assert "log=link-broken" not in server.log(), server.log()


def test_a_program_of_the_machine_is_told_to_come_later_while_the_store_cannot_see_who_it_is(server):
    before = all_pids(server)
    talk = Program(server.submit).hello()

    def send():
        talk.envelope("alice", sender="alice@example.test")
        assert talk.ask("DATA").startswith(b"354")
        return talk.ask(b"Subject: from here\r\n\r\n.\r\n")[:3]
    with contextlib.closing(talk):
        with out_of_descriptors(before["store"]):
            assert send() == b"451"
        assert send() == b"250"
    server.wait_messages("alice", 1)
    assert all_pids(server) == before
    assert "log=link-broken" not in server.log(), server.log()
