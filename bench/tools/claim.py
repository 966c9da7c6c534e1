"""claim - one figure of several servers in one dialogue, beside fixed answers and a bare loop"""

import machine
import rehearsal
from machine import Trouble
from rehearsal import Play, median, ours, plain, spread

PHASES = {"warm": "0s", "quiet": "500ms", "attack": "3s", "after": "0s"}
BARE = Play(ours("bare"), dict(PHASES, quiet="0s"), ceiling="0")


class Claim:
    """What is measured, and how."""

    def __init__(self, name, title, unit, figure, cpu, plays, kinds, about, more=()):
        self.name, self.title, self.unit = name, title, unit
        self.figure, self.cpu = figure, cpu  # keys of rehearsal.figures()
        self.plays, self.kinds, self.about = plays, kinds, about
        self.more = more  # columns besides: (heading, text of the results)


def bare_rates(campaign):
    """Connections per second of the bare loop, one for each round."""
    return [rehearsal.figures(r)["begun_per_s"] for r in campaign.of(BARE, "bare")]


def ratio(a, b):
    return plain(a / b) if a and b else "–"


def rows(claim, campaign, how):
    bare = median(campaign.of(BARE, "bare"), "begun_per_s")
    bare_cpu = median(campaign.of(BARE, "bare"), "cpu_per_1000")
    canned = median(campaign.of(how, "canned"), claim.figure)
    canned_cpu = median(campaign.of(how, "canned"), claim.cpu)
    for name in campaign.names:
        results = campaign.of(how, name)
        if not results:
            if name != "bare" and how.is_for(name):
                yield "| %s | could not be played |" % name
            continue
        rate, cpu = median(results, claim.figure), median(results, claim.cpu)
        # what canned does is the ceiling itself
        limited = name not in ("bare", "canned") and canned and rate and rate >= 0.8 * canned
        more = "".join(" %s |" % text(results) for _, text in claim.more)
        yield "| %s | %s%s [%s] | %s | %s | %s | %s | %s | %s | %s | %s |%s" % (
            name,
            plain(rate),
            " (g)" if limited else "",
            ", ".join(plain(v) for v in spread(results, claim.figure)),
            ratio(rate, canned),
            ratio(rate, bare),
            plain(cpu),
            ratio(cpu, bare_cpu),
            ratio(cpu, canned_cpu),
            plain(median(results, "generator_cpu")),
            plain(median(results, "log_per_1000"), 0),
            rehearsal.percent(median(results, "success")),
            more,
        )


def table(claim, campaign, facts, now):
    lines = rehearsal.head(claim.title, campaign, facts, now)
    lines += [claim.about, ""]
    if bare_rates(campaign):
        lines += [
            "The bare loop (accept, one line, close) took %s connections/s here [%s] at %s "
            "CPU-s per 1,000."
            % (
                plain(median(campaign.of(BARE, "bare"), "begun_per_s")),
                ", ".join(plain(v) for v in bare_rates(campaign)),
                plain(median(campaign.of(BARE, "bare"), "cpu_per_1000")),
            ),
            "",
        ]
    for how in campaign.plays:
        if how is BARE:
            continue
        lines += [
            "## " + how.name,
            "",
            "| server | %s [each round] | ÷ canned | ÷ bare | CPU-s per 1,000 | CPU ÷ bare "
            "| CPU ÷ canned | generator cores | log bytes per 1,000 | honest served |%s"
            % (claim.unit, "".join(" %s |" % heading for heading, _ in claim.more)),
            "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|" + "--:|" * len(claim.more),
        ]
        lines += rows(claim, campaign, how)
        lines.append("")
    lines += ["(g): within 20 % of what the same generator got from fixed answers (`canned`): its "
              "limit, not the server's.", ""]
    return "\n".join(lines + rehearsal.tail(campaign)).rstrip() + "\n"


class Alternating(rehearsal.Campaign):
    """The bare loop is played once a round, in its own dialogue only."""

    def one(self, name, how, number):
        if (name == "bare") == (how is BARE):
            super().one(name, how, number)


def measure(claim, o):
    place, now = rehearsal.begin(o, 120 + o.rounds * len(o.only) * len(o.plays) * 60)
    with place:
        facts = machine.facts(place.directory)
        plays = ([BARE] if "bare" in o.only else []) + o.plays
        campaign = Alternating(place, o.only, plays, o)
        campaign.run()
        if not campaign.results:
            raise Trouble("nothing could be measured")
        rehearsal.save(claim.name, table(claim, campaign, facts, now), campaign, facts, now, o)


def main(claim):
    def run():
        p = rehearsal.arguments(claim.about, claim.kinds)
        o = rehearsal.parse(p, claim.kinds)
        o.plays = rehearsal.choose(p, o, claim.plays)
        measure(claim, o)

    rehearsal.main(claim.name, run)
