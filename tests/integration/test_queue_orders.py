"""Orders over many messages of a real queue: preview, in force at once, undone, also after a kill."""
import json
import os
import pty
import re
import sqlite3
import subprocess

import pytest

from crash import Crowd
from conftest import HOLDFAST, PATIENCE, free_port, wait_for



def send(server, sender, rcpt, count=1):
    with server.smtp(local_hostname="client.example") as s:
        for n in range(count):
            s.sendmail(sender, [rcpt], f"From: x@client.example\r\nSubject: {n}\r\n\r\nhello\r\n")


def rows(server, *words):
    return [json.loads(line) for line in server.cli("queue", *words, "--json").splitlines() if line]


def count(server, where):
    return len(rows(server, "list", "--where", where))


def job_of(text):
    return re.search(r"Job (\d+)|confirm (\d+)", text)[0].split()[-1]


def state_of(server, job):
    return next(r["state"] for r in rows(server, "jobs") if r["job"] == int(job))


@pytest.fixture
def queue(make_server):
    """Mail for dead.test waits for a host that is not there; mail for example.test is delivered."""
    return make_server(settings=f'routes = ( {{ domain = "dead.test"; to = "smtp:127.0.0.1:{free_port()}"; }} );')


def test_an_order_is_previewed_confirmed_and_undone(queue):
    send(queue, "", "who@dead.test", 30)
    send(queue, "bob@client.example", "who@dead.test", 3)
    answer = queue.cli("queue", "purge", "--where", "sender=<>")
    assert re.search(r"purge +30 ", answer) and "Nothing has changed" in answer
    assert count(queue, "all") == 33
    job = job_of(answer)
    preview = rows(queue, "purge", "--where", "sender=<>")
    assert sum(r["part"] == "sample" for r in preview) == 10
    assert {"part": "sender", "sender": "<>", "messages": 30}.items() <= preview[1].items()
    queue.cli("queue", "confirm", job)
    assert queue.cli("queue", "confirm", job, check=False).returncode == 1
    wait_for("the rows to follow", lambda: state_of(queue, job) == "done")
    assert count(queue, "all") == 3
    assert count(queue, "state=purged") == 30
    queue.cli("queue", "undo", job)
    wait_for("the rows to come back", lambda: state_of(queue, job) == "undone")
    assert count(queue, "sender=<>") == 30


def test_a_standing_order_catches_what_arrives_until_it_is_dropped(queue):
    job = job_of(queue.cli("queue", "hold", "--where", "sender=*@news.example", "--standing", "--for", "2d",
                           "--yes", "--why", "ticket 7"))
    send(queue, "a@news.example", "alice@example.test", 2)
    send(queue, "b@client.example", "alice@example.test")
    queue.wait_messages("alice", 1)
    held = rows(queue, "list", "--where", f"incident={job} state=held")
    assert len(held) == 2
    assert [r["why"] for r in rows(queue, "orders")] == ["ticket 7"]
    told = queue.cli("queue", "explain", held[0]["id"])
    assert f"held by incident {job}" in told and "ticket 7" in told and "sender=*@news.example" in told
    queue.cli("queue", "orders", "drop", job)
    assert rows(queue, "orders") == []
    send(queue, "a@news.example", "alice@example.test")
    queue.wait_messages("alice", 2)
    queue.cli("queue", "release", "--where", f"incident={job}", "--yes")
    queue.wait_messages("alice", 4)


def test_an_order_is_undone_after_a_restart(queue):
    send(queue, "", "who@dead.test", 5)
    job = job_of(queue.cli("queue", "purge", "--where", "rcpt-domain=dead.test", "--standing", "--yes"))
    wait_for("the rows to follow", lambda: state_of(queue, job) == "standing")
    queue.stop()
    queue.start()
    send(queue, "", "who@dead.test", 2)
    assert count(queue, "all") == 0
    queue.cli("queue", "undo", job)
    wait_for("the rows to come back", lambda: state_of(queue, job) == "undone")
    assert count(queue, "all") == 7


def test_an_order_that_fits_nothing_says_so_and_one_that_is_confirmed_is_a_sentence(queue):
    send(queue, "bob@client.example", "who@dead.test")
    assert queue.cli("queue", "purge", "--where", "sender=no@such.test").endswith(
        "\nNo message fits. Nothing has changed.\n")
    job = re.search(r"queue confirm (\d+)", queue.cli("queue", "hold", "--where", "all"))[1]
    assert queue.cli("queue", "confirm", job).startswith(f"Job {job} is in force")
    # what was under way when it came into force ends its attempt first
    wait_for("all to be held", lambda: {r["state"] for r in rows(queue, "list")} == {"held"})
    assert queue.cli("queue", "undo", job).startswith(f"Job {job} is not in force")


def test_the_header_of_a_message_is_shown_with_room_for_its_tabs(queue):
    send(queue, "bob@client.example", "who@dead.test")
    shown = queue.cli("queue", "show", rows(queue, "list")[0]["id"])
    assert re.search(r"^ +for <", shown, re.M) and "\\x09" not in shown


def test_who_asks_wrongly_is_told_where(queue):
    for words, says in [
        (("purge", "--where", "colour=red"), 'at 1: there is no "colour"'),
        (("hold", "--where", "age=1h"), "at 4: age needs > or <"),
        (("list", "--where", "sender=<> state=x"), "at 17: state needs queued"),
        (("retry", "--where", "all", "--standing"), "usage: holdfast queue retry"),
        (("hold", "--where", "all", "--for", "2d"), "usage: holdfast queue hold"),
        (("undo", "999"), "no such job"),
        (("orders", "drop", "999"), "no standing order"),
        (("explain", "0000000000000"), "no message of that id"),
        (("shape", "--by", "colour"), "usage: holdfast queue shape"),
    ]:
        got = queue.cli("queue", *words, check=False)
        code = 2 if says.startswith("usage:") else 1
        assert got.returncode == code and says in got.stderr, (words, got.stderr)


def test_the_shape_counts_by_destination_age_and_sender(queue):
    send(queue, "", "who@dead.test", 4)
    send(queue, "bob@client.example", "who@dead.test", 2)
    total, one = rows(queue, "shape")
    assert (total["destination"], total["total"], total["5m"]) == ("TOTAL", 6, 6)
    assert one["destination"].startswith("smtp:127.0.0.1:") and one["total"] == 6
    assert [(r["sender"], r["total"]) for r in rows(queue, "shape", "--by", "sender")] == [
        ("TOTAL", 6), ("<>", 4), ("bob@client.example", 2)]
    assert [r["client"] for r in rows(queue, "shape", "--by", "client", "--where", "sender=<>")] == [
        "TOTAL", "127.0.0.1"]


def test_mailq_looks_as_administrators_know_it(queue, tmp_path):
    assert queue.cli("mailq") == "Mail queue is empty\n"
    send(queue, "", "who@dead.test")
    send(queue, "bob@client.example", "who@dead.test")
    queue.cli("queue", "hold", "--where", "sender=bob@*", "--yes")
    link = tmp_path / "mailq"
    link.symlink_to(HOLDFAST)
    wait_for("the hold", lambda: count(queue, "state=held") == 1)
    lines = subprocess.run([link, "--config", queue.config], capture_output=True, text=True,
                           timeout=PATIENCE, check=True).stdout.splitlines()
    assert lines[0].startswith("-Queue ID-") and lines[0].endswith("-Sender/Recipient-------")
    first = re.fullmatch(r"[0-9a-z]{13}[ *] +\d+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d  MAILER-DAEMON", lines[1])
    assert first, lines
    assert any(re.fullmatch(r"[0-9a-z]{13}! +\d+ .*  bob@client.example", line) for line in lines)
    assert sum(line.strip() == "who@dead.test" for line in lines) == 2
    assert re.fullmatch(r"-- \d+ Kbytes in 2 Requests\.", lines[-1])


def test_on_a_terminal_it_asks_before_it_does_anything(queue):
    send(queue, "", "who@dead.test", 2)
    for said, left in ((b"n\n", 2), (b"y\n", 0)):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(HOLDFAST, [str(HOLDFAST), "queue", "purge", "--where", "sender=<>", "--config",
                                str(queue.config)])
        heard = b""
        while b"[y/N]" not in heard:
            heard += os.read(fd, 4096)
        os.write(fd, said)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(fd)
        wait_for("the answer to count", lambda n=left: count(queue, "all") == n)


def fill(server, junk, good):
    """Straight into the database of a server that is stopped, as it would lie there."""
    db = sqlite3.connect(server.dir / "queue" / "queue.db")
    hop, = db.execute("select id from destination where target <> ''").fetchone()
    like, = db.execute("select max(id) from message").fetchone()
    columns = [r[1] for r in db.execute("pragma table_info (message)")][1:]
    names = ", ".join(c for c in columns if c != "sender")
    for n in range(1, junk + good + 1):
        sender = "" if n <= junk else "bob@client.example"
        db.execute(f"insert into message (id, {names}, sender) select id + ?, {names}, ? from message where id = ?",
                   (n, sender, like))
        db.execute("insert into body (id, bytes) select id + ?, bytes from body where id = ?", (n, like))
        db.execute("insert into recipient (message, number, address, mailbox, destination, state, attempts, due)"
                   " select ?, 0, ?, ?, ?, 0, 0, 0", (like + n, "who@dead.test", "who@dead.test", hop))
    db.commit()
    db.close()
    owner = os.stat(server.dir / "queue" / "queue.db").st_uid
    for file in (server.dir / "queue").glob("queue.db*"):
        os.chown(file, owner, -1)


def test_a_store_that_is_killed_in_the_middle_of_a_purge_goes_on_with_it(queue):
    send(queue, "", "who@dead.test")
    queue.stop()
    fill(queue, 20000, 50)
    queue.start()
    job = job_of(queue.cli("queue", "purge", "--where", "sender=<>", "--standing", "--yes"))
    queue.kill_role("store")
    wait_for("another store", lambda: queue.cli("queue", "orders", check=False).returncode == 0)
    send(queue, "", "alice@example.test")
    assert state_of(queue, job) in ("running", "standing")
    wait_for("all rows", lambda: state_of(queue, job) == "standing")
    assert count(queue, "state=purged") == 20002
    assert count(queue, "all") == 50
    assert queue.messages("alice") == []
    send(queue, "bob@client.example", "alice@example.test")
    queue.wait_messages("alice", 1)


def test_nothing_good_is_lost_when_the_store_is_killed_again_and_again_during_a_purge(queue):
    send(queue, "", "who@dead.test")
    queue.stop()
    fill(queue, 30000, 0)
    queue.start()
    job = job_of(queue.cli("queue", "purge", "--where", "sender=<>", "--yes"))
    crowd = Crowd(queue, 7)
    try:
        for _ in range(3):
            crowd.kill_at_a_random_instant(["store"])
        crowd.finish()
    finally:
        crowd.stop()
    crowd.judge()
    wait_for("all rows", lambda: state_of(queue, job) == "done")
    assert count(queue, "state=purged") == 30001
    assert count(queue, "sender=<>") == 0
