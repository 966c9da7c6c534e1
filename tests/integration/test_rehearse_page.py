"""The page of results, as a browser shows it. Skipped where Chromium is missing."""
import functools
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

import rehearse_samples as samples
from conftest import BUILD, PATIENCE

PROGRAM = BUILD / "holdfast-rehearse"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE = 390
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")


class Dom(html.parser.HTMLParser):
    """What is seen: texts outside of scripts, and the elements."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.elements, self.title, self.inside = [], [], "", []
        self.feed(text)
        self.text = " ".join(" ".join(self.texts).replace("\u00a0", " ").split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style", "title", "noscript"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if self.inside and self.inside[-1] == "title":
            self.title += data
        elif not self.inside:
            self.texts.append(data)

    def count(self, tag, css=None):
        return sum(t == tag and (css is None or css in (a.get("class") or "").split())
                   for t, a in self.elements)


def make(results, directory):
    directory = pathlib.Path(tempfile.mkdtemp(dir=directory))
    page = directory / "page.html"
    subprocess.run([PROGRAM, "page", page, *samples.write(results, directory)], check=True, timeout=PATIENCE)
    return page


def chromium(directory, url, *options, width=1280, dark=False):
    """Its output, and what it complained about."""
    scheme = [] if dark is None else [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    run = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--no-first-run", "--enable-logging=stderr", f"--user-data-dir={directory / 'profile'}",
         f"--window-size={width},1000", "--virtual-time-budget=4000", *scheme, *options, url],
        capture_output=True, timeout=5 * PATIENCE, env=os.environ | {"HOME": str(directory)})
    assert run.returncode == 0, run.stderr.decode(errors="replace")
    return run.stdout.decode(), [line for line in run.stderr.decode(errors="replace").splitlines()
                                 if re.match(r"\[[^\]]*:CONSOLE", line)]


@functools.lru_cache
def show(page, hash=""):
    """The page as it is, drawn. It must not complain. Tests that change it make one of their own."""
    text, said = chromium(page.parent, page.as_uri() + hash, "--dump-dom")
    assert said == []
    return Dom(text)


def ask(page, script, width=1280, dark=False):
    """What a script finds out in the page, in a window of that width; `return` gives the answer.

    Only a copy without the policy runs scripts of others. Windows are never narrower than 500, frames are.
    """
    copy, frame = page.with_name("asked.html"), page.with_name("frame.html")
    text, n = POLICY.subn("", page.read_text(encoding="utf-8"))
    assert n == 1
    copy.write_text(text.replace("</body>", f"""<script>
        Promise.resolve((async () => {{ {script} }})()).then((x) => parent.postMessage(JSON.stringify(x), "*"),
            (e) => parent.postMessage(JSON.stringify("failed: " + e.stack), "*"));
        </script></body>"""), encoding="utf-8")
    frame.write_text(f"""<!doctype html><iframe style="width:{width}px;height:900px;border:0"
        src="{copy.as_uri()}"></iframe><pre id="answer"></pre><script>addEventListener("message", (e) =>
        document.getElementById("answer").textContent = e.data);</script>""", encoding="utf-8")
    text, said = chromium(page.parent, frame.as_uri(), "--dump-dom", width=max(1300, width), dark=dark)
    assert said == []
    answer = re.search(r'<pre id="answer">(.*?)</pre>', text, re.DOTALL)[1]
    assert answer, "the script has said nothing"
    return json.loads(html.unescape(answer))


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    result = samples.sample("A4", "Holdfast")
    return make([result], tmp_path_factory.mktemp("one")), result


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    results = samples.bench()
    return make(results, tmp_path_factory.mktemp("bench")), results


# One result.


def test_the_page_says_what_was_promised_and_found(one):
    page, result = one
    dom = show(page)
    assert dom.title == "A4 against Holdfast"
    for text in [result["scenario"]["about"], result["scenario"]["ends"], "127.0.0.1:2525", "Seed 7",
                 "2 cores, Some Processor 3000 @ 2.9 GHz", "All 4 promises are kept"]:
        assert text in dom.text
    for promise in result["promises"]:
        assert f"✓ kept {promise['says']} {promise['promise']} {promise['found']}" in dom.text


def test_a_broken_promise_is_not_hidden(tmp_path):
    result = samples.sample("A4", "OpenSMTPD")
    verdicts = [p["verdict"] for p in result["promises"]]
    assert verdicts == ["broken", "kept", "broken", "unknown"]
    dom = show(make([result], tmp_path))
    assert "2 of 4 promises broken, 1 kept, 1 unknown" in dom.text
    assert dom.count("span", "broken") == 2 and dom.count("span", "unknown") == 1


def test_the_figures_are_those_of_the_result(one):
    page, result = one
    text = show(page).text
    regular = next(a for a in result["actors"] if a["name"] == "regular")
    attack = regular["phases"][1]
    wanted = ["attack", str(attack["due"]), str(attack["done"]),
              f"{100 * attack['success'] - 0.005:.2f} %",  # never rounded up
              *(f"{attack[q]:.1f} ms" for q in ("p50_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms"))]
    assert " ".join(wanted) in text
    bots = result["actors"][0]
    begun = bots["phases"][1]["begun"]
    assert f"relay bots smtp 10,000 {bots['left']:,} {begun:,}" in text
    assert f"{result['figures']['begun_per_s']:,.0f} /s {begun:,} in 60 s" in text
    for stage, ends in bots["phases"][1]["ended"].items():
        assert re.search(rf"{stage} {ends['refused']:,} {ends['refused']:,} [\d.]+ %", text), stage
    cost = result["phases"][1]["server"]
    assert f"{cost['pss_most'] / samples.MIB:.1f} MiB" in text
    everybody = sum(a["phases"][1]["begun"] for a in result["actors"])
    assert f"{1000 * cost['cpu_s'] / everybody:.2f} s" in text
    assert "CPU: /proc. Kernel memory: the whole machine: slab and sockets." in text


def test_nothing_is_rounded_up_to_all_of_it(tmp_path):
    result = samples.sample("A4", "Holdfast")
    for name, done in (("regular", 99999), ("newcomer", 100000)):
        phase = next(a for a in result["actors"] if a["name"] == name)["phases"][1]
        phase.update(due=100000, begun=100000, done=done, success=done / 100000,
                     ended={"body": {"done": done}, "rcpt": {"refused": 100000 - done}})
    text = show(make([result], tmp_path)).text
    assert "100,000 99,999 99.99 %" in text and "100,000 100,000 100 %" in text
    assert "Honest clients served 99.99 %" in text


def test_a_run_that_the_generator_limited_says_so(tmp_path):
    result = samples.sample("A9", "OpenSMTPD")
    assert result["figures"]["generator_limited"]
    text = show(make([result], tmp_path)).text
    assert "It was limited by the generator" in text and "≥ 4" in text
    result["figures"].update(generator_limited=False, of_ceiling=0.3)
    text = show(make([result], tmp_path)).text
    assert "limited by the generator" not in text and "≥" not in text
    assert "This run reached 30.0 % of what the generator reaches" in text


def test_the_plots_show_the_phases_and_every_line(one):
    page, _ = one
    got = ask(page, """return [...document.querySelectorAll(".panel")].map((p) => [p.dataset.panel,
        [...p.querySelectorAll("svg text")].map((t) => t.textContent).filter((t) => /^[a-z]{4,6}$/.test(t)),
        p.querySelectorAll("svg path").length, p.querySelector("svg").getBoundingClientRect().width])""")
    assert [g[0] for g in got] == ["attempts", "open", "latency", "refused", "cores", "memory", "log"]
    for name, texts, paths, width in got:
        assert texts[-3:] == ["quiet", "attack", "after"] or {"quiet", "attack", "after"} <= set(texts), name
        assert width > 300, name
    # a line and what is below it; dots, failures, those to come again of three kinds, p50 and p99; two
    # stages; two lines
    assert [g[2] for g in got] == [2, 2, 11, 2, 2, 2, 2]


def test_no_two_of_many_attackers_have_the_same_colour(tmp_path):
    result = samples.sample("A4", "Holdfast")
    actor, line = result["actors"][0], result["time"]["actors"][0]
    for i in range(8):
        name = f"more-{i}"
        result["actors"].append({**actor, "name": name, "title": name})
        result["time"]["actors"].append({**line, "name": name, "begun": [n * i // 10 for n in line["begun"]]})
    got = ask(make([result], tmp_path), """return ["attempts", "open", "refused"].map((key) => {
        const panel = document.querySelector(`[data-panel=${key}]`), svg = panel.querySelector("svg");
        return [[...panel.querySelectorAll(".legend li")].map((l) => [l.textContent,
            getComputedStyle(l.querySelector("i")).color]), [...svg.querySelectorAll("path")].map((p) =>
            p.getBBox().height).reduce((a, b) => Math.max(a, b)), svg.getBBox().height]; })""")
    attempts = dict(got[0][0])
    assert list(attempts) == ["relay bots", "more-4", "more-5", "more-6", "more-7", "4 others"]
    assert len(set(attempts.values())) == 6 and dict(got[1][0]).keys() == attempts.keys()
    assert all(0.5 * whole < height < whole for _, height, whole in got)


def test_failures_are_drawn_where_they_happened(tmp_path):
    result = samples.sample("A4", "Holdfast")
    for line in result["time"]["latency"]:
        line["end"] = ["done" if t != line["due_s"][40 % len(line["due_s"])] else "silent"
                       for t in line["due_s"]]
    page = make([result], tmp_path)
    regular = next(x for x in result["time"]["latency"] if x["name"] == "regular")
    got = ask(page, r"""
        const svg = document.querySelector("[data-panel=latency] svg"), paths = [...svg.querySelectorAll("path")];
        const ticks = [...svg.querySelectorAll("text")].filter((t) => /^[\d.]+\ss$/.test(t.textContent));
        return { red: paths.filter((p) => p.style.stroke === "var(--broken)").map((p) => p.getAttribute("d")),
            ticks: ticks.map((t) => [parseFloat(t.textContent), +t.getAttribute("x")]) };""")
    assert len(got["red"]) == 3 and all(d.count("M") == 1 for d in got["red"])
    (t0, x0), (t1, x1) = got["ticks"][0], got["ticks"][-1]
    x = 3 + float(re.match(r"M([\d.]+)", got["red"][0])[1])
    assert abs(t0 + (x - x0) * (t1 - t0) / (x1 - x0) - regular["due_s"][40]) < 0.2


def test_pointing_at_a_plot_reads_it_out(one):
    page, result = one
    at = 30.0
    got = ask(page, f"""
        const svg = document.querySelector("[data-panel=attempts] svg"), box = svg.getBoundingClientRect();
        const ticks = [...svg.querySelectorAll("text")].filter((t) => /^[\\d.]+\\ss$/.test(t.textContent))
            .map((t) => [parseFloat(t.textContent), +t.getAttribute("x")]);
        const [[t0, x0], [t1, x1]] = [ticks[0], ticks[ticks.length - 1]];
        const clientX = box.left + x0 + ({at} - t0) * (x1 - x0) / (t1 - t0);
        svg.dispatchEvent(new PointerEvent("pointermove", {{ clientX, clientY: box.top + 50 }}));
        const said = [...document.querySelectorAll(".tip")].map((t) => t.innerText);
        const cursors = [...document.querySelectorAll("svg line[stroke-dasharray], svg line")]
            .filter((l) => l.style.strokeDasharray && l.style.display !== "none").length;
        svg.dispatchEvent(new PointerEvent("pointerleave"));
        return [said, cursors, document.querySelectorAll(".tip").length];""")
    said, cursors, left = got
    assert len(said) == 1 and re.match(r"(29\.9|30|30\.1)\s", said[0]) and "relay bots" in said[0]
    read = float(re.search(r"([\d,]+)/s", said[0])[1].replace(",", ""))
    each, begun = 2 * samples.BUCKET, result["time"]["actors"][0]["begun"]  # of 410 buckets 205 are drawn
    near = [sum(begun[2 * k:2 * k + 2]) / each for k in range(int(at / each) - 1, int(at / each) + 2)]
    assert any(abs(read - x) <= 0.5 for x in near), (read, near)
    assert cursors == 7 and left == 0


def test_one_kind_of_honest_client_can_be_shown_alone(one):
    page, _ = one
    got = ask(page, """
        const panel = document.querySelector("[data-panel=latency]"), seen = () =>
            [...panel.querySelectorAll("svg path")].filter((p) => p.style.strokeLinecap === "round"
                && p.style.strokeWidth === "3.2" && p.getAttribute("d")).length;
        const before = seen(), chip = () => panel.querySelectorAll("button")[1];
        chip().click();
        const alone = [seen(), chip().getAttribute("aria-pressed"), document.activeElement === chip()];
        chip().click();
        return [before, alone, seen(), chip().textContent];""")
    assert got == [3, [1, "true", True], 3, "first-time sender"]


def test_the_plots_are_there_as_tables_too(one):
    page, result = one
    dom = show(page, "#open")
    assert dom.count("table") >= 13
    per_second = [sum(result["time"]["actors"][0]["begun"][i * 25:(i + 1) * 25]) / 5 for i in range(16)]
    for i in (3, 4, 10):  # every five seconds
        assert re.search(rf"\b{i * 5} s [\d,]+/s", dom.text), i
    got = [int(x.replace(",", "")) for x in re.findall(r"\b(?:15|20|25) s ([\d,]+)/s", dom.text)[:3]]
    for have, want in zip(got, per_second[3:6]):
        assert abs(have - want) <= max(60, want * 0.15), (got, per_second[3:6])


# Several results.


def test_seven_scenarios_and_four_servers_fit(bench):
    page, results = bench
    assert page.stat().st_size < 6 << 20
    dom = show(page)
    assert "7 scenarios against 4 servers" in dom.text
    assert dom.count("section", "scenario") == 7
    assert dom.count("svg") == (7 * 7 - 1) * 4
    assert dom.text.count("nothing was refused") == 4  # in A6
    assert len(results) == 84


def test_the_overview_has_every_verdict_and_the_share_that_was_served(bench):
    page, results = bench
    got = ask(page, """return [...document.querySelectorAll(".board tbody tr")].map((r) => [
        r.querySelector("th").textContent, [...r.querySelectorAll("td")].map((d) => [d.className,
        d.querySelector(".share").textContent, d.querySelector(".marks").textContent])])""")
    assert [g[0] for g in got] == [f"{i}{s[0]}" for i, s in samples.SCENARIOS.items()]
    signs = {"kept": "✓", "broken": "✗", "unknown": "?"}
    for (_, cells), scenario in zip(got, samples.SCENARIOS):
        for (css, share, marks), server in zip(cells, samples.SERVERS):
            result = median(results, scenario, server)
            verdicts = [p["verdict"] for p in result["promises"]]
            assert marks == "".join(signs[v] for v in verdicts)
            assert css == ("broken" if "broken" in verdicts else "kept")
            assert abs(float(share.replace("\u00a0%", "")) - 100 * served(result)) < 0.1


def served(result):
    phases = [a["phases"][1] for a in result["actors"] if a["honest"]]
    return sum(p["done"] for p in phases) / sum(p["due"] for p in phases)


def slowest(result):
    return max(a["phases"][1]["p99_ms"] for a in result["actors"] if a["honest"])


def median(results, scenario, server):
    rounds = [r for r in results if r["scenario"]["id"] == scenario and r["server"] == server]
    return sorted(rounds, key=lambda r: (-served(r), slowest(r)))[1]


def test_servers_are_drawn_with_the_same_axes(bench):
    page, _ = bench
    got = ask(page, """return [...document.querySelectorAll(".panel")].map((p) => [...p.querySelectorAll("svg")]
        .map((s) => [...s.querySelectorAll("text:not(.name)")].map((t) => t.textContent + "@" +
            Math.round(t.getAttribute("y")) + "," + Math.round(t.getAttribute("x"))).join(" ")))""")
    assert len(got) == 49 and sum(not axes for axes in got) == 1
    for axes in filter(None, got):
        assert len(axes) == 4 and len(set(axes)) == 1 and len(axes[0]) > 60


def test_rounds_are_shown_by_their_median_and_range(bench):
    page, results = bench
    dom = show(page, "#open")
    rounds = [r for r in results if r["scenario"]["id"] == "A4" and r["server"] == "Haraka"]
    rates = sorted(r["figures"]["begun_per_s"] for r in rounds)
    here = median(results, "A4", "Haraka")["figures"]["begun_per_s"]
    assert f"{here:,.0f} {rates[0]:,.0f}–{rates[-1]:,.0f}" in dom.text
    assert "Of 3 rounds the median is shown" in dom.text
    assert dom.text.count("(shown)") == 28


def test_what_was_not_run_is_said(tmp_path):
    dom = show(make([samples.sample("A4", "Holdfast"), samples.sample("A4", "Haraka"),
                     samples.sample("A10", "Haraka")], tmp_path))
    assert dom.text.count("not run") == 1
    assert "2 scenarios against 2 servers" in dom.text
    assert dom.count("svg") == 7 * 2 + 7


def test_results_of_other_machines_are_not_compared_in_silence(tmp_path):
    results = [samples.sample("A4", "Holdfast"), samples.sample("A4", "Haraka")]
    assert "same machine" not in show(make(results, tmp_path)).text
    results[1]["machine"]["cores"] = 64
    assert "not all from the same machine" in show(make(results, tmp_path)).text


# Strangers' texts.

HOSTILE = [
    "</script><img src=x onerror=\"document.title='owned'\">",
    "<!--<script>document.title='owned'</script>",
    "\"><svg onload=document.title='owned'>",
    "a\u2028b\u2029c\u202ed\u200be\x07",
    "javascript:document.title='owned'",
]


def poison(node, path=()):
    """Every text of a result that could come from outside becomes a hostile one."""
    if isinstance(node, dict):
        return {k: poison(v, (*path, k)) for k, v in node.items()}
    if isinstance(node, list):
        return [poison(v, (*path, i)) for i, v in enumerate(node)]
    if isinstance(node, str) and path[-1] not in ("phase", "name", "verdict") and "end" not in path:
        return HOSTILE[len(str(path)) % len(HOSTILE)] + node
    return node


def test_texts_of_strangers_stay_texts(tmp_path):
    first, second = (poison(samples.sample("A4", s)) for s in ("Holdfast", "Haraka"))
    second["scenario"] = first["scenario"]
    for result in (first, second):
        result["actors"][0].update(breaches=3, breach="".join(HOSTILE))
        result.update(complete=False, why_not="".join(HOSTILE))
        result["time"]["actors"][0]["refused"]["<img src=x>"] = [1]
        result["actors"][0]["phases"][1]["ended"]["<img src=x>"] = {"<img src=y>": 4}
    for results in ([first], [first, second]):
        dom = show(make(results, tmp_path), "#open")
        assert "owned" not in dom.title or dom.title.startswith(HOSTILE[0][:9]) or "against" in dom.title
        assert dom.title != "owned"
        assert dom.count("img") == 0 and dom.count("iframe") == 0
        assert not any(a.startswith("on") for _, attrs in dom.elements for a in attrs)
        assert not any((attrs.get("href") or "#")[0] != "#" for tag, attrs in dom.elements if tag == "a")
        for text in HOSTILE[:3]:
            assert text in dom.text
        assert "a\\u2028b\\u2029c\\u202ed\\u200be\\u0007" in dom.text


def test_scripts_of_others_do_not_run_in_it(one, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(one[0].read_text(encoding="utf-8").replace("</body>", """
        <script>document.title = "owned"</script><img src="x" onerror="document.title = 'owned'">
        <b style="color: red">x</b></body>"""), encoding="utf-8")
    text, said = chromium(tmp_path, page.as_uri(), "--dump-dom")
    assert Dom(text).title == "A4 against Holdfast"
    assert len(said) >= 3 and all("Content Security Policy" in s for s in said)


def test_a_page_that_was_changed_does_not_run(one, tmp_path):
    page = tmp_path / "page.html"
    text = one[0].read_text(encoding="utf-8")
    assert text.count("\ndraw();\n") == 1
    page.write_text(text.replace("\ndraw();\n", "\ndraw(); \n"), encoding="utf-8")
    text, said = chromium(tmp_path, page.as_uri(), "--dump-dom")
    assert "Relay bots" not in Dom(text).text
    assert len(said) == 1 and "Content Security Policy" in said[0]


# Less than there should be.


def without(result, *keys, value=None):
    for key in keys:
        *path, last = key.split(".")
        node = result
        for part in path:
            node = node[int(part) if part.isdigit() else part]
        node[last] = value
    return result


def stopped_at_once(result):
    without(result, "actors", "phases", "promises", value=[])
    without(result, "ceiling", "time")
    result.update(complete=False, why_not="nobody answered", figures={})
    return result


def empty_lines(result):
    for actor in result["time"]["actors"]:
        actor.update(begun=[], done=[], open=[], refused={})
    for line in result["time"]["latency"]:
        line.update(due_s=[], ms=[], end=[])
    without(result, "time.server.at_s", "time.server.cores", "time.server.pss", "time.server.kernel",
            "time.server.log_bytes", value=[])
    return result


def everything_failed(result):
    for actor in result["actors"]:
        for phase in actor["phases"]:
            phase.update({k: None for k in phase if k.endswith("_ms") or k == "success"}, done=0)
    for line in result["time"]["latency"]:
        line["end"] = ["silent"] * len(line["end"])
    return result


LESS = {
    "no-server": lambda r: [without(p, "server") for p in r["phases"]] and without(r, "time.server"),
    "no-ceiling": lambda r: without(r, "ceiling", "figures.of_ceiling"),
    "no-promise": lambda r: without(r, "promises", value=[]),
    "no-honest": lambda r: {**r, "actors": [a for a in r["actors"] if not a["honest"]],
                            "time": {**r["time"], "latency": []}},
    "no-attacker": lambda r: {**r, "actors": [a for a in r["actors"] if a["honest"]], "time": {
        **r["time"], "actors": [{**a, "begun": [3, 4], "done": [], "open": [1, 1]}
                                for a in r["time"]["actors"] if a["honest"]]}},
    "no-texts": lambda r: without(r, "scenario.about", "scenario.ends", "target", "started", "program", value=""),
    "stopped-at-once": stopped_at_once,
    "empty-lines": empty_lines,
    "everything-failed": everything_failed,
    "nulls": lambda r: without(r, "actors", "phases", "promises", "time", "machine", "figures", "scale", "seed",
                               "workers", "scenario.title", "complete"),
}


def expect_sane(dom, name):
    assert dom.count("footer") == 1, name
    for word in ("undefined", "NaN", "[object", "Infinity"):
        assert word not in dom.text, (name, word)
    assert not re.search(r"\bnull\b(?! sender)", dom.text), name


@pytest.mark.parametrize("name", LESS)
def test_what_is_missing_breaks_nothing(name, tmp_path):
    dom = show(make([LESS[name](samples.sample("A4", "Holdfast"))], tmp_path), "#open")
    assert dom.title == "A4 against Holdfast" and "Relay bots" in dom.text or name == "nulls"
    expect_sane(dom, name)


def test_what_is_missing_breaks_nothing_beside_it(tmp_path):
    results = [{**change(samples.sample("A4", "Holdfast")), "server": name} for name, change in LESS.items()]
    dom = show(make([*results, samples.sample("A4", "Holdfast")], tmp_path), "#open")
    expect_sane(dom, "beside")
    assert "2 scenarios against 11 servers" in dom.text  # one has no title
    assert all(name in dom.text for name in LESS)


def test_a_run_that_did_not_end_says_why(tmp_path):
    dom = show(make([stopped_at_once(samples.sample("A4", "Holdfast"))], tmp_path))
    assert "did not come to its end: nobody answered" in dom.text


def test_a_file_that_is_no_result_is_refused(tmp_path):
    (tmp_path / "other.json").write_text('{"scenario": {"id": "A4"}, "server": "S", "format": 9}')
    run = subprocess.run([PROGRAM, "page", tmp_path / "page.html", tmp_path / "other.json"],
                         capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode != 0 and "another version" in run.stderr
    assert not (tmp_path / "page.html").exists()


# How it looks.


def test_nothing_is_wider_than_a_phone(one, bench):
    for page, _ in (one, bench):
        got = ask(page, """return [innerWidth, document.documentElement.scrollWidth,
            Math.max(...[...document.querySelectorAll("svg")].map((s) => s.getBoundingClientRect().right)),
            Math.min(...[...document.querySelectorAll("svg")].map((s) => s.getBoundingClientRect().width))]""",
                  width=PHONE)
        assert got[0] == PHONE and got[1] <= PHONE and got[2] <= PHONE and got[3] > 300


CONTRAST = """
    const probe = document.createElement("i");
    document.body.append(probe);
    const rgb = (name) => {
        probe.style.color = `var(${name})`;
        return getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
    };
    const light = (c) => c.map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const contrast = (a, b) => {
        const [x, y] = [light(rgb(a)), light(rgb(b))].sort((p, q) => q - p);
        return (x + .05) / (y + .05);
    };
    const of = (grounds, names) => names.flatMap((n) => grounds.map((g) => [n, g, contrast(n, g)]));
    const many = (p, n) => [...Array(n).keys()].map((i) => `--${p}${i}`);
    return { text: [...of(["--paper", "--ground", "--attack"], ["--ink", "--soft"]),
            ...of(["--paper"], ["--kept", "--broken", "--unknown", "--link"]),
            ...["kept", "broken", "unknown"].flatMap((v) => of([`--${v}-ground`], [`--${v}`, "--ink", "--soft"]))],
        lines: of(["--paper", "--attack"], [...many("a", 6), ...many("h", 6), "--c0", "--c1", "--median", "--tail",
            "--broken"]), paper: light(rgb("--paper")) };"""


@pytest.mark.parametrize("dark", [False, True])
def test_all_can_be_told_from_the_ground_by_day_and_by_night(one, dark):
    got = ask(one[0], CONTRAST, dark=dark)
    assert got["paper"] < 0.05 if dark else got["paper"] > 0.9
    assert [c for c in got["text"] if c[2] < 4.5] == []
    assert [c for c in got["lines"] if c[2] < 2.6] == []


def test_it_can_be_photographed_and_printed(one, tmp_path):
    page, _ = one
    picture, paper = tmp_path / "page.png", tmp_path / "page.pdf"
    chromium(page.parent, page.as_uri(), f"--screenshot={picture}", width=1280)
    header = picture.read_bytes()
    assert header[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(header[16:20], "big") == 1280
    assert len(header) > 30000  # an empty page of this size is a tenth of it
    chromium(page.parent, page.as_uri(), f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    pages = len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
    assert 2 <= pages <= 5
