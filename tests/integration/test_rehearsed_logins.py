"""Attacks on passwords and accounts, as holdfast-rehearse plays them, against a real server.

The scenarios are those that it comes with, in short. Where users of IMAP are beside or attack, others who
do the same over submission stand in.
"""
import contextlib
import email
import itertools
import json
import pathlib
import re
import shutil
import smtplib
import tempfile
import time

import pytest

from conftest import PATIENCE, TOP, Server, free_port, wait_for
from hops import Hop
from test_accounts import parts, rows
from test_rehearse import cut_off, ended, phase_of, play

ALICE, BOB = "alice@example.test", "bob@example.test"
HOME, HOTEL = "127.0.0.1", "127.250.7.7"
SCENARIOS = TOP / "rehearse" / "scenarios"

# The guard as it comes, but what is held back is held back for a second at most, and nobody is sent away
# because this machine stood still for a while.
SETTINGS = """
auth: { delay = "200ms"; delay-max = "1s"; queue = 2000; };
guard: { mode = "enforce"; lookups = false; };
queue: { retry-first = "1s"; retry-max = "5s"; };
"""


def with_submission(made):
    made.submission = free_port()
    made.config.write_text(made.config.read_text().replace(
        "listen = (", f'listen = ( {{ address = "127.0.0.1:{made.submission}"; service = "submission"; }},'))
    return made.start()


@pytest.fixture
def server(make_server):
    with Hop(lmtp=False) as hop:
        made = make_server(start=False, tls=True, settings=SETTINGS,
                           deliver=f'relay = "smtp:127.0.0.1:{hop.port}"; dane = false;')
        made.hop = hop
        yield with_submission(made)


def with_an_old_password(server):
    """A device that has logged in before; it is about to go on with a password that is not hers any more."""
    server.cli("user", "passwd", ALICE, "--password", "last-year")
    assert log_in(server, HOME, "last-year", "phone.example") == 235
    server.cli("user", "passwd", ALICE, "--password", server.password)


@pytest.fixture(scope="module", autouse=True)
def patient(request):
    """A server where a device has begun to give an old password. It takes two minutes until somebody is
    told, so they begin before the other tests of this file do."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    home.chmod(0o755)
    request.addfinalizer(lambda: shutil.rmtree(home, ignore_errors=True))
    made = Server(home, tls=True, settings=SETTINGS)
    request.addfinalizer(made.stop)
    with_submission(made)
    with_an_old_password(made)
    made.tries_since = time.monotonic()
    for _ in range(5):
        assert log_in(made, HOME, "last-year", "phone.example") == 535
    return made


def rehearse(server, tmp_path, scenario, *words, beside="submitter-plain,regular", logins=(ALICE,),
             attack="20s"):
    """Play it; its result. In five seconds each user beside has been there from each address, with this
    seed. An attack is longer than a busy machine stands still."""
    for login in logins:
        words += ("--login", f"{login}:{server.password}")
    got, result = play(
        tmp_path, "--to", f"127.0.0.1:{server.port}", "--submission", f"127.0.0.1:{server.submission}",
        "--recipient", BOB, "--domain", "example.test",
        "--warm", "6s", "--quiet", "1s", "--attack", attack, "--after", "1s", "--ceiling", "0", "--seed", "8",
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


def log_in(server, source, password=None, helo="laptop.example", user=ALICE):
    """The code of the answer."""
    with smtplib.SMTP("127.0.0.1", server.submission, helo, PATIENCE, (source, 0)) as s:
        s.ehlo()
        try:
            return s.login(user, password or server.password)[0]
        except smtplib.SMTPAuthenticationError as e:
            return e.smtp_code


def records(server, word):
    return re.findall(rf"log={word} .*", server.log())


def wait_records(server, word):
    return wait_for(f"log={word}", lambda: records(server, word))


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
    late = itertools.count(1)

    def found():
        """How many joined it depends on when it was found; more may come."""
        campaigns = rows(server, "campaigns")
        if campaigns:
            [campaign] = campaigns
            assert campaign["by"] == "the same names that do not exist"
            if campaign["members"] >= 8 and campaign["refused-unseen"] >= 1:
                return True
        n = next(late)
        with contextlib.suppress(smtplib.SMTPException):  # it may hang up as well
            log_in(server, f"127.{100 + n % 100}.77.9", f"late{n}", f"late{n}.example", "info@example.test")
        return False
    wait_for("a campaign of eight", found)
    assert len(wait_records(server, "campaign")) == 1
    def guarded(name):
        """Where few could be checked before the campaign was found, others have to guess as well."""
        if records(server, f"account-guarded .*{name}"):
            return True
        n = next(late)
        with contextlib.suppress(smtplib.SMTPException):
            log_in(server, f"127.{200 + n % 50}.{n % 250}.9", f"guess{n}", f"another{n}.example", name)
        return False
    # who was guessed at is guarded, and can tell since when
    for name in (ALICE, BOB):
        wait_for(f"{name} to be guarded", lambda: guarded(name))
        assert len(records(server, f"account-guarded .*{name}")) == 1
    told = parts(server, ALICE)
    assert told["verdict"]["guarded"] and told["diagnosis"]["is"] == "guesser"
    wait_for("what was wrong", lambda: len(rows(server, "user", "failures", ALICE)) >= 10)
    [notice] = wait_for("a notice", lambda: notices(server, "Your password is being guessed at"))
    assert "127." in notice
    # from where she is known, and from where she never was
    assert log_in(server, HOME) == 235
    assert log_in(server, HOTEL, helo="hotel.example") == 235
    assert log_in(server, HOTEL, "wrong", helo="hotel.example") == 535


def test_a_prefix_that_guesses_is_refused_at_connect_and_not_its_neighbours(server, tmp_path):
    """A8, five times as fast"""
    scenario = changed(tmp_path, "a8-prefix-guessing", ("rate = 4.0", "rate = 20.0"))
    result = rehearse(server, tmp_path, scenario, attack="15s")
    assert all_served(result)
    assert {p for p, verdict in promises(result).items() if verdict == "kept"} >= {
        "no-breach", "alive"}, result["promises"]
    # how many get in before depends on how fast this machine hashes
    assert refused_at_connect(result)
    [campaign] = rows(server, "campaigns")
    assert campaign["by"] == "one network" and len(wait_records(server, "campaign")) == 1
    assert not parts(server, ALICE)["verdict"]["guarded"]


MOMENTS = 11  # seconds: as long as a busy machine stands still, and auth.delay-max
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
    with_an_old_password(server)
    scenario = tmp_path / "stale.conf"
    scenario.write_text(STALE)
    result = rehearse(server, tmp_path, scenario)
    assert all_served(result) and promises(result)["no-breach"] == "kept", result["promises"]
    devices = phase_of(result, "devices", "attack")
    # never at connect, never put off; who came in the last moments waits for the answer when it is over
    told = devices["begun"] - cut_off(result, "devices")
    assert {how: n for how, n in ended(result, "devices").items() if how[1] != "over"} == {("auth", "refused"): told}
    assert devices["heard"]["auth"] == {"no": told} and told >= devices["due"] - MOMENTS * 6
    traveller = phase_of(result, "traveller", "attack")
    assert traveller["done"] == traveller["begun"] - cut_off(result, "traveller")
    assert traveller["done"] >= traveller["due"] - MOMENTS * 2 >= 10
    assert rows(server, "bans") == rows(server, "campaigns") == []
    told = parts(server, ALICE)
    assert not told["verdict"]["guarded"] and told["history"]["different-wrong-passwords"] == 1


ENOUGH = 400  # so many that most of them are held


def test_a_hijacked_account_is_braked_and_nothing_is_lost(server, tmp_path):
    """A11, where nobody is kept from coming by those before"""
    scenario = changed(tmp_path, "a11-hijacked-account",
                       ('patience = "30s";', 'patience = "60s";\n\t\tparallel = 700;'))
    result = rehearse(server, tmp_path, scenario, beside="regular")
    assert promises(result)["alive"] == "kept"
    thieves = phase_of(result, "thieves", "attack")
    # as many as a fast machine takes from them in that time, and more
    late = max(0, ENOUGH - thieves["done"])
    with smtplib.SMTP("127.0.0.1", server.submission, "thief.example", PATIENCE, (HOTEL, 0)) as s:
        s.login(ALICE, server.password)
        for n in range(late):
            s.sendmail(ALICE, [f"late{n}@many.example"], "Subject: late\r\n\r\nhello\r\n")
    assert all(ALICE in b for b in wait_records(server, "brake"))

    def out():
        with server.hop.lock:
            return {rcpt for _, rcpt, _ in server.hop.taken}

    def queued(*words):
        lines = server.cli("queue", "list", "--where", " ".join((f"account={ALICE}", *words)), "--limit", "10000",
                           "--json").splitlines()
        return {json.loads(line)["rcpt"] for line in lines}

    def total():
        """Of one that was taken as the attack ended nobody heard. Who has left the queue meanwhile is out."""
        return thieves["done"] + late <= len(queued() | out()) <= thieves["begun"] + late
    wait_for("what is not held to be sent", lambda: total() and not queued("!state=held"))
    # it stops within the first 200 people who never heard from that account, and nothing is lost
    held = queued()
    taken = held | out()
    assert len(out()) <= 200 < len(held)
    # its owner is told, and gets in
    # once for each reason: too many places, or too many people, whichever is noticed first
    wait_for("a notice", lambda: notices(server, f"Mail of {ALICE} is held"))
    assert parts(server, ALICE)["diagnosis"]["is"] == "thief"
    assert log_in(server, HOME) == 235
    server.cli("queue", "release", "all")
    wait_for("all of it", lambda: taken <= out())


def test_an_owner_reads_which_device_has_an_old_password(patient):
    """It is told after two minutes: who mistypes has stopped by then."""
    server = patient
    subject = "A device of yours tries an old password"

    def told():
        assert log_in(server, HOME, "last-year", "phone.example") == 535
        return notices(server, subject)
    [notice] = wait_for("a notice", told, 120 + 2 * PATIENCE)
    assert time.monotonic() - server.tries_since > 118  # it counts whole seconds
    assert HOME in notice and "phone.example" in notice
    assert parts(server, ALICE)["diagnosis"]["is"] == "stale-password"
    # once a day
    assert log_in(server, HOME, "last-year", "phone.example") == 535
    with server.smtp(local_hostname="client.example") as s:
        s.sendmail("sender@client.example", [ALICE], "Subject: behind it\r\n\r\nhello\r\n")
    wait_for("what came behind it", lambda: notices(server, "behind it"))
    assert len(notices(server, subject)) == 1
    assert log_in(server, HOME) == 235
