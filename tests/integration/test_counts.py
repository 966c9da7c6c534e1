"""What the server counted is what its attackers heard, to the last one."""
import itertools
import json

import pytest
from conftest import LONG_PATIENCE, wait_for
from test_rehearse import play

ATTACK = """
id = "T2"; title = "counted"; about = "few"; ends = "counted";
phases = {{ quiet = "1s"; attack = "5s"; after = "1s"; }};
attackers = ( {{
    name = "them"; title = "them"; from = {{ addresses = {addresses}; }};
    visits = {visits}; parallel = 4; patience = "20s";
    dialogue = [ {dialogue} ];
}} );
beside = [ "regular" ];
promises = ( {{ promise = "alive"; }} );
"""
VISITS = 5  # of each address
HELLO = ["expect 220", "send EHLO a.example", "expect 250", "send MAIL FROM:<a@b.example>", "expect 250"]
RELAY = HELLO + ["send RCPT TO:<x@elsewhere.example>", "hear", "send QUIT", "expect 221", "close"]
HARVEST = HELLO + ["repeat 4", "send RCPT TO:<{random 8}@{domain}>", "hear", "again",
                   "send RCPT TO:<{recipient}>", "hear", "send QUIT", "expect 221", "close"]


def heard(result, stage, how, actors=None):
    return sum(p["heard"].get(stage, {}).get(how, 0) for a in result["actors"]
               if actors is None or a["name"] in actors for p in a["phases"])


def begun(result):
    return sum(p["begun"] for a in result["actors"] for p in a["phases"])


def counted(server):
    return {(row["kind"], row["name"]): row["count"]
            for row in map(json.loads, server.cli("counters", "--json").splitlines())}


def all_came_and_went(result):
    """
    Their time goes by, and who is due is let off, while the generator has no turn; and who is there
    when it is over leaves at once, and does not hear what is counted of him.
    """
    came = {a["name"]: sum(p["begun"] for p in a["phases"]) for a in result["actors"]}
    cut = any("over" in ends for a in result["actors"] for p in a["phases"] for ends in p["ended"].values())
    return came["them"] >= VISITS and came["regular"] > 0 and not cut


@pytest.fixture
def attacked(make_server, home, tmp_path):
    def attack(number, dialogue, addresses, guard):
        server = make_server(dir=home / f"data{number}",
                             settings=f'guard: {{ mode = "{guard}"; }};\nsmtp: {{ greet-delay = "0s"; }};\n')
        # the test's own probes; the last one may not have left yet
        wait_for("nobody to be there", lambda: '"sessions":0' in server.cli("status", "--json"))
        before = counted(server)
        scenario = tmp_path / "attack.conf"
        lines = ", ".join(f'"{line}"' for line in dialogue)
        scenario.write_text(ATTACK.format(dialogue=lines, addresses=addresses, visits=VISITS))
        got, result = play(tmp_path, "--to", f"127.0.0.1:{server.port}", "--domain", "example.test",
                           "--recipient", "alice@example.test", "--seed", "7", "--warm", "0s",
                           "--ceiling", "0", scenario)
        assert result and result["complete"], got.stderr
        wait_for("the last session to end", lambda: '"sessions":0' in server.cli("status", "--json"))

        def since():
            now = counted(server)
            return {key: n - before[key] for key, n in now.items()}
        return server, result, since

    def attack_that_was_one(dialogue, addresses=40, guard="observe"):
        numbers = itertools.count()

        def attack_now():
            server, result, since = attack(next(numbers), dialogue, addresses, guard)
            if all_came_and_went(result):
                return result, since
            server.stop()  # the next one has its place, but knows nobody yet
            return None
        return wait_for("an attack with all who were to come, and nobody cut off", attack_now, LONG_PATIENCE)
    return attack_that_was_one


@pytest.mark.parametrize("dialogue, event", [(RELAY, "relay-denied"), (HARVEST, "unknown-user")])
def test_each_refused_recipient_is_counted_once(attacked, dialogue, event):
    result, since = attacked(dialogue)
    refused = heard(result, "rcpt", "no")
    assert refused > 0 and heard(result, "body", "yes", ["regular"]) > 0
    wait_for("the counters", lambda: since()["event", event] == refused)
    n = since()
    assert n["event", "recipient-accepted"] == heard(result, "rcpt", "yes")
    assert n["event", "message-accepted"] == heard(result, "body", "yes")
    # lines are folded, records are not
    assert n["record", "rejected"] == refused

    def all_told():
        """The generator looks now and then whether somebody is there; the last look may not be over yet."""
        n = since()
        sessions = begun(result) + n["event", "nothing-said"]
        ends = sum(count for (kind, _), count in n.items() if kind == "end")
        return n["record", "session"] == ends == sessions
    wait_for(f"a record and an end for each of {begun(result)} sessions: {n}", all_told)


def test_each_refused_connection_is_counted_once(attacked):
    result, since = attacked(RELAY, addresses=1, guard="enforce")
    them = next(a for a in result["actors"] if a["name"] == "them")
    ended = {}
    for phase in them["phases"]:
        for how, number in phase["ended"].get("connect", {}).items():
            ended[how] = ended.get(how, 0) + number
    refused = sum(ended.get(how, 0) for how in ("refused", "later", "dropped"))
    assert ended.get("refused", 0) > 0 and heard(result, "rcpt", "no") > 0

    def all_counted():
        """They are no sessions, and the last is counted when it has its answer."""
        n = since()
        return sum(n["event", e] for e in ("came-again", "too-fast", "too-many-sessions", "denied")) == refused
    wait_for(f"the counters: {ended}", all_counted)
