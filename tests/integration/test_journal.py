"""The journal of a real server: every deed, whatever the log folds, and after a kill -9."""
import contextlib
import json
import socket
import subprocess

import pytest

import conftest
from conftest import PATIENCE, Talk, wait_for

SETTINGS = 'log: { full = 1; };\njournal: { size = "1m"; };\n'


@pytest.fixture
def written(make_server):
    return make_server(settings=SETTINGS)


def deeds(server, *words):
    return [json.loads(line)
            for line in server.cli("journal", "export", *words, "--json").splitlines()]


def try_to_relay(server, source, times):
    talk = Talk(server.port, source).hello()
    talk.ask("MAIL FROM:<a@client.example>")
    for i in range(times):
        assert talk.ask(f"RCPT TO:<victim{i}@elsewhere.example>").startswith(b"5")
    talk.close()


def relays(server, source):
    return [d for d in deeds(server, "--client", source) if d["event"] == "relay-denied"]


def test_each_deed_is_there_though_the_log_folds(written):
    try_to_relay(written, "127.0.0.8", 15)
    try_to_relay(written, "127.0.0.9", 5)
    wait_for("the journal", lambda: len(relays(written, "127.0.0.8")) == 15
             and len(relays(written, "127.0.0.9")) == 5)
    found = relays(written, "127.0.0.8")
    assert all(f"<victim{i}@elsewhere.example>" in d["text"] for i, d in enumerate(found))
    assert all(d["count"] == 1 and d["from"] == "127.0.0.8" for d in found)
    points = [d["points"] for d in found]
    assert points == sorted(points) and points[0] > 0
    assert len({d["session"] for d in found}) == 1
    assert len(relays(written, "127.0.0.0/24")) == 20
    assert relays(written, "127.0.0.10") == []
    wait_for("the last hour to be all", lambda: deeds(written, "--since", "1h") == deeds(written))
    # the log wrote one line and counted the others
    assert written.log().count("log=offence role=edge") < 10
    status = written.cli("status")
    assert "journal" in status and "journal-lost" in status


def test_the_journal_outlives_kill_9_of_everything_and_goes_on(written):
    try_to_relay(written, "127.0.0.8", 4)
    wait_for("the journal", lambda: len(relays(written, "127.0.0.8")) == 4)
    written.kill_everything()
    # nobody is there to ask: the file says it
    assert len(relays(written, "127.0.0.8")) == 4
    written.start()
    try_to_relay(written, "127.0.0.8", 3)
    wait_for("the journal", lambda: len(relays(written, "127.0.0.8")) == 7)
    assert written.stop() == 0
    assert len(relays(written, "127.0.0.8")) == 7


def test_the_file_stays_within_its_size(written):
    for _ in range(4):
        talks = [Talk(written.port, "127.0.0.8").hello() for _ in range(4)]
        for talk in talks:
            talk.ask("MAIL FROM:<a@client.example>")
            with contextlib.suppress(ConnectionError):  # it may have heard enough before that
                talk.send("".join(f"RCPT TO:<{'x' * 60}{i}@elsewhere.example>\r\n" for i in range(2000)))
        for talk in talks:
            while talk.reply():
                pass
            talk.close()
    wait_for("deeds", lambda: len(relays(written, "127.0.0.8")) > 0)
    assert (written.dir / "log" / "journal").stat().st_size <= 1 << 20 | 4096


def test_a_file_that_is_no_journal_is_put_aside(written):
    written.stop()
    file = written.dir / "log" / "journal"
    file.write_bytes(b"not a journal" * 1000)
    got = written.cli("journal", "export", check=False)
    assert got.returncode == 1 and "not a journal" in got.stderr
    written.start()
    try_to_relay(written, "127.0.0.8", 2)
    wait_for("the journal", lambda: len(relays(written, "127.0.0.8")) == 2)
    assert (written.dir / "log" / "journal.old").read_bytes()[:13] == b"not a journal"


def test_a_torn_end_costs_no_more_than_what_is_torn(written):
    try_to_relay(written, "127.0.0.8", 6)
    wait_for("the journal", lambda: len(relays(written, "127.0.0.8")) == 6)
    written.stop()
    file = written.dir / "log" / "journal"
    whole = file.read_bytes()
    for left in (len(whole.rstrip(b"\0")) - 5, 4096 + 16, 4096, 100, 0):
        file.write_bytes(whole[:left])
        got = subprocess.run([conftest.HOLDFAST, "journal", "export", file, "--json"],
                             capture_output=True, text=True, timeout=PATIENCE)
        assert got.returncode in (0, 1), got
        assert len([line for line in got.stdout.splitlines() if "relay-denied" in line]) <= 6
    file.write_bytes(whole[:len(whole.rstrip(b"\0")) - 5])
    assert len(relays(written, "127.0.0.8")) >= 5


def test_refusals_at_connect_are_there_with_their_number(make_server):
    server = make_server(settings=SETTINGS + 'deny = [ "127.0.0.66" ];\nguard: { mode = "enforce"; };\n')
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE, ("127.0.0.66", 0)) as s:
            assert s.makefile("rb").readline().startswith(b"554 5.7.1")

    def refused():
        return [d for d in deeds(server, "--client", "127.0.0.66") if d["rule"] == "denied"]
    # a record for the first, the second, and then for twice as many each time: of two edges, in any order
    wait_for("the journal", lambda: sorted(d["count"] for d in refused()) == [1, 1, 2])
    assert all(d["session"] == "" or int(d["session"], 36) == 0 for d in refused())
    server.wait_log("log=refused")
    assert server.log().count("log=refused") == 1 and "log=offence" not in server.log()


def test_no_size_is_no_journal(make_server):
    server = make_server(settings='journal: { size = "0"; };\n')
    try_to_relay(server, "127.0.0.8", 2)
    assert not (server.dir / "log" / "journal").exists()
    got = server.cli("journal", "export", check=False)
    assert got.returncode == 1 and "journal.size" in got.stderr
