"""The machine has a bad day: each has a decided answer."""
import contextlib
import json
import os
import pathlib
import smtplib
import signal
import socket
import sqlite3
import subprocess

import pytest

from conftest import PATIENCE, wait_for
from test_clients import MESSAGE
from test_powercut import PowerFs, needs_powerfs

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


def deliver(server, user="alice"):
    with server.smtp() as s:
        s.sendmail("sender@client.example", [f"{user}@example.test"], MESSAGE)


def refused_start(server):
    server.start(wait=False)
    assert server.process.wait(PATIENCE) != 0
    return server.log()


@pytest.mark.parametrize("name", ["queue/queue.db", "state/state.db"])
def test_a_corrupt_database_is_refused_and_left_alone(server, name):
    deliver(server)
    server.wait_messages("alice", 1)
    server.stop()
    path = server.dir / name
    for extra in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            pathlib.Path(f"{path}{extra}").unlink()
    path.write_bytes(b"this is no database" * 1000)
    server.errors.write_text("")
    log = refused_start(server)
    assert path.name in log and "not a database" in log and "To repair" in log
    assert path.read_bytes().startswith(b"this is no database")


def test_a_database_locked_by_somebody_else_is_refused(server):
    server.stop()
    path = server.dir / "queue" / "queue.db"
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("pragma locking_mode=exclusive")
    held.execute("begin exclusive")
    server.errors.write_text("")
    log = refused_start(server)
    assert "lock" in log and "queue.db" in log
    held.close()


@root_only
def test_a_full_disk_refuses_mail_in_time_and_comes_back(make_server, home):
    mount = home / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "none", mount], check=True)
    try:
        server = make_server(dir=mount / "data", settings='queue: { free-min = "8m"; };')
        deliver(server)
        server.wait_messages("alice", 1)
        filler = mount / "filler"
        # without a buffer, which would have to go to the full disk when it is closed
        with open(filler, "wb", buffering=0) as f:
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * 65536)
        def refused():
            with server.smtp() as s:
                s.ehlo("client.example")
                return s.mail("sender@client.example")[0] == 452
        wait_for("452 at MAIL", refused)
        filler.unlink()
        # the edges are told of it one after the other
        wait_for("room again", lambda: serves(server))
        server.wait_messages("alice", 2)
        server.stop()
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


@root_only
def test_a_disk_that_fills_inside_a_message_answers_452_and_loses_nothing(make_server, home):
    mount = home / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "none", mount], check=True)
    try:
        server = make_server(dir=mount / "data", settings='queue: { free-min = "1m"; };')
        talk = server.talk().hello().envelope("alice")
        assert talk.ask("DATA").startswith(b"354")
        line = b"y" * 76 + b"\r\n"
        talk.send(b"From: a@client.example\r\n\r\n" + line * 600000 + b".\r\n")
        assert talk.reply()[:3] in (b"452", b"451", b"552")
        talk.close()

        def is_empty():
            with contextlib.suppress(FileNotFoundError):  # gone while we look
                return not any(f.stat().st_size for f in (server.dir / "queue/spool").iterdir())
        wait_for("the spool file to go", is_empty)
        # the store may have measured while it was full, and does so every few seconds
        wait_for("room again", lambda: serves(server))
        server.wait_messages("alice", 1)
        server.stop()
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def test_the_descriptor_limit_costs_a_refusal_and_not_the_service(make_server):
    server = make_server(settings="run: { edges = 1; };\nsessions: { max = 5000; };",
                         under=["prlimit", "--nofile=200:200"])
    server.wait_log(r"log=capacity")
    held = []
    for _ in range(260):
        s = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        held.append(s)
    answers = [s.recv(4) for s in held[:10]] + [s.recv(4) for s in held[-1:]]
    assert answers[0] == b"220 " and answers[-1] in (b"421 ", b"")
    for s in held:
        s.close()
    wait_for("service again", lambda: serves(server))


def test_large_mail_from_many_takes_no_descriptor_that_the_roles_need(make_server):
    server = make_server(settings="run: { edges = 1; };", under=["prlimit", "--nofile=256:256"])
    edges = server.pids("edge")
    with contextlib.ExitStack() as stack:
        talks = [server.talk() for _ in range(170)]
        for talk in talks:
            stack.callback(talk.close)
            talk.hello().envelope("alice")
            assert talk.ask("DATA").startswith(b"354")
        # all of them are in the middle of a body that no memory holds
        for talk in talks:
            talk.send("Subject: large\r\n\r\n" + ("x" * 70 + "\r\n") * 1500)
        for talk in talks:
            talk.send(".\r\n")
        answers = [talk.reply()[:3] for talk in talks]
    assert set(answers) == {b"250", b"452"}, answers
    # the store may have run out of them in its turn, and deliver later
    wait_for("what was taken to be delivered, or to wait", lambda: answers.count(b"250") == len(
        server.messages("alice")) + len(server.cli("queue", "list", "--json").splitlines()))
    assert server.pids("edge") == edges
    assert "cut off" not in server.log() and "log=link-broken" not in server.log()
    deliver(server)


def serves(server):
    with contextlib.suppress(OSError, smtplib.SMTPException):
        deliver(server)
        return True
    return False


@needs_powerfs
def test_what_a_broken_disk_did_not_take_is_not_acknowledged(make_server, home):
    disk = PowerFs(home, 2)
    server = make_server(dir=disk.mount / "data")
    try:
        deliver(server)
        server.wait_messages("alice", 1)
        talk = server.talk().hello().envelope("alice")
        assert talk.ask("DATA").startswith(b"354")
        disk.cut()
        assert talk.ask(MESSAGE + b".\r\n").startswith(b"4")
        # nor is another, once that is known
        with pytest.raises(smtplib.SMTPResponseException) as refused:
            deliver(server)
        assert 400 <= refused.value.smtp_code < 500
    finally:
        server.kill_everything()
        disk.close()


@needs_powerfs
def test_an_order_does_not_wait_for_a_disk_that_hangs(make_server, home):
    disk = PowerFs(home, 1)
    try:
        server = make_server(dir=disk.mount / "data")
        orders = server.dir / "log" / "orders.state"
        hangs = "It is not on disk yet: the disk is slow."
        # a slow disk may say so now and then, and one that is well does not always
        wait_for("an answer of a disk that does not hang", lambda: hangs not in server.cli("ban", "192.0.2.1"))
        before = orders.read_text()
        os.kill(disk.process.pid, signal.SIGSTOP)
        try:
            # more than one: the first is being written, the others wait for that
            for last in (2, 3, 4):
                assert hangs in server.cli("ban", f"192.0.2.{last}")
            listed = server.cli("bans")
            assert all(f"192.0.2.{last}" in listed for last in (1, 2, 3, 4)), listed
        finally:
            os.kill(disk.process.pid, signal.SIGCONT)
        assert "192.0.2.1 " in before and "192.0.2.2 " not in before
        wait_for("the orders to be on disk", lambda: "192.0.2.4" in orders.read_text())
        server.cli("unban", "192.0.2.4")
        wait_for("an answer of a disk that goes on", lambda: hangs not in server.cli("ban", "192.0.2.5"))
        assert "192.0.2.3" in orders.read_text() and "192.0.2.4" not in orders.read_text()
        assert server.stop() == 0
    finally:
        disk.close()


def test_a_clock_that_is_stepped_breaks_nothing(make_server, home):
    lib = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if not lib:
        pytest.skip("libfaketime is not installed")
    stamp = home / "clock"
    stamp.write_text("+0d")
    env = {**os.environ, "LD_PRELOAD": str(lib), "FAKETIME_TIMESTAMP_FILE": str(stamp),
           "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    server = make_server(env=env, settings='run: { sandbox = "off"; };')
    for count, step in enumerate(["-10d", "+30d", "-300d", "+0d"], 1):
        stamp.write_text(step)
        deliver(server)
        server.wait_messages("alice", count)
    assert len(set(server.messages("alice"))) == 4
    assert len(server.pids("edge")) == 2 and server.process.poll() is None


def test_a_maildir_that_cannot_be_written_defers_and_recovers(server):
    deliver(server)
    server.wait_messages("alice", 1)
    box = server.maildir("alice")
    aside = box.with_name("aside")
    box.rename(aside)
    box.write_text("not a directory")
    deliver(server)
    server.wait_log(r"log=deferred .*alice@example\.test")
    box.unlink()
    aside.rename(box)
    server.cli("queue", "retry", "all")
    server.wait_messages("alice", 2)


def test_quota_is_refused_at_rcpt(make_server):
    server = make_server(users=("bob",))
    server.cli("user", "add", "alice@example.test", "--password", "x", "--quota", "4k")
    server.wait_known("alice@example.test")
    big = MESSAGE + b"z" * 70 * 100 + b"\r\n"
    with server.smtp() as s:
        s.sendmail("sender@client.example", ["alice@example.test"], big)
    server.wait_messages("alice", 1)
    def full():
        talk = server.talk().hello()
        talk.ask("MAIL FROM:<a@client.example>")
        got = talk.ask("RCPT TO:<alice@example.test>")
        talk.close()
        return got.startswith(b"452 4.2.2")
    wait_for("the mailbox to be full", full)
    deliver(server, "bob")


def test_queue_commands_hold_release_and_delete(make_server):
    server = make_server(deliver='to = "smtp:127.0.0.1:1"')
    for _ in range(3):
        deliver(server)
    wait_for("three deferred", lambda: server.cli("queue", "list").count("alice@") >= 3 or
             server.cli("queue", "list").count("sender@client") >= 3)
    rows = [json.loads(line) for line in server.cli("queue", "list", "--json").splitlines()]
    assert len(rows) == 3
    first = rows[0]["id"]
    assert first in server.cli("queue", "show", first)
    server.cli("queue", "hold", first)
    assert "held" in server.cli("queue", "show", first)
    server.cli("queue", "release", first)
    server.cli("queue", "delete", first)
    assert len(server.cli("queue", "list", "--json").splitlines()) == 2
    server.cli("queue", "delete", "all")
    assert server.cli("queue", "list", "--json").strip() == ""


def test_what_was_held_for_longer_than_its_lifetime_is_tried_as_often_as_new_mail(make_server):
    server = make_server(deliver='to = "smtp:127.0.0.1:1"')
    server.cli("queue", "hold", "--where", "all", "--standing", "--yes")
    deliver(server)
    wait_for("it to be held", lambda: "held" in server.cli("queue", "list"))
    server.stop()
    path = server.dir / "queue" / "queue.db"
    owner = path.stat()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("update message set wall = wall - ?", (9 * 24 * 3600 * 1000,))
        db.commit()
    for file in path.parent.glob("queue.db*"):
        os.chown(file, owner.st_uid, owner.st_gid)
    server.start()
    server.cli("queue", "release", "--where", "all", "--yes")
    server.wait_log(r"log=(deferred|dead) .*")
    assert "log=dead" not in server.log()


def test_the_log_budget_is_never_exceeded(make_server):
    server = make_server(settings='log: { budget = "64k"; };')
    for _ in range(12):
        talks = [server.talk() for _ in range(40)]
        for n, talk in enumerate(talks):
            talk.send(b"GET /%d HTTP/1.0\r\nXYZZY\r\nQUIT\r\n" % n)
        for talk in talks:
            while talk.reply():
                pass
            talk.close()
    out = wait_for("exact counts", lambda: next(
        (l for l in server.cli("counters").splitlines() if "not-smtp" in l and "480" in l), None))
    assert out
    assert len(server.log().encode()) <= 65536
