#!/usr/bin/env python3
"""Does a hot path cost as many instructions as before?

usage: check_cost.py BUILD [--figures FILE] [--only PATH]   compare; prints TAP
       check_cost.py --renew BUILD                          write the figures anew

BUILD is a build directory with tests/cost/cost in it, whose paths are taken under callgrind
(valgrind). Instructions, not seconds: they are the same on a fast machine and on a busy one.
Only gcc builds with -O2 and without sanitizers are compared; others skip.
"""
import argparse
import json
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIGURES = ROOT / "tests/cost/figures"
TOLERANCE = 3  # per cent, both ways: a gain that is not written down is lost again unnoticed
TIMES = 480
LEVEL = "-O2"
SOURCE = "src/session/session.c"  # stands for all: its flags are those of the build
OTHER_PROGRAM = ("-fsanitize", "-flto", "--coverage", "-fprofile")

# Only these, so that nothing that happens to be set moves the stack. And libc chooses its
# string functions by the processor; these are what every x86-64 has.
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "LC_ALL": "C",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-BMI2,-ERMS,-SSE4_2,-SSE4_1,-SSSE3",
}

HEADER = """\
# Instructions that each path costs (tests/cost/cost.c), and what they were counted with.
# Compared by ./check, {tolerance} % up or down. To renew: ninja -C build renew-cost
"""


class Skip(Exception):
    """This build cannot be compared, and that is no fault of it."""


def output(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout


# ---- where we are ---------------------------------------------------------------------------


def compile_command(build):
    try:
        commands = (build / "compile_commands.json").read_text(encoding="utf-8")
    except OSError as why:
        sys.exit(f"not a build directory: {why}")
    for entry in json.loads(commands):
        if (build / entry["file"]).resolve() == ROOT / SOURCE:
            return shlex.split(entry["command"])
    sys.exit(f"{build}/compile_commands.json: no {SOURCE}")


def conditions(build):
    """Compiler, flags and whatever else decides what is counted. Skip: not to be compared."""
    words = compile_command(build)
    first_flag = next(i for i, word in enumerate(words) if word.startswith("-"))
    compiler = words[:first_flag]
    flags = [w for w in words[first_flag:] if w.startswith(("-O", "-f", "-m", "-g", "-D_FORTIFY"))
             and not w.startswith("-fdiagnostics")]
    if "Free Software Foundation" not in output(*compiler, "--version"):
        raise Skip(f"the figures are for gcc, not for {compiler[-1]}")
    for flag in flags:
        if flag.startswith(OTHER_PROGRAM):
            raise Skip(f"the figures are for a build without {flag}")
    if LEVEL not in flags:
        raise Skip(f"the figures are for {LEVEL}, as in `meson setup build`")
    if not shutil.which("valgrind"):
        raise Skip("no valgrind here")
    return {
        "machine": platform.machine(),
        "compiler": "gcc " + output(*compiler, "-dumpfullversion").strip(),
        "flags": " ".join(flags),
        "libc": os.confstr("CS_GNU_LIBC_VERSION"),
        "counter": output("valgrind", "--version").strip(),
    }


# ---- counting -------------------------------------------------------------------------------


def paths_of(program):
    """Path -> the functions that are counted, with all that they call."""
    return {line.split()[0]: line.split()[1].split(",") for line in output(program).splitlines()}


def count_one(program, path, functions):
    """Instructions per time; or None and what went wrong."""
    with tempfile.TemporaryDirectory() as scratch:
        counts = pathlib.Path(scratch) / "counts"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}",
                   "--zero-before=take_path", *(f"--toggle-collect={f}" for f in functions),
                   str(program), path, str(TIMES)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT,
                                  cwd=scratch, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            return None, "it did not end within five minutes"
        if done.returncode != 0:
            return None, f"it ended with {done.returncode}\n{done.stderr.strip()}"
        # what was counted since take_path() began; "totals" has what came before, too
        summary = [line for line in counts.read_text(encoding="utf-8").splitlines()
                   if line.startswith("summary:")]
    each = round(int(summary[-1].split()[1]) / int(done.stdout))
    return (each, None) if each else (None, f"nothing was counted: is there no {functions} any more?")


def count(build, only=None):
    """Path -> (instructions, None) or (None, what went wrong)."""
    program = build / "tests/cost/cost"
    return {path: count_one(program, path, functions)
            for path, functions in paths_of(program).items() if only in (None, path)}


# ---- figures --------------------------------------------------------------------------------


def read_figures(file):
    """The conditions, and path -> instructions."""
    head, rows = {}, {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        key, value = line.split(None, 1)
        if key.endswith(":"):
            head[key[:-1]] = value.strip()
        else:
            rows[key] = int(value)
    return head, rows


def write_figures(file, head, rows):
    lines = [f"{key + ':':<10}{value}" for key, value in head.items()] + [""]
    lines += [f"{path:<24}{instructions:>8}" for path, instructions in rows.items()]
    file.write_text(HEADER.format(tolerance=TOLERANCE) + "\n" + "\n".join(lines) + "\n", encoding="utf-8")


def differences(head, here):
    return [f"{key}: the figures are of \"{head.get(key, 'nothing')}\", this is \"{value}\""
            for key, value in here.items() if head.get(key) != value]


def judge_one(path, instructions, figure, differs, renew):
    """What is wrong with it: lines, or none."""
    if figure is None:
        return [f"{path}: {instructions} instructions, and no figure to compare with.",
                f"Write it down: {renew}"]
    off = 100 * (instructions - figure) / figure
    if abs(off) <= TOLERANCE:
        return []
    says = [f"{path}: {instructions} instructions, {abs(off):.2f} % {'more' if off > 0 else 'fewer'} than "
            f"the {figure} in tests/cost/figures; {TOLERANCE} % are allowed."]
    if differs:
        says += ["What they were counted with differs (above): count the commit before yours in the same "
                 "way, and if that is", f"off as well, renew the figures there, in a commit of its own: {renew}"]
    elif off > 0:
        says += ["Make it cheaper again, or say in the commit what the instructions are for, "
                 f"and renew: {renew}"]
    else:
        says += [f"Keep the gain, so that nobody loses it unnoticed: {renew}"]
    return says


def judge(counted, rows, differs, renew, only=None):
    """Yields (path, lines that say what is wrong)."""
    for path, (instructions, wrong) in counted.items():
        if wrong:
            yield path, [f"{path} was not counted: {line}" for line in wrong.splitlines()]
        else:
            yield path, judge_one(path, instructions, rows.get(path), differs, renew)
    for path in rows:
        if path not in counted and only in (None, path):
            yield path, [f"{path}: a figure, and no such path in tests/cost/cost.c. Renew: {renew}"]


# ---- what we are asked for --------------------------------------------------------------------


def tell(line):
    """Where meson test --print-errorlogs shows it: of a TAP test it hides the rest."""
    print(f"# {line}", file=sys.stderr, flush=True)


def compare(build, file, only):
    renew = f"ninja -C {os.path.relpath(build, ROOT)} renew-cost"
    try:
        here = conditions(build)
        try:
            head, rows = read_figures(file)
        except (OSError, ValueError) as why:
            sys.exit(f"{file}: {why}. To write it anew: {renew}")
        if head.get("machine") != here["machine"]:
            raise Skip(f"the figures are for {head.get('machine')}, this is {here['machine']}")
    except Skip as reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    differs = differences(head, here)
    for line in differs:
        tell(line)
    counted = count(build, only)
    results = list(judge(counted, rows, differs, renew, only))
    print(f"1..{len(results)}")
    for number, (path, wrong) in enumerate(results, 1):
        instructions = counted.get(path, (None, None))[0]
        print(f"{'not ok' if wrong else 'ok'} {number} - {path}" +
              (f": {instructions} instructions, figure {rows.get(path)}" if instructions else ""))
        for line in wrong:
            tell(line)
    return 1 if any(wrong for _, wrong in results) or not results else 0


def renew_figures(build, file):
    try:
        here = conditions(build)
    except Skip as reason:
        sys.exit(f"{build}: {reason}")
    try:
        _, old = read_figures(file)
    except (OSError, ValueError):
        old = {}
    rows = {}
    for path, (instructions, wrong) in count(build).items():
        if wrong:
            sys.exit(f"{path}: {wrong}")
        rows[path] = instructions
        before = old.get(path)
        print(f"{path:<24}{instructions:>8}" +
              (f"  was {before}, {100 * (instructions - before) / before:+.1f} %" if before else "  new"))
    write_figures(file, here, rows)
    print(f"written to {os.path.relpath(file)}")
    return 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--figures", type=pathlib.Path, default=FIGURES)
    parser.add_argument("--only")
    args = parser.parse_args()
    build = args.build.resolve()
    if args.renew:
        return renew_figures(build, args.figures)
    return compare(build, args.figures, args.only)


if __name__ == "__main__":
    sys.exit(main())
