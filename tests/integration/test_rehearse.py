"""holdfast-rehearse, the finished program, against real servers and against none."""
import json
import os
import re
import signal
import socket
import subprocess

import pytest
from conftest import BUILD, PATIENCE, TOP, free_port, self_signed, wait_for

REHEARSE = BUILD / "holdfast-rehearse"
SCENARIOS = sorted((TOP / "rehearse" / "scenarios").glob("*.conf"))
SHORT = ["--quiet", "1s", "--attack", "2s", "--after", "1s", "--ceiling", "0"]

# One attacker who asks to relay twice a second from each of ten addresses. The attack is longer
# than a busy machine may stand still.
SMALL = """
id = "T1"; title = "a few"; about = "few"; ends = "refused";
phases = { warm = "0s"; quiet = "0s"; attack = "10s"; after = "0s"; };
attackers = ( {
    name = "bots"; title = "bots"; from = { addresses = 10; };
    rate = 20.0; parallel = 100; patience = "30s";
    dialogue = [ "expect 220", "send EHLO a.example", "expect 250", "send MAIL FROM:<a@b.example>",
        "expect 250", "send RCPT TO:<x@elsewhere.example>", "never 250", "close" ];
} );
beside = [ "regular" ];
promises = ( { promise = "served"; limit = 50.0; }, { promise = "no-breach"; }, { promise = "alive"; } );
"""


def rehearse(*words, timeout=5 * PATIENCE, **options):
    return subprocess.run([REHEARSE, *map(str, words)], capture_output=True, text=True,
                          timeout=timeout, **options)


def play(tmp_path, *words, **options):
    """A run and its JSON."""
    out = tmp_path / "result.json"
    got = rehearse("--json", out, "--no-progress", *words, **options)
    return got, json.loads(out.read_text()) if out.exists() else None


def ended(result, actor, phase="attack"):
    """{(stage, how): count}"""
    for a in result["actors"]:
        if a["name"] == actor:
            for p in a["phases"]:
                if p["phase"] == phase:
                    return {(s, e): n for s, es in p["ended"].items() for e, n in es.items()}
    raise AssertionError(f"no {actor} in {phase}")


def cut_off(result, actor, phase="attack"):
    """How many visits were under way when the phase was over."""
    return sum(n for (_, how), n in ended(result, actor, phase).items() if how == "over")


def phase_of(result, actor, phase):
    actor = next(a for a in result["actors"] if a["name"] == actor)
    return next(p for p in actor["phases"] if p["phase"] == phase)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.conf"
    path.write_text(SMALL)
    return path


@pytest.fixture
def canned():
    """The server with fixed answers, and its port."""
    made = []

    def make(*words):
        # not a port that the kernel gives to somebody else when this one has died
        p = subprocess.Popen([REHEARSE, "canned", "--port", str(free_port()), *words],
                             stdout=subprocess.PIPE, text=True)
        made.append(p)
        return p, int(re.search(r":(\d+)$", p.stdout.readline().strip())[1])

    yield make
    for p in made:
        if p.poll() is None:
            p.terminate()
        p.wait(PATIENCE)
        p.stdout.close()


def test_every_shipped_scenario_is_listed():
    got = rehearse("list")
    assert got.returncode == 0, got.stderr
    assert len(got.stdout.splitlines()) == len(SCENARIOS) >= 12
    for number in range(1, 13):
        assert re.search(rf"^A{number} ", got.stdout, re.M), f"no A{number}"


def test_a_scenario_is_found_by_its_id_and_shown_as_it_is():
    got = rehearse("show", "A4")
    assert got.returncode == 0
    assert got.stdout == (TOP / "rehearse/scenarios/a4-relay-bots.conf").read_text()


def test_an_unknown_scenario_is_named_with_those_there_are():
    got = rehearse("--to", "127.0.0.1:1", "a99")
    assert got.returncode == 2
    assert "a99" in got.stderr and "a4-relay-bots" in got.stderr


def test_a_mistake_in_a_scenario_is_told_with_its_line(tmp_path):
    path = tmp_path / "wrong.conf"
    path.write_text(SMALL.replace('"never 250"', '"newer 250"'))
    got = rehearse(path)
    assert got.returncode == 2
    assert re.search(r"wrong\.conf:\d+", got.stderr) and "newer" in got.stderr


def test_nobody_at_the_target_is_said_at_once(small):
    got = rehearse("--to", f"127.0.0.1:{free_port()}", "--recipient", "a@example.test", small)
    assert got.returncode == 3
    assert "connection refused" in got.stderr


def test_a_missing_service_is_asked_for():
    got = rehearse("--recipient", "a@example.test", "a2-login-storm")
    assert got.returncode == 2
    assert "--imap HOST:PORT" in got.stderr


def test_too_few_descriptors_are_told_with_the_command_that_raises_them(canned):
    _, port = canned()
    got = rehearse("--to", f"127.0.0.1:{port}", "--recipient", "a@example.test", "--workers", "1",
                   *SHORT, "a6-idle",
                   preexec_fn=lambda: __import__("resource").setrlimit(
                       __import__("resource").RLIMIT_NOFILE, (500, 500)))
    assert got.returncode == 5
    assert "ulimit -n" in got.stderr and "100000" in got.stderr


def test_what_the_server_counted_is_what_the_generator_counted(server, tmp_path, small):
    got, result = play(tmp_path, "--to", f"127.0.0.1:{server.port}", "--recipient",
                       "alice@example.test,bob@example.test", "--server-pid",
                       server.process.pid, "--server-log", server.errors, "--strict", "--ceiling",
                       "0", "--seed", 7, "--warm", "1s", "--quiet", "1s", "--after", "1s", small)
    verdicts = {p["promise"]: p["verdict"] for p in result["promises"]}
    assert verdicts["no-breach"] == verdicts["alive"] == "kept" and "KEPT" in got.stdout
    # how fast it is under attack depends on who else uses this machine; what is said of it does not
    quiet, attack = (phase_of(result, "regular", p) for p in ("quiet", "attack"))
    served = attack["success"] >= 0.5 and attack["p99_ms"] <= 2 * quiet["p99_ms"] + 50
    assert verdicts["served"] == ("kept" if served else "broken"), (quiet, attack)
    assert got.returncode == (0 if served else 1), got.stdout + got.stderr
    assert result["complete"]
    bots = phase_of(result, "bots", "attack")
    # those whom the end of the attack cuts off hear nothing more
    told = bots["begun"] - cut_off(result, "bots")
    assert bots["due"] == bots["begun"] + bots["skipped"] and told >= 20
    assert bots["begun"] == sum(ended(result, "bots").values())
    assert ended(result, "bots")["rcpt", "done"] == told
    assert bots["heard"]["rcpt"] == {"no": told}
    sent = sum(phase_of(result, "regular", p)["done"] for p in ("quiet", "attack", "after"))
    # the lead-in is not counted, but it delivers
    wait_for("all mail to arrive",
             lambda: len(server.messages("alice")) + len(server.messages("bob")) >= sent)
    assert sent >= 20
    cost = next(p for p in result["phases"] if p["phase"] == "attack")["server"]
    assert cost["cpu_s"] > 0 and cost["pss_most"] > 2**20 and cost["fds_most"] > 10
    assert cost["log_bytes"] > 0


def test_a_server_that_accepts_what_it_must_not_is_caught(canned, tmp_path, small):
    _, port = canned()
    got, result = play(tmp_path, "--to", f"127.0.0.1:{port}", "--recipient", "a@example.test",
                       "--strict", "--ceiling", "0", small)
    assert got.returncode == 1
    bots = next(a for a in result["actors"] if a["name"] == "bots")
    attack = phase_of(result, "bots", "attack")
    assert bots["breaches"] == attack["begun"] - cut_off(result, "bots") > 0
    assert "250 2.1.5" in bots["breach"]
    assert "BROKEN" in got.stdout


def test_the_same_seed_plays_the_same(canned, tmp_path, small):
    _, port = canned()
    words = ["--to", f"127.0.0.1:{port}", "--recipient", "a@example.test", "--ceiling", "0", "--attack", "2s"]
    got, first = play(tmp_path, *words, "--seed", 7, small)
    got, again = play(tmp_path, *words, "--seed", 7, small)
    got, other = play(tmp_path, *words, "--seed", 8, small)
    assert first["seed"] == again["seed"] == 7
    assert phase_of(first, "bots", "attack")["due"] == phase_of(again, "bots", "attack")["due"]
    def due(result):
        return result["time"]["latency"][0]["due_s"]

    assert due(first) == due(again) and len(due(first)) >= 10
    assert due(first) != due(other)


@pytest.mark.parametrize("known", [True, False], ids=["by-its-pid", "by-its-port"])
def test_a_server_that_dies_in_the_middle_ends_the_run(canned, tmp_path, small, known):
    process, port = canned()
    out = tmp_path / "result.json"
    words = ["--server-pid", str(process.pid)] if known else []
    run = subprocess.Popen([REHEARSE, "--to", f"127.0.0.1:{port}", "--recipient", "a@example.test",
                            "--json", out, "--no-progress", "--ceiling", "0", "--attack", "60s",
                            *words, small], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for("the attack to begin", lambda: attackers(port) > 0)
    process.kill()
    process.wait()
    stdout, stderr = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4, stderr
    assert re.search(r"is gone since|any more since", stderr)
    result = json.loads(out.read_text())
    assert not result["complete"] and result["why_not"]


def attackers(port):
    """Connections to the port that come from a far address, as /proc/net/tcp has them."""
    found = 0
    for line in open("/proc/net/tcp").read().splitlines()[1:]:
        ends = [(int(address, 16) >> 8 & 255, int(number, 16)) for address, number in
                (word.split(":") for word in line.split()[1:3])]
        for (near, here), (far, _) in (ends, ends[::-1]):  # who hung up first is seen longest
            found += here == port and near == 0 and 1 <= far < 224  # 127.224 and above are honest
    return found


def test_ctrl_c_ends_it_cleanly_with_what_is_known(canned, tmp_path, small):
    _, port = canned()
    out = tmp_path / "result.json"
    run = subprocess.Popen([REHEARSE, "--to", f"127.0.0.1:{port}", "--recipient", "a@example.test",
                            "--json", out, "--no-progress", "--ceiling", "0", "--attack", "60s",
                            small], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           start_new_session=True)
    wait_for("the attack to begin", lambda: attackers(port) > 0)
    os.killpg(run.pid, signal.SIGINT)
    stdout, stderr = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130, stderr
    assert not json.loads(out.read_text())["complete"]
    with pytest.raises(ProcessLookupError):  # nobody of its group is left
        os.killpg(run.pid, 0)


def test_the_ceiling_is_beside_the_figure(canned, tmp_path):
    _, port = canned()
    path = tmp_path / "fast.conf"
    path.write_text(SMALL.replace("rate = 20.0;", 'pause = "10ms";').replace("parallel = 100", "parallel = 5"))
    got, result = play(tmp_path, "--to", f"127.0.0.1:{port}", "--recipient", "a@example.test",
                       "--attack", "5s", "--ceiling", "4s", path)
    assert got.returncode == 0, got.stderr
    assert result["ceiling"]["visits_per_s"] > 0 and result["ceiling"]["canned_cpu_s"] > 0
    figures, ceiling = result["figures"], result["ceiling"]
    shares = [figures["begun_per_s"] / ceiling["opened_per_s"],
              figures["ended_per_s"] / ceiling["visits_per_s"],
              figures["replies_per_s"] / ceiling["replies_per_s"]]
    assert figures["of_ceiling"] == pytest.approx(max(shares), rel=1e-6) and min(shares) > 0
    assert result["figures"]["generator_limited"] == (result["figures"]["of_ceiling"] >= 0.8)


def test_a_server_given_as_a_command_is_started_measured_and_stopped(tmp_path, small):
    port = free_port()
    got, result = play(tmp_path, "--to", f"127.0.0.1:{port}", "--recipient", "a@example.test",
                       "--ceiling", "0", "--attack", "1s", small, "--", REHEARSE, "canned", "--port", port)
    assert got.returncode == 0, got.stderr
    assert result["phases"][1]["server"]["cpu_s"] >= 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_a_command_that_cannot_be_started_is_said(small):
    got = rehearse("--recipient", "a@example.test", small, "--", "/nonexistent/server")
    assert got.returncode == 2
    assert "/nonexistent/server" in got.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_ipv6_is_played_in_a_namespace_of_its_own(tmp_path, small):
    seen = tmp_path / "seen"
    got, result = play(tmp_path, "--namespace", "--to", "[2001:db8:ffff::25]:2525", "--recipient",
                       "a@example.test", "--ceiling", "0", small, "--", "python3",
                       TOP / "tests/integration/line_server.py", "2001:db8:ffff::25", "2525", seen)
    assert got.returncode == 0, got.stderr
    assert phase_of(result, "bots", "attack")["begun"] > 0
    assert ("connect", "refused") in ended(result, "bots")
    came = set(seen.read_text().split()) - {"::1"}  # that is the question whether it answers
    assert len(came) >= 10 and all(a.startswith("2001:db8:") for a in came), came


RENEGOTIATION = """
id = "T2"; title = "again"; about = "again"; ends = "refused";
phases = { warm = "0s"; quiet = "0s"; attack = "10m"; after = "0s"; };
attackers = ( {
    name = "again"; title = "again"; service = "%s"; parallel = 1; pause = "200ms"; patience = "60s";
    dialogue = [ %s "tls", "done", "close" ];
} );
"""


def test_a_renegotiation_is_seen_where_it_is_allowed(tmp_path, home):
    cert, key = self_signed(home, "old.example")
    port = free_port()
    path = tmp_path / "again.conf"
    path.write_text(RENEGOTIATION % ("submissions", ""))
    got, result = play(tmp_path, "--submissions", f"127.0.0.1:{port}", "--ceiling", "0", path, "--",
                       "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", cert, "-key", key,
                       "-tls1_2", "-client_renegotiation", "-rev", "-naccept", "3")
    # it goes after three connections, of which the first one only asks whether it is there
    assert got.returncode == 4, got.stderr
    again = phase_of(result, "again", "attack")
    assert again["done"] >= 1, again


def test_holdfast_does_not_renegotiate(tls_server, tmp_path):
    path = tmp_path / "again.conf"
    path.write_text(RENEGOTIATION % ("smtp", '"expect 220", "send EHLO a.example", "expect 250", '
                                     '"send STARTTLS", "expect 220", "tls12",'))
    out = tmp_path / "result.json"
    run = subprocess.Popen([REHEARSE, "--to", f"127.0.0.1:{tls_server.port}", "--ceiling", "0", "--json", out,
                            "--no-progress", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for("two who tried", lambda: len(re.findall(r"log=session .*tls=TLSv1\.2 ", tls_server.log())) >= 2)
    finally:
        run.send_signal(signal.SIGINT)
        _, stderr = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130, stderr
    result = json.loads(out.read_text())
    again = phase_of(result, "again", "attack")
    assert again["begun"] >= 2 and again["done"] == 0
    assert {how for how in ended(result, "again") if how[1] != "over"} <= {("tls", "fault"), ("tls", "dropped")}


def test_a_page_is_made_of_several_results(canned, tmp_path, small):
    _, port = canned()
    for name in ("one", "two"):
        got = rehearse("--to", f"127.0.0.1:{port}", "--recipient", "a@example.test", "--ceiling", "0",
                       "--attack", "1s", "--no-progress", "--name", name, "--json",
                       tmp_path / f"{name}.json", small)
        assert got.returncode == 0, got.stderr
    page = tmp_path / "page.html"
    got = rehearse("page", page, tmp_path / "one.json", tmp_path / "two.json")
    assert got.returncode == 0, got.stderr
    text = page.read_text()
    assert text.lower().startswith("<!doctype html>") and '"one"' in text and '"two"' in text
    got = rehearse("page", page, small)
    assert got.returncode == 2 and "small.conf" in got.stderr


def test_the_manual_has_every_option_and_no_other():
    told = set(re.findall(r"^  (--[a-z0-9-]+)", rehearse("--help").stdout, re.M))
    manual = (TOP / "man/holdfast-rehearse.1.scd").read_text()
    options = manual[manual.index("# OPTIONS"):manual.index("# EXIT STATUS")]
    written = {word for line in options.splitlines() if line.startswith("*--")
               for word in re.findall(r"\*(--[a-z0-9][a-z0-9-]*)", line)}
    assert told == written - {"--version"}
