"""Attacks on passwords and accounts, as holdfast-rehearse plays them, against a real server.

The scenarios are those that it comes with, in short. Where users of IMAP are beside or attack, others who
do the same over submission stand in.
"""
import email
import re
import smtplib

import pytest

from conftest import PATIENCE, TOP, free_port, wait_for
from hops import Hop
from test_accounts import parts, rows
from test_rehearse import phase_of, play

ALICE, BOB = "alice@example.test", "bob@example.test"
HOME, HOTEL = "127.0.0.1", "127.250.7.7"
SCENARIOS = TOP / "rehearse" / "scenarios"

# The guard as it comes, but what is held back is held back for a second at most.
SETTINGS = """
auth: { delay = "200ms"; delay-max = "1s"; };
guard: { mode = "enforce"; lookups = false; };
queue: { retry-first = "1s"; retry-max = "5s"; };
"""


@pytest.fixture
def server(make_server):
    with Hop(lmtp=False) as hop:
        made = make_server(start=False, tls=True, settings=SETTINGS,
                           deliver=f'relay = "smtp:127.0.0.1:{hop.port}"; dane = false;')
        made.submission, made.hop = free_port(), hop
        made.config.write_text(made.config.read_text().replace(
            "listen = (", f'listen = ( {{ address = "127.0.0.1:{made.submission}"; service = "submission"; }},'))
        yield made.start()


def rehearse(server, tmp_path, scenario, *words, beside="submitter-plain,regular", logins=(ALICE,),
             attack="6s"):
    """Play it; its result. In five seconds each user beside has been there from each address."""
    for login in logins:
        words += ("--login", f"{login}:{server.password}")
    got, result = play(
        tmp_path, "--to", f"127.0.0.1:{server.port}", "--submission", f"127.0.0.1:{server.submission}",
        "--recipient", BOB, "--domain", "example.test",
        "--warm", "6s", "--quiet", "1s", "--attack", attack, "--after", "1s", "--ceiling", "0",
        "--beside", beside, "--server-pid", server.process.pid, *words, scenario)
    assert got.returncode == 0 and result["complete"], got.stdout + got.stderr
    return result


def promises(result):
    return {p["promise"]: p["verdict"] for p in result["promises"]}


def all_served(result):
    """Whoever was due beside the attack got what it came for; how fast depends on who else uses this machine."""
    due = [p for a in result["actors"] if a["honest"] for p in a["phases"] if p["phase"] == "attack"]
    return sum(p["asked"] for p in due) >= 20 and all(p["done"] == p["asked"] for p in due)


def refused_at_connect(result):
    """How many visits of attackers ended at the greeting."""
    return sum(sum(p["ended"].get("connect", {}).values()) for a in result["actors"] if not a["honest"]
               for p in a["phases"] if p["phase"] == "attack")


def changed(tmp_path, name, *changes):
    """A scenario that is shipped, with other figures."""
    text = (SCENARIOS / f"{name}.conf").read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = tmp_path / f"{name}-changed.conf"
    path.write_text(text)
    return path


def log_in(server, source, password=None, helo="laptop.example"):
    """The code of the answer."""
    with smtplib.SMTP("127.0.0.1", server.submission, helo, PATIENCE, (source, 0)) as s:
        s.ehlo()
        try:
            return s.login(ALICE, password or server.password)[0]
        except smtplib.SMTPAuthenticationError as e:
            return e.smtp_code


def records(server, word):
    return re.findall(rf"log={word} .*", server.log())


def notices(server, subject):
    """What its owner can read, of the mails with that subject."""
    found = [email.message_from_bytes(raw) for raw in server.messages("alice")]
    return [m.get_payload() for m in found if m["Subject"] == subject]


def test_distributed_guessing_is_one_campaign_and_the_owner_gets_in(server, tmp_path):
    """A7"""
    assert log_in(server, HOME) == 235
    # so slowly that all of them can be checked
    result = rehearse(server, tmp_path, "a7-distributed-guessing", "--scale", "0.1", logins=(ALICE, BOB), attack="15s")
    assert all_served(result) and promises(result)["no-breach"] == "kept", result["promises"]
    # one campaign, whose later members nobody looked at
    [campaign] = rows(server, "campaigns")
    assert campaign["by"] == "the same names that do not exist"
    assert campaign["members"] >= 8 and campaign["refused-unseen"] >= 1
    assert len(records(server, "campaign")) == 1
    # who was guessed at is guarded, and can tell since when
    told = parts(server, ALICE)
    assert told["verdict"]["guarded"] and told["diagnosis"]["is"] == "guesser"
    assert [name for name in (ALICE, BOB) if len(records(server, f"account-guarded .*{name}")) == 1] == [ALICE, BOB]
    assert len(rows(server, "user", "failures", ALICE)) >= 10
    [notice] = wait_for("a notice", lambda: notices(server, "Your password is being guessed at"))
    assert "127." in notice
    # from where she is known, and from where she never was
    assert log_in(server, HOME) == 235
    assert log_in(server, HOTEL, helo="hotel.example") == 235
    assert log_in(server, HOTEL, "wrong", helo="hotel.example") == 535


def test_a_prefix_that_guesses_is_refused_at_connect_and_not_its_neighbours(server, tmp_path):
    """A8, five times as fast"""
    scenario = changed(tmp_path, "a8-prefix-guessing", ("rate = 4.0", "rate = 20.0"))
    result = rehearse(server, tmp_path, scenario)
    assert all_served(result)
    assert {p for p, verdict in promises(result).items() if verdict == "kept"} >= {
        "no-breach", "alive"}, result["promises"]
    # how many get in before depends on how fast this machine hashes
    assert refused_at_connect(result)
    [campaign] = rows(server, "campaigns")
    assert campaign["by"] == "one network" and len(records(server, "campaign")) == 1
    assert not parts(server, ALICE)["verdict"]["guarded"]


STALE = """
id = "A2b"; title = "old password"; about = "old password"; ends = "told so";
attackers = (
    {
        name = "devices"; title = "3 devices, old password"; service = "submission";
        from = { addresses = 3; }; rate = 6.0; even = true; parallel = 100; patience = "30s";
        dialogue = [ "expect 220", "send EHLO phone.example", "expect 250",
            "raw AUTH PLAIN {base64 \\\\0{login}\\\\0last-year}\\r\\n", "expect 235", "send NOOP", "never 2", "done" ];
    },
    {
        name = "traveller"; title = "the owner in new places"; service = "submission";
        from = { addresses = 12; }; rate = 2.0; even = true; parallel = 100; patience = "30s";
        dialogue = [ "expect 220", "send EHLO hotel.example", "expect 250",
            "raw AUTH PLAIN {base64 \\\\0{login}\\\\0{password}}\\r\\n", "expect 235", "done" ];
    }
);
beside = [ "submitter-plain", "regular" ];
promises = ( { promise = "no-breach"; } );
"""


def test_devices_with_an_old_password_are_only_told_so(server, tmp_path):
    """A2b, and the traveller"""
    server.cli("user", "passwd", ALICE, "--password", "last-year")
    assert log_in(server, HOME, "last-year", "phone.example") == 235
    server.cli("user", "passwd", ALICE, "--password", server.password)
    scenario = tmp_path / "stale.conf"
    scenario.write_text(STALE)
    result = rehearse(server, tmp_path, scenario)
    assert all_served(result) and promises(result)["no-breach"] == "kept", result["promises"]
    devices = phase_of(result, "devices", "attack")
    # never at connect, never put off; the last ones wait for their answer when it is over
    assert devices["ended"].keys() == {"auth"} and devices["heard"]["auth"]["no"] >= devices["begun"] - 9
    assert devices["ended"]["auth"].keys() <= {"refused", "over"}
    traveller = phase_of(result, "traveller", "attack")
    assert traveller["done"] == traveller["begun"] >= 10
    assert rows(server, "bans") == rows(server, "campaigns") == []
    told = parts(server, ALICE)
    assert not told["verdict"]["guarded"] and told["history"]["different-wrong-passwords"] == 1


def test_an_owner_reads_which_device_has_an_old_password(server):
    """It is told after two minutes: who mistypes has stopped by then."""
    server.cli("user", "passwd", ALICE, "--password", "last-year")
    assert log_in(server, HOME, "last-year", "phone.example") == 235
    server.cli("user", "passwd", ALICE, "--password", server.password)
    subject = "A device of yours tries an old password"

    def told():
        assert log_in(server, HOME, "last-year", "phone.example") == 535
        return notices(server, subject)
    [notice] = wait_for("a notice", told, 120 + 2 * PATIENCE)
    assert HOME in notice and "phone.example" in notice
    assert parts(server, ALICE)["diagnosis"]["is"] == "stale-password"
    # once a day
    assert log_in(server, HOME, "last-year", "phone.example") == 535
    assert len(notices(server, subject)) == 1
    assert log_in(server, HOME) == 235


def test_a_hijacked_account_is_braked_and_nothing_is_lost(server, tmp_path):
    """A11"""
    result = rehearse(server, tmp_path, "a11-hijacked-account", beside="regular")
    assert promises(result)["alive"] == "kept"
    thieves = phase_of(result, "thieves", "attack")
    assert thieves["done"] >= 300
    brakes = records(server, "brake")
    assert brakes and all(ALICE in b for b in brakes)

    def out():
        with server.hop.lock:
            return {rcpt for _, rcpt, _ in server.hop.taken}

    def held():
        return server.cli("queue", "list", "--where", f"account={ALICE}", "--limit", "10000", "--json").splitlines()

    def total():
        """Of one that was taken as the attack ended nobody heard."""
        return thieves["done"] <= len(out()) + len(held()) <= thieves["begun"]
    wait_for("what is not held to be sent", total)
    # it stops within the first 200 people who never heard from that account, and nothing is lost
    taken = len(out()) + len(held())
    assert len(out()) <= 200 < len(held())
    # its owner is told, and gets in
    assert server.wait_messages("alice", 1)
    assert parts(server, ALICE)["diagnosis"]["is"] == "thief"
    assert log_in(server, HOME) == 235
    server.cli("queue", "release", "all")
    wait_for("all of it", lambda: len(out()) == taken)
