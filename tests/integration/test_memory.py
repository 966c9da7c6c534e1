"""What the guard remembers outlives whoever writes it down."""
import os
import re
import signal
import sqlite3
import time

import pytest

from conftest import Talk, wait_for
from test_life import replace_program, replaced, upgradable  # noqa: F401 (a fixture)

SETTINGS = """
run: { edges = 2; };
guard: {
  mode = "enforce"; connect-rate = 0; snapshot = "10s";
  delay = "0s"; late-at = 100; /* straight to the ban */
};
firewall: { enabled = false; };
"""
BAD, GOOD = "127.0.0.66", "127.0.0.7"


def greeting(server, source):
    talk = Talk(server.port, source)
    line = talk.reply()
    talk.close()
    return line


def is_refused(server, source=BAD):
    return greeting(server, source)[:3] in (b"421", b"554")


def get_banned(server, source=BAD):
    talk = Talk(server.port, source)
    talk.reply()
    talk.ask("EHLO bot.example")
    talk.ask("MAIL FROM:<a@bot.example>")
    for i in range(20):
        if not talk.ask(f"RCPT TO:<victim{i}@elsewhere.example>"):
            break
    talk.close()
    wait_for(f"{source} to be banned", lambda: is_refused(server, source))
    assert greeting(server, GOOD).startswith(b"220")


def code_of(server, source=BAD):
    return re.search(rb"\[?([A-Z][0-9A-Z]{6})\b", greeting(server, source).split(b" ", 2)[2])[1]


def state_database(server):
    return server.dir / "state" / "state.db"  # and not what SQLite has beside it


def snapshots(server):
    """Which half counts, of how many parts it is, and of which memory it is a copy."""
    with sqlite3.connect(f"file:{state_database(server)}?mode=ro", uri=True) as db:
        row = db.execute("select bytes from guard_memory where part = -1").fetchone()
    return tuple(int.from_bytes(row[0][i:i + 8], "little") for i in (0, 8, 16)) if row else None


def begun(server):
    """When the snapshot that counts began to be made, in ms: at bytes 16 to 24 of its head."""
    life, parts, half = snapshots(server) or (0, 0, 0)
    with sqlite3.connect(f"file:{state_database(server)}?mode=ro", uri=True) as db:
        row = db.execute("select bytes from guard_memory where part = ?", (half << 32,)).fetchone()
    return int.from_bytes(row[0][16:24], "little") if row else 0


def wait_snapshot(server):
    """One that was not under way already: that may have passed by what happened a moment ago."""
    now = 1000 * time.time()
    wait_for("a snapshot", lambda: begun(server) > now)


@pytest.fixture
def guarded(make_server):
    return make_server(settings=SETTINGS)


def wait_restored(server, rows=r"[1-9]\d*"):
    server.wait_log(rf"log=memory .*what=restored rows={rows} ")


def test_a_ban_outlives_a_stop_and_a_start(guarded):
    get_banned(guarded)
    assert guarded.stop() == 0
    guarded.start()
    wait_restored(guarded)
    assert is_refused(guarded)
    assert greeting(guarded, GOOD).startswith(b"220")


def test_a_server_that_stops_as_soon_as_it_has_started_forgets_nothing(guarded):
    get_banned(guarded)
    assert guarded.stop() == 0
    guarded.errors.write_text("")
    for _ in range(5):
        guarded.start(wait=False)
        # not before it can be stopped in order; as early as possible after that
        guarded.wait_log("log=listening")
        guarded.stop()
        guarded.errors.write_text("")
    guarded.start()
    wait_restored(guarded)
    assert is_refused(guarded)


def test_after_an_unclean_end_what_the_last_snapshot_had_is_there(guarded):
    get_banned(guarded)
    wait_snapshot(guarded)
    guarded.kill_everything()
    guarded.start()
    wait_restored(guarded)
    assert is_refused(guarded)


def test_a_ban_and_its_code_outlive_the_edges(guarded):
    get_banned(guarded)
    code = code_of(guarded)
    for _ in range(3):
        victims = guarded.kill_role("edge")
        assert len(victims) == 2
        wait_for("new edges", lambda: len(guarded.pids("edge")) == 2
                 and not set(guarded.pids("edge")) & set(victims))
        assert is_refused(guarded)
        assert code_of(guarded) == code
    assert greeting(guarded, GOOD).startswith(b"220")
    assert "what=restored" not in guarded.log()


def test_no_seat_is_lost_with_the_edge_that_had_it(guarded):
    """The sessions of a dead edge are neither shown nor counted any more."""
    held = [Talk(guarded.port, GOOD) for _ in range(8)]
    assert all(talk.reply().startswith(b"220") for talk in held)
    wait_for("eight sessions", lambda: guarded.cli("sessions").count(GOOD) == 8)
    victims = guarded.kill_role("edge")
    wait_for("new edges", lambda: len(guarded.pids("edge")) == 2
             and not set(guarded.pids("edge")) & set(victims))
    wait_for("no sessions", lambda: guarded.cli("sessions").count(GOOD) == 0)
    for talk in held:
        talk.close()
    held = [Talk(guarded.port, GOOD) for _ in range(8)]
    assert all(talk.reply().startswith(b"220") for talk in held)
    wait_for("eight sessions", lambda: guarded.cli("sessions").count(GOOD) == 8)
    for talk in held:
        talk.close()


def test_a_ban_outlives_store_and_watch_and_the_store_merges_nothing_twice(guarded):
    get_banned(guarded)
    wait_snapshot(guarded)
    for role in ("store", "watch"):
        gone = guarded.kill_role(role)
        wait_for(f"a new {role}", lambda: replaced(guarded, role, gone))
    guarded.wait_ready()
    guarded.wait_known("alice@example.test")
    assert is_refused(guarded)
    assert "what=restored" not in guarded.log()


@pytest.mark.usefixtures("upgradable")
def test_a_ban_and_its_code_outlive_an_upgrade(upgradable):  # noqa: F811
    server = upgradable
    text = re.sub(r"(?s)guard: \{.*?\};", "", server.config.read_text())
    server.config.write_text(text + re.search(r"(?s)guard: \{.*?\};", SETTINGS)[0])
    server.stop()
    server.start()
    get_banned(server)
    code = code_of(server)
    replace_program(server, server.program.read_bytes())
    server.process.send_signal(signal.SIGUSR2)
    server.wait_log("roles have all ended")
    assert is_refused(server)
    assert code_of(server) == code
    assert len(re.findall("log=memory .*what=made", server.log())) <= 2  # of the two starts
    assert "another version" not in server.log()


def damage(server, how):
    with sqlite3.connect(state_database(server)) as db:
        life, parts, half = snapshots(server)
        first = half << 32
        part = bytearray(db.execute("select bytes from guard_memory where part = ?",
                                    (first,)).fetchone()[0])
        db.execute("update guard_memory set bytes = ? where part = ?",
                   (bytes(how(part)), first))
    db.close()


@pytest.mark.parametrize("name,how,banned", [
    ("rows between", lambda b: b[:64] + os.urandom(320) + b[64:], True),
    ("a lying head", lambda b: os.urandom(64) + b[64:], True),
    ("cut off", lambda b: b[:-7], None),
    ("nothing but noise", lambda b: os.urandom(len(b)), False),
    ("less than a head", lambda b: b[:10], False),
])
def test_of_a_damaged_snapshot_what_is_whole_comes_back(guarded, name, how, banned):
    get_banned(guarded)
    assert guarded.stop() == 0
    damage(guarded, how)
    guarded.errors.write_text("")
    guarded.start()
    wait_restored(guarded, rows=r"\d+")
    assert greeting(guarded, GOOD).startswith(b"220")
    if banned is not None:
        assert is_refused(guarded) == banned
    get_banned(guarded, "127.0.0.99")
    assert guarded.stop() == 0
    guarded.start()
    wait_for("what is remembered", lambda: is_refused(guarded, "127.0.0.99"))


@pytest.mark.parametrize("head", [b"", b"x" * 24, b"\0" * 24, b"\xff" * 24])
def test_a_head_that_makes_no_sense_is_no_snapshot(guarded, head):
    get_banned(guarded)
    assert guarded.stop() == 0
    with sqlite3.connect(state_database(guarded)) as db:
        db.execute("update guard_memory set bytes = ? where part = -1", (head,))
    db.close()
    guarded.start()
    assert greeting(guarded, GOOD).startswith(b"220")
    assert not is_refused(guarded)
