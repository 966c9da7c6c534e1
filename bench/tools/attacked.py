"""attacked - what becomes of honest mail under attacks, as a table"""

import machine
import rehearsal
from rehearsal import mebi, median, percent, plain, spread


def refusals(results):
    """Where most attackers were refused, of the median round."""
    found = {}
    for r in results:
        for stage, ends in rehearsal.stages(r).items():
            for end, n in ends.items():
                if end not in ("over", "done"):
                    found[stage] = found.get(stage, 0) + n
    total = sum(found.values())
    some = sorted(found.items(), key=lambda pair: -pair[1])[:3]
    return ", ".join("%s %.0f %%" % (s, n * 100 / total) for s, n in some if n) or "–"


def promises(results):
    broken = sorted({p for r in results for p in rehearsal.figures(r)["broken"]})
    kept = sorted({p for r in results for p in rehearsal.figures(r)["kept"]} - set(broken))
    return "; ".join(
        (["kept: " + ", ".join(kept)] if kept else [])
        + (["**broken: %s**" % ", ".join(broken)] if broken else [])
    )


def row(name, results, more):
    if not results:
        return "| %s | could not be played |" % name
    limited = sum(1 for r in results if r["figures"]["generator_limited"])
    rate = plain(median(results, "begun_per_s"))
    if limited:
        rate += " (g)"
    return "| %s | %s | %s → %s | %s | %s | %s | %s | %s | %s | %s | %s |%s" % (
        name,
        percent(min(spread(results, "success"), default=None)),
        plain(median(results, "quiet_p99_ms")),
        plain(median(results, "p99_ms")),
        rate,
        refusals(results),
        plain(median(results, "cpu_per_1000")),
        plain(median(results, "generator_cpu")),
        mebi(median(results, "pss")),
        mebi(median(results, "kernel")),
        plain(median(results, "log_per_1000"), 0),
        promises(results),
        "".join(" %s |" % text(results) for _, text in more),
    )


def table(title, campaign, facts, now, more=(), about=()):
    """more: columns besides, (heading, text of the results); about: what they mean."""
    lines = rehearsal.head(title, campaign, facts, now)
    lines += [
        "- **honest served**: of the honest clients due during the attack, the worst round.",
        "- **p99**: of the honest, in ms from when they were due: quiet → attack (the worst of "
        "the kinds of honest clients; median round).",
        "- **attempts/s**: connections that attackers began. (g): within 20 % of what the "
        "generator did against fixed answers, or what the scenario asks for; so not the "
        "server's limit.",
        "- **refused**: where the attackers' visits ended, of those that were refused or cut.",
        "- **CPU**: of the server, seconds per 1,000 attempts; **generator**: cores it used.",
        "- **memory**: most PSS of the server's processes, and kernel memory gained, in MiB.",
        "- **log**: bytes per 1,000 attempts.",
        *about,
        "",
    ]
    for how in campaign.plays:
        some = next((r for r in campaign.results if r["play"] == how.name), None)
        if not some:
            continue
        s = some["scenario"]
        lines += ["## %s %s (`%s`)" % (s["id"], s["title"], how.name), "", s["about"], "",
                  "*Must end as*: " + s["ends"], ""]
        if some["ceiling"]:
            lines += ["Against fixed answers: %s attempts/s, %s replies/s."
                      % (plain(some["ceiling"]["opened_per_s"]),
                         plain(some["ceiling"]["replies_per_s"])), ""]
        lines += [
            "| server | honest served | p99 ms | attempts/s | refused | CPU-s per 1,000 "
            "| generator | PSS | kernel | log | promises |"
            + "".join(" %s |" % heading for heading, _ in more),
            "|---|--:|---|--:|---|--:|--:|--:|--:|--:|---|" + "--:|" * len(more),
        ]
        lines += [row(name, campaign.of(how, name), more) for name in campaign.names]
        lines.append("")
    return "\n".join(lines + rehearsal.tail(campaign)).rstrip() + "\n"


def run(name, title, o, options, **told):
    """Play it all, and write it down."""
    place, now = rehearsal.begin(o, 120 + o.rounds * len(o.plays) * len(o.only) * 90)
    with place:
        machine.install(["openssl"])
        facts = machine.facts(place.directory)
        campaign = rehearsal.Campaign(place, o.only, o.plays, o, options)
        campaign.run()
        if not campaign.results:
            raise machine.Trouble("nothing could be played")
        text = table(title, campaign, facts, now, **told)
        rehearsal.save(name, text, campaign, facts, now, o, page=True)
