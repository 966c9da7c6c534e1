#!/usr/bin/env python3
"""Does tools/check_cost.py fail when it should?

usage: gate_bites.py TOOLS_DIR BUILD
"""
import pathlib
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(sys.argv[1])
BUILD = pathlib.Path(sys.argv[2])
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))
import check_cost  # noqa: E402

RENEW = "ninja -C build renew-cost"
OLD = ["compiler: the figures are of \"gcc 1\", this is \"gcc 2\""]

# why, what was counted, the figure, what differs, what must be said (None: it passes)
ROWS = [
    ("the same", 10000, 10000, [], None),
    ("3 % more is allowed", 10300, 10000, [], None),
    ("3 % fewer is allowed", 9700, 10000, [], None),
    ("more", 10301, 10000, [], ["hot: 10301 instructions, 3.01 % more than the 10000", "cheaper", RENEW]),
    ("fewer", 9699, 10000, [], ["hot: 9699 instructions, 3.01 % fewer than the 10000", "Keep the gain", RENEW]),
    ("a new path", 9699, None, [], ["no figure", RENEW]),
    ("a path that is gone", None, 10000, [], ["no such path", RENEW]),
    ("another compiler that makes no difference", 10100, 10000, OLD, None),
    ("another compiler that does", 11000, 10000, OLD, ["10.00 % more", "counted with differs", RENEW]),
]

# One path, counted, and the figure that it is compared with, in per cent of what it costs.
PATH = "edge-full"
REAL = [
    ("a figure 10 % lower than what is counted", 90, "more than"),
    ("a figure 10 % higher", 110, "fewer than"),
    ("the figure itself", 100, None),
]


def judged(instructions, figure, differs):
    counted = {"hot": (instructions, None)} if instructions else {}
    rows = {"hot": figure} if figure else {}
    return [line for _, wrong in check_cost.judge(counted, rows, differs, RENEW) for line in wrong]


def says(lines, expected):
    text = "\n".join(lines)
    return not lines if expected is None else bool(lines) and all(e in text for e in expected)


def run_with(figures):
    got = subprocess.run([sys.executable, TOOLS / "check_cost.py", BUILD, "--figures", figures, "--only", PATH],
                         capture_output=True, text=True, check=False)
    return got.returncode, got.stdout + got.stderr


def really(percent, expected, head, instructions, scratch):
    figures = pathlib.Path(scratch) / "figures"
    figure = instructions * percent // 100
    check_cost.write_figures(figures, head, {PATH: figure})
    code, said = run_with(figures)
    if expected is None:
        return code == 0 and f"ok 1 - {PATH}" in said, said
    wanted = [f"not ok 1 - {PATH}", f"{PATH}: {instructions} instructions", f"the {figure} in", expected,
              "renew-cost"]
    return code != 0 and all(w in said for w in wanted), said


def main():
    print(f"1..{len(ROWS) + len(REAL)}")
    results, skip = [], None
    for why, instructions, figure, differs, expected in ROWS:
        lines = judged(instructions, figure, differs)
        results.append((why, says(lines, expected), "\n".join(lines)))
    try:
        head = check_cost.conditions(BUILD)
        instructions, wrong = check_cost.count(BUILD, PATH)[PATH]
    except check_cost.Skip as reason:
        skip = reason
    with tempfile.TemporaryDirectory() as scratch:
        for why, percent, expected in REAL:
            if skip:
                good, said = None, ""
            else:
                good, said = really(percent, expected, head, instructions, scratch) if not wrong else (False, wrong)
            results.append((f"{PATH}, really counted: {why}", good, said))
    for number, (why, good, said) in enumerate(results, 1):
        print(f"{'not ok' if good is False else 'ok'} {number} - {why}" + (f" # SKIP {skip}" if good is None else ""))
        if good is False:
            print("# " + said.replace("\n", "\n# "))
    return 1 if any(good is False for _, good, _ in results) else 0


if __name__ == "__main__":
    sys.exit(main())
