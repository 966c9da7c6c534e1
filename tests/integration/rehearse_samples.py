#!/usr/bin/env python3
"""Results as `holdfast-rehearse --json` writes them, made up: for tests of the page, and for looking
at it. No figure here was measured.

usage: rehearse_samples.py DIRECTORY   (seven scenarios, four servers, three rounds, a file each)
"""
import json
import math
import pathlib
import random
import sys

WARM, QUIET, ATTACK, AFTER = 2.0, 10.0, 60.0, 10.0
BUCKET = 0.2
MIB = 1 << 20
EDGES = [("quiet", WARM, WARM + QUIET), ("attack", WARM + QUIET, WARM + QUIET + ATTACK),
         ("after", WARM + QUIET + ATTACK, WARM + QUIET + ATTACK + AFTER)]
HONEST = [("regular", "known sender", 8.0, 6.0), ("newcomer", "first-time sender", 3.0, 9.0),
          ("probe", "monitoring probe", 0.5, 1.4)]

# Attackers: name, title, addresses, attempts per second, most at once, {stage: how it ends}
SCENARIOS = {
    "A1": ("Slot exhaustion by AUTH", "One address holds every slot it gets with password guesses.",
           "Honest service is untouched; the address is refused at connect.",
           [("guessers", "guessers", 200, 900, 2000, {"auth": "refused"}),
            ("sitters", "silent after 334", 1, 40, 3000, {"auth": "over"})]),
    "A4": ("Relay bots", "10,000 addresses ask to relay, 26 times each, and only give up when refused"
           " at connect.", "First offences are refused at RCPT, then at connect; by a quarter of the run"
           " fewer than 5 % of the attempts at its start come in.",
           [("bots", "relay bots", 10000, 4333, 2000, {"rcpt": "refused"})]),
    "A5": ("Dictionary and backscatter", "2,000 addresses try names, 81 % of which do not exist.",
           "The unknown are refused at RCPT; nothing is accepted that cannot be delivered.",
           [("names", "name list", 2000, 1200, 1500, {"rcpt": "refused"}),
            ("null", "null sender", 2000, 1100, 1500, {"rcpt": "refused"})]),
    "A6": ("Slow readers and writers", "Idle and one-byte sessions in every state.",
           "Honest service is untouched, memory is bounded.",
           [("before", "before the greeting", 2000, 120, 4000, {"connect": "over"}),
            ("idle", "after EHLO", 5000, 200, 9000, {"helo": "over"}),
            ("data", "a byte each 3 s in DATA", 3000, 150, 6000, {"data": "over"})]),
    "A9": ("Machine gun", "223 connects in 6 s from one address, over and over.",
           "Refused at connect after at most 20.",
           [("gun", "machine gun", 1, 40, 6, {"auth": "dropped"})]),
    "A10": ("Early talkers", "EHLO 0.27 s after connect, before the greeting; again after 1 s.",
            "They are dropped, and remembered.",
            [("early", "early talkers", 500, 480, 800, {"helo": "refused"})]),
    "A12": ("Protocol abuse", "NUL floods, 1 MB lines, smuggling in nine forms, HTTP on port 25.",
            "Clear refusals, no crash, no smuggled command, bounded memory.",
            [("nul", "NUL and 8-bit floods", 20, 20, 40, {"mail": "refused"}),
             ("lines", "endless lines", 20, 20, 40, {"helo": "dropped"}),
             ("smuggle", "smugglers", 90, 60, 90, {"body": "refused"}),
             ("web", "HTTP", 50, 90, 60, {"helo": "refused"})]),
}

# How it goes: seconds until most are refused at connect (None: never), honest visits that fail under
# attack, latency under attack in quiet ones, CPU-s per 1,000 attempts, MiB quiet, MiB more, log KiB/1,000
SERVERS = {
    "Holdfast": (6, 0.001, 1.4, 0.09, 42, 30, 9),
    "Postfix, postscreen": (25, 0.35, 60, 0.26, 61, 120, 325),
    "OpenSMTPD": (None, 0.04, 5, 0.15, 38, 190, 160),
    "Haraka": (None, 0.12, 25, 3.2, 290, 350, 380),
}
MACHINE = {"cores": 2, "processor": "Some Processor 3000 @ 2.9 GHz", "memory_mib": 24064,
           "kernel": "6.1.0-18-amd64", "system": "Debian GNU/Linux 12 (bookworm)",
           "descriptors_per_process": 20000}


def phase_at(t):
    return next((name for name, start, end in EDGES if start <= t < end), "warm")


def bucket_lines(scenario, how, rng):
    """begun, done, open and refused of each attacker, bucket by bucket."""
    learns = how[0]
    lines, count = [], round((WARM + QUIET + ATTACK + AFTER) / BUCKET)
    for name, _, _, rate, most, ends in SCENARIOS[scenario][3]:
        begun, held, refused = [0] * count, [0] * count, {}
        open_now = 0.0
        for b in range(count):
            t = b * BUCKET
            if phase_at(t) != "attack":
                continue
            since = t - WARM - QUIET
            kept = 1.0 if learns is None else 0.03 + 0.97 / (1 + math.exp((since - learns) / (learns / 4)))
            n = max(0, round(rng.gauss(rate * BUCKET * kept, math.sqrt(rate * BUCKET * kept))))
            begun[b] = n
            stage, end = next(iter(ends.items()))
            if end == "over":
                open_now = min(most, open_now + n) * (1 if learns is None else 0.985)
            else:
                open_now = min(most, n * 2.2)
                late = round(n * (0 if learns is None else (1 - kept) * 0.9))
                refused.setdefault(stage, [0] * count)[b] = n - late
                refused.setdefault("connect", [0] * count)[b] = late
            held[b] = round(open_now)
        lines.append({"name": name, "honest": False, "begun": begun, "done": [0] * count, "open": held,
                      "refused": refused})
    return lines


def quantile(values, q):
    values = sorted(values)
    return values[max(0, math.ceil(q * len(values)) - 1)] if values else None


def honest_visits(how, rng):
    """(due, ms, end) of every visit of each kind of honest client."""
    _, fails, slower, *_ = how
    out = {}
    for name, _, rate, usual in HONEST:
        visits, t = [], WARM + rng.random() / rate
        while t < EDGES[-1][2]:
            phase = phase_at(t)
            factor = slower if phase == "attack" else 1.0
            if phase == "after":
                factor = 1 + (slower - 1) * math.exp(-(t - EDGES[2][1]) / 1.5)
            ms = usual * factor * math.exp(rng.gauss(0, 0.35)) * (6 if rng.random() < 0.01 else 1)
            end = "done"
            if name == "newcomer" and how[0] == 25:  # it is sent away at first, and comes again
                visits.append((round(t, 3), 31.0, "later"))
                ms += 3000
            if phase == "attack" and rng.random() < fails * (2 if name == "newcomer" else 1):
                end = rng.choice(["silent", "refused", "dropped"])
                ms = 30000.0 if end == "silent" else ms
            visits.append((round(t, 3), round(ms, 3), end))
            t += 1 / rate
        out[name] = visits
    return out


def honest_actor(name, title, visits):
    phases = []
    for phase, start, end in EDGES:
        mine = [v for v in visits if start <= v[0] < end]
        done = [v[1] for v in mine if v[2] == "done"]
        again = sum(v[2] == "later" for v in mine)
        ended = {}
        for _, _, how in mine:
            stage = {"done": "body", "silent": "connect", "dropped": "connect"}.get(how, "rcpt")
            ended.setdefault(stage, {}).setdefault(how, 0)
            ended[stage][how] += 1
        phases.append({
            "phase": phase, "begun": len(mine), "due": len(mine) - again, "skipped": 0, "no_port": 0,
            "again": again, "done": len(done),
            "success": len(done) / (len(mine) - again) if mine else None, "ended": ended,
            "heard": {"rcpt": {"yes": len(done)}}, "p50_ms": quantile(done, .5),
            "p95_ms": quantile(done, .95), "p99_ms": quantile(done, .99), "p999_ms": quantile(done, .999),
            "max_ms": max(done, default=None), "bytes_in": 620 * len(mine), "bytes_out": 4800 * len(mine),
            "open_most": 3})
    return {"name": name, "title": title, "honest": True, "service": "smtp", "addresses": 4, "left": 0,
            "breaches": 0, "breach": "", "phases": phases}


def attacker(spec, line):
    name, title, addresses, _, most, ends = spec
    begun, refused = sum(line["begun"]), {s: sum(v) for s, v in line["refused"].items()}
    rest = begun - sum(refused.values())
    ended = {s: {"refused" if s == "connect" else ends.get(s, "refused"): n} for s, n in refused.items()}
    if rest > 0:
        stage, end = next(iter(ends.items()))
        ended.setdefault(stage, {})[end] = ended.get(stage, {}).get(end, 0) + rest
    zero = {"begun": 0, "due": 0, "skipped": 0, "no_port": 0, "again": 0, "done": 0, "success": None, "ended": {}, "heard": {},
            "p50_ms": None, "p95_ms": None, "p99_ms": None, "p999_ms": None, "max_ms": None,
            "bytes_in": 0, "bytes_out": 0, "open_most": 0}
    attack = zero | {
        "phase": "attack", "begun": begun, "due": round(begun * 1.02), "skipped": round(begun * 0.02),
        "success": 0.0, "ended": ended, "heard": {s: {"yes": n, "later": n // 50, "no": n}
                                                  for s, n in refused.items()},
        "bytes_in": 210 * begun, "bytes_out": 120 * begun, "open_most": max(line["open"], default=most)}
    return {"name": name, "title": title, "honest": False, "service": "smtp", "addresses": addresses,
            "left": addresses * 9 // 10 if "connect" in refused and refused["connect"] else 0,
            "breaches": 0, "breach": "",
            "phases": [zero | {"phase": "quiet"}, attack, zero | {"phase": "after"}]}


def server_line(lines, how, rng):
    _, _, _, cpu, quiet, more, log = how
    at, cores, pss, kernel, fds, logged = [], [], [], [], [], []
    written, memory = 0, quiet * MIB
    count = len(lines[0]["begun"]) if lines else 410
    for b in range(0, count, 2):
        n = sum(sum(x["begun"][b:b + 2]) for x in lines)
        held = sum(x["open"][b] for x in lines)
        rate = n / (2 * BUCKET)
        memory += (quiet * MIB + more * MIB * min(1, held / 4000 + rate / 9000) - memory) * 0.15
        written += n * log * 1024 // 1000 + 300
        at.append(round(b * BUCKET, 2))
        cores.append(round(max(0.0, min(1.9, rate * cpu / 1000 + 0.03) + rng.gauss(0, 0.02)), 3))
        pss.append(int(memory))
        kernel.append(int(6 * MIB + held * 1600))
        fds.append(60 + held)
        logged.append(int(written))
    return {"at_s": at, "cores": cores, "pss": pss, "kernel": kernel, "fds": fds, "log_bytes": logged}


def server_phases(series, generator):
    out = []
    for phase, start, end in EDGES:
        inside = [i for i, t in enumerate(series["at_s"]) if start <= t < end]
        first, last = inside[0], inside[-1]
        logged = series["log_bytes"][last] - series["log_bytes"][first]
        out.append({"phase": phase, "from_s": start, "to_s": end,
                    "generator_cpu_s": round(generator * (end - start) if phase == "attack" else 0.4, 2),
                    "server": {"cpu_s": round(sum(series["cores"][i] for i in inside) * 2 * BUCKET, 3),
                               "pss_begin": series["pss"][first], "pss_end": series["pss"][last],
                               "pss_most": max(series["pss"][i] for i in inside),
                               "kernel_begin": series["kernel"][first],
                               "kernel_most": max(series["kernel"][i] for i in inside),
                               "fds_most": max(series["fds"][i] for i in inside), "processes_most": 7,
                               "log_bytes": logged, "written_bytes": logged + 90000}})
    return out


def promises(actors, learns):
    regular = next(a for a in actors if a["name"] == "regular")
    quiet, attack = regular["phases"][0], regular["phases"][1]
    fast = attack["p99_ms"] is not None and attack["p99_ms"] <= 2 * quiet["p99_ms"] + 50
    served = attack["success"] >= 0.99 and fast
    return [
        {"promise": "served", "says": "at least 99 % of honest deliveries, p99 at most twice the quiet one"
         " plus 50 ms", "found": f"{100 * attack['success']:.1f} % of {attack['due']}; p99"
         f" {attack['p99_ms'] or 0:.1f} ms, quiet {quiet['p99_ms']:.1f} ms",
         "verdict": "kept" if served else "broken"},
        {"promise": "no-breach", "says": "nothing is accepted that must be refused", "found": "none",
         "verdict": "kept"},
        {"promise": "falls", "says": "after a quarter, fewer than 5 % of the attempts at the start",
         "found": "3.1 %" if learns and learns < 15 else "34 %" if learns else "100 %",
         "verdict": "kept" if learns and learns < 15 else "broken"},
        {"promise": "alive", "says": "the server is there at the end", "found": "it is" if learns else "not watched",
         "verdict": "kept" if learns else "unknown"}]


def sample(scenario="A4", server="Holdfast", round=None, seed=7):
    """One result, complete and plausible."""
    rng = random.Random(f"{scenario} {server} {round} {seed}")
    how = SERVERS[server]
    title, about, ends, specs = SCENARIOS[scenario]
    lines, visits = bucket_lines(scenario, how, rng), honest_visits(how, rng)
    actors = ([attacker(spec, line) for spec, line in zip(specs, lines)]
              + [honest_actor(name, long, visits[name]) for name, long, _, _ in HONEST])
    series = server_line(lines, how, rng)
    begun = sum(sum(x["begun"]) for x in lines)
    ceiling = 2.4 * sum(s[3] for s in specs) if scenario != "A9" else 44.0
    result = {
        "format": 1, "program": "holdfast-rehearse 0.1.0",
        "scenario": {"id": scenario, "title": title, "about": about, "ends": ends}, "server": server,
        "target": "127.0.0.1:2525", "started": "2026-03-14T09:26:53Z", "seed": seed, "scale": 1.0,
        "workers": 2, "cores": "", "machine": dict(MACHINE), "measured": {
            "cpu_from": "/proc", "kernel_from": "the whole machine: slab and sockets"},
        "complete": True, "why_not": "",
        "phases": server_phases(series, 0.31), "actors": actors,
        "time": {"bucket_s": BUCKET, "buckets": len(series["at_s"]) * 2,
                 "actors": lines + [{"name": a["name"], "honest": True, "begun": [], "done": [], "open": [],
                                     "refused": {}} for a in actors if a["honest"]],
                 "latency": [{"name": name, "due_s": [v[0] for v in vs], "ms": [v[1] for v in vs],
                              "end": [v[2] for v in vs]} for name, vs in visits.items()],
                 "server": series},
        "figures": {"begun_per_s": begun / ATTACK, "ended_per_s": begun / ATTACK * 0.99,
                    "replies_per_s": begun / ATTACK * 3.4, "done_per_s": 0.0,
                    "held": max((sum(x["open"][b] for x in lines) for b in range(len(lines[0]["open"]))),
                                default=0),
                    "of_ceiling": begun / ATTACK / ceiling, "generator_limited":
                    begun / ATTACK / ceiling >= 0.8},
        "ceiling": {"seconds": 5.0, "visits_per_s": ceiling, "replies_per_s": ceiling * 3.4,
                    "opened_per_s": ceiling, "held": 20000, "generator_cpu_s": 4.4, "canned_cpu_s": 4.1},
        "promises": promises(actors, how[0])}
    if round is not None:
        result["round"] = round
    return result


def bench():
    """Round by round, the servers in turn, as a benchmark runs them."""
    return [sample(scenario, server, round) for scenario in SCENARIOS for round in (1, 2, 3)
            for server in SERVERS]


def write(results, directory):
    paths = []
    for number, result in enumerate(results):
        paths.append(pathlib.Path(directory) / f"result-{number:03}.json")
        paths[-1].write_text(json.dumps(result), encoding="utf-8")
    return paths


if __name__ == "__main__":
    write(bench(), sys.argv[1])
