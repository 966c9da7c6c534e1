"""rehearsal - scenarios of holdfast-rehearse, played against servers in turn

A campaign plays each scenario against each server, so many rounds, the servers alternating
within a round. Every play has a fresh server, and only that one runs meanwhile.
"""

import argparse
import datetime
import json
import math
import os
import statistics
import subprocess
import sys

import machine
import peers
import servers
from machine import Trouble, read, say, write

SEED = 20261121  # the same attackers for everybody; the round is added
PHASES = ("quiet", "attack", "after")


def arguments(what, kinds, rounds=3):
    """The options that all benchmarks of this kind have."""
    p = argparse.ArgumentParser(description=what)
    p.add_argument("--only", default=",".join(kinds), help="a list of: " + ", ".join(kinds))
    p.add_argument("--scenarios", help="a list of those that are played; without: all")
    p.add_argument("--rounds", type=int, default=rounds)
    p.add_argument(
        "--quick",
        action="store_true",
        help="one short round, to see that everything works; leaves nothing in "
        "bench/results",
    )
    p.add_argument("--json", metavar="FILE", help="write the results there too")
    p.add_argument("--dir", default="/var/tmp", help="where the servers live meanwhile")
    p.add_argument("--holdfast", metavar="PROGRAM", help="instead of build/holdfast")
    p.add_argument("--cores", help="keep the generator on these, for example 0")
    return p


def choose(p, o, plays):
    """Those of the plays that were asked for."""
    names = [how.name for how in plays]
    wanted = o.scenarios.split(",") if o.scenarios else names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        p.error("--scenarios: unknown %s; a list of: %s" % (", ".join(unknown), ", ".join(names)))
    return [how for how in plays if how.name in wanted]


def parse(p, kinds):
    o = p.parse_args()
    o.only = o.only.split(",")
    unknown = [name for name in o.only if name not in kinds]
    if unknown:
        p.error("--only: unknown " + ", ".join(unknown))
    if not 1 <= o.rounds <= 20:
        p.error("--rounds: 1 to 20")
    if o.quick:
        o.rounds = 1
    return o


class Play:
    """One scenario, and how it is played."""

    def __init__(
        self,
        scenario,
        phases=None,
        services=("smtp",),
        ceiling="1s",
        scale=None,
        beside=None,
        only=None,
        logins=5,
    ):
        self.scenario, self.services, self.ceiling = scenario, services, ceiling
        self.phases, self.scale, self.beside = phases or {}, scale, beside
        self.only = only  # these servers; None: all
        self.logins = logins  # how many users the honest clients may be

    def is_for(self, name):
        return not self.only or name in self.only

    @property
    def name(self):
        return os.path.basename(self.scenario).replace(".conf", "")


def ours(name):
    """A scenario of bench/scenarios."""
    return os.path.join(machine.BENCH, "scenarios", name + ".conf")


def play(place, server, how, seed, o):
    """Play it, and return the result."""
    out = os.path.join(place.directory, "result.json")
    command = [servers.rehearse(), "--name", server.name, "--seed", str(seed)]
    command += ["--json", out, "--no-progress", "--ceiling", how.ceiling]
    command += ["--recipient", ",".join(servers.RECIPIENTS), "--domain", servers.DOMAIN]
    command += ["--log-budget", "16m"]  # Holdfast's default, asked of everybody
    for service in how.services:
        option = "to" if service == "smtp" else service
        if service not in server.ports and "smtp" not in server.ports and not server.mixed:
            continue  # clients of a service that it has not are left out
        port = server.ports.get(service, server.port)
        command += ["--" + option, "127.0.0.1:%d" % port]
    for address, password in list(servers.PASSWORDS.items())[: how.logins]:
        command += ["--login", "%s:%s" % (address, password)]
    for pid in server.pids + server.more_pids:
        command += ["--server-pid", str(pid)]
    for log in server.logs:
        command += ["--server-log", log]
    phases = dict(how.phases, **({p: "2s" for p in PHASES} if o.quick else {}))
    if server.warm:
        phases["warm"] = server.warm
    for phase, long in phases.items():
        command += ["--" + phase, long]
    if how.scale:
        command += ["--scale", str(how.scale)]
    if how.beside:
        command += ["--beside", how.beside]
    if o.cores:
        command += ["--cores", o.cores]
    if os.path.exists(out):
        os.unlink(out)
    try:
        r = subprocess.run(
            command + [how.scenario],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
        )
    except subprocess.TimeoutExpired:
        raise Trouble("%s did not end in 15 minutes" % how.name)
    if not os.path.exists(out):
        raise Trouble("%s: %s" % (how.name, machine.last_line(r.stderr)))
    result = json.loads(read(out))
    if not result["complete"]:
        raise Trouble("%s: %s" % (how.name, result["why_not"]))
    return result


def start(place, name, o, **options):
    kind = peers.KINDS[name]
    if name.startswith("holdfast"):
        options["program"] = o.holdfast
    else:
        options = {}
    return place.start(kind, **options)


class Campaign:
    def __init__(self, place, names, plays, o, options=None):
        self.place, self.names, self.plays, self.o = place, list(names), plays, o
        self.options = options or {}
        self.results, self.left_out, self.versions, self.summaries = [], [], {}, {}

    def prepare(self):
        for name in list(self.names):
            try:
                peers.KINDS[name].prepare()
                server = start(self.place, name, self.o, **self.options)
                self.versions[name], self.summaries[name] = server.version(), server.summary
                self.place.stop(server)
            except (Trouble, OSError, subprocess.SubprocessError) as e:
                self.leave_out(name, str(e))
        if not self.names:
            raise Trouble("no server to measure")

    def leave_out(self, name, why):
        say("%s left out: %s" % (name, why))
        self.left_out.append("%s: %s" % (name, why))
        if name in self.names:
            self.names.remove(name)

    def run(self):
        self.prepare()
        for number in range(self.o.rounds):
            for how in self.plays:
                turn = number % len(self.names)
                for name in self.names[turn:] + self.names[:turn]:
                    self.one(name, how, number)
        return self.results

    def one(self, name, how, number):
        if not how.is_for(name):
            return
        before = machine.cpu()
        try:
            server = start(self.place, name, self.o, **self.options)
        except Trouble as e:
            self.left_out.append("%s, round %d, %s: %s" % (how.name, number + 1, name, e))
            return
        try:
            hashed = server.hashing_cpu()
            result = play(self.place, server, how, SEED + number, self.o)
            if hashed is not None:
                result["hashing_cpu_s"] = grown(hashed, server.hashing_cpu())
        except Trouble as e:
            self.left_out.append("%s, round %d, %s: %s" % (how.name, number + 1, name, e))
            say(self.left_out[-1])
            return
        finally:
            self.place.stop(server)
        result["round"], result["play"] = number + 1, how.name
        result["machine_cpu_s"] = machine.cpu()[0] - before[0]
        self.results.append(result)
        f = figures(result)
        say(
            "%d/%d  %-16s %-18s %8.0f attempts/s  %9s  p99 %s ms"
            % (
                number + 1,
                self.o.rounds,
                how.name,
                name,
                f["begun_per_s"],
                percent(f["success"]),
                plain(f["p99_ms"]),
            )
        )

    def of(self, how, name):
        """The results of one server in one scenario."""
        return [
            r
            for r in self.results
            if r["play"] == how.name and r["server"] == name
        ]


# Figures of one result.


def phase(result, name):
    return next((p for p in result["phases"] if p["phase"] == name), None)


def over(result, name, honest, called=None):
    """What the actors of one kind, or one of them, did in a phase."""
    return [
        p
        for a in result["actors"]
        if a["honest"] == honest and called in (None, a["name"])
        for p in a["phases"]
        if p["phase"] == name
    ]


def stages(result):
    """{stage: {end: visits}} of the attackers."""
    total = {}
    for p in over(result, "attack", False):
        for stage, ends in p["ended"].items():
            for end, n in ends.items():
                total.setdefault(stage, {}).setdefault(end, 0)
                total[stage][end] += n
    return total


def replies(result):
    """{stage: {yes, later, no: replies}} that attackers heard."""
    total = {}
    for p in over(result, "attack", False):
        for stage, kinds in p["heard"].items():
            for kind, n in kinds.items():
                total.setdefault(stage, {}).setdefault(kind, 0)
                total[stage][kind] += n
    return total


def share_done(phases):
    """Of what was due, how much was done; None if nothing was."""
    tried = sum(p["asked"] for p in phases)
    return sum(p["done"] for p in phases) / tried if tried else None


def worst(values):
    some = [v for v in values if v is not None]
    return max(some) if some else None


def per_thousand(amount, n):
    return amount / n * 1000 if n and amount is not None else None


def grown(before, after):
    return None if before is None or after is None else max(0, after - before)


def per_one(amount, n):
    return None if amount is None else amount / n


def figures(result):
    """One flat set of numbers; None where there is nothing to say."""
    attack, quiet = phase(result, "attack"), phase(result, "quiet")
    seconds = attack["to_s"] - attack["from_s"]
    mine = over(result, "attack", False)
    honest = over(result, "attack", True)
    begun = sum(p["begun"] for p in mine)
    refused = sum(n for k in replies(result).values() for w, n in k.items() if w != "yes")
    said = sum(n for k in replies(result).values() for n in k.values())
    f = dict(result["figures"])
    f["success"] = share_done(honest)
    f["p50_ms"] = worst(p["p50_ms"] for p in honest)
    f["p99_ms"] = worst(p["p99_ms"] for p in honest)
    f["max_ms"] = worst(p["max_ms"] for p in honest)
    f["quiet_p99_ms"] = worst(p["p99_ms"] for p in over(result, "quiet", True))
    logins = over(result, "attack", True, "submitter-plain")
    f["logins"], f["logins_p99_ms"] = share_done(logins), worst(p["p99_ms"] for p in logins)
    f["logins_quiet_p99_ms"] = worst(
        p["p99_ms"] for p in over(result, "quiet", True, "submitter-plain")
    )
    f["hashing_cores"] = per_one(result.get("hashing_cpu_s"), seconds)
    at_connect = stages(result).get("connect", {})
    f["at_connect"] = sum(at_connect.get(end, 0) for end in ("refused", "later", "dropped"))
    f["attack_p50_ms"] = worst(p["p50_ms"] for p in mine)
    f["attack_p99_ms"] = worst(p["p99_ms"] for p in mine)
    f["attack_p999_ms"] = worst(p["p999_ms"] for p in mine)
    f["refused_per_s"], f["said_per_s"] = refused / seconds, said / seconds
    f["breaches"] = sum(a["breaches"] for a in result["actors"])
    f["generator_cpu"] = attack["generator_cpu_s"] / seconds
    cost = attack["server"]
    if cost:
        f["cores"] = cost["cpu_s"] / seconds
        f["cpu_per_1000"] = per_thousand(cost["cpu_s"], begun)
        f["cpu_per_1000_said"] = per_thousand(cost["cpu_s"], said)
        f["cpu_per_1000_refused"] = per_thousand(cost["cpu_s"], refused)
        f["cpu_per_1000_done"] = per_thousand(cost["cpu_s"], f["done_per_s"] * seconds)
        f["log_per_1000_refused"] = per_thousand(cost["log_bytes"], refused)
        f["log_bytes"] = cost["log_bytes"]
        f["log_per_1000"] = per_thousand(cost["log_bytes"], begun)
        f["pss"] = cost["pss_most"]
        f["kernel"] = grown(cost["kernel_begin"], cost["kernel_most"])
        before = quiet["server"]["pss_end"] if quiet and quiet["server"] else cost["pss_begin"]
        if f["held"]:
            f["pss_per_held"] = per_one(grown(before, cost["pss_most"]), f["held"])
            f["kernel_per_held"] = per_one(f["kernel"], f["held"])
    f["kept"] = [p["promise"] for p in result["promises"] if p["verdict"] == "kept"]
    f["broken"] = [p["promise"] for p in result["promises"] if p["verdict"] == "broken"]
    return f


def median(results, key):
    values = [figures(r).get(key) for r in results]
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def spread(results, key):
    values = [figures(r).get(key) for r in results]
    return [v for v in values if v is not None]


# Numbers as people read them.


def plain(n, digits=None):
    if n is None or (isinstance(n, float) and math.isnan(n)):
        return "–"
    if digits is None:
        digits = 0 if abs(n) >= 100 else 1 if abs(n) >= 10 else 2 if abs(n) >= 1 else 3
    return "{:,.{}f}".format(n, digits)


def percent(share):
    if share is None:
        return "–"
    return "100 %" if share == 1 else "%.1f %%" % (math.floor(share * 1000) / 10)


def mebi(n):
    return "–" if n is None else plain(n / 2**20)


# Writing it down.


def head(title, campaign, facts, now):
    lines = ["# " + title, "", now.strftime("%Y-%m-%d %H:%M UTC") + ". " + machine.line(facts) + "."]
    lines += ["", "Medians of %d round%s, servers in turn, each play with a fresh server; the "
              "generator runs on the same machine. CPU from %s."
              % (campaign.o.rounds, "" if campaign.o.rounds == 1 else "s",
                 machine.account_kind()), ""]
    lines += ["| server | version | configuration |", "|---|---|---|"]
    for name in campaign.names:
        lines.append("| %s | %s | %s |"
                     % (name, campaign.versions.get(name, ""), campaign.summaries.get(name, "")))
    return lines + [""]


def tail(campaign):
    lines = []
    used = [r["machine_cpu_s"] for r in campaign.results]
    if used:
        lines += ["%d plays." % len(campaign.results), ""]
    return lines + ["Left out: " + text.splitlines()[0] + "\n" for text in campaign.left_out]


def slim(result):
    """Without the course of time, which the page has."""
    return {key: value for key, value in result.items() if key != "time"}


def save(name, text, campaign, facts, now, o, page=False):
    print(text, end="")
    found = {
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
        "machine": facts,
        "versions": campaign.versions,
        "left_out": campaign.left_out,
        "results": [slim(r) for r in campaign.results],
    }
    base = None
    if not o.quick:
        base = os.path.join(machine.BENCH, "results", now.strftime(name + "-%Y-%m-%d"))
        os.makedirs(os.path.dirname(base), exist_ok=True)
        write(base + ".md", text)
        write(base + ".json", json.dumps(found, indent=None, separators=(",", ":")) + "\n")
    if o.json:
        write(o.json, json.dumps(found, indent=1) + "\n")
    if page:
        make_page(campaign, base + ".html" if base else o.html)


def make_page(campaign, path):
    if not path or not campaign.results:
        return
    files = []
    for i, r in enumerate(campaign.results):
        files.append(os.path.join(campaign.place.directory, "page-%d.json" % i))
        write(files[-1], json.dumps(r))
    r = subprocess.run([servers.rehearse(), "page", path, *files], capture_output=True, text=True)
    if r.returncode:
        raise Trouble("the page: " + r.stderr)
    say("page: " + path)


def begin(o, deadline):
    """A place to work in, and when it began."""
    machine.as_root()
    place = machine.Workplace(o.dir, deadline)
    return place, datetime.datetime.now(datetime.timezone.utc)


def main(name, run):
    try:
        sys.exit(run() or 0)
    except (Trouble, machine.Interrupted) as e:
        say("%s: %s" % (name, e))
        sys.exit(2)
