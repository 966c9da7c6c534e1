#!/usr/bin/env python3
"""Small rules that no compiler knows (CONTRIBUTING.md).

usage: check_habits.py [DIR...] (without: src, tests and rehearse)
"""
import pathlib
import re
import sys

COLUMNS = 110  # the formatter aims at 90 but does not break texts; tables may be longer

RULES = [
    (re.compile(r"\b(strcpy|stpcpy|strcat|sprintf|vsprintf|gets|atoi|atol|strtok|alloca)\s*\("),
     lambda m: f"{m[1]} is not used here"),
    (re.compile(r"(?<!_)\bassert\s*\("), lambda m: "BUG_IF, not assert"),
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), lambda m: f"{m[1]}: do it or write it down elsewhere"),
    (re.compile(r"[ \t]+$"), lambda m: "white space at the end of the line"),
]
TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')


def width(line):
    return len(line.expandtabs(8))


def check(path, text):
    table = path.suffix == ".def"
    comment = False
    for number, line in enumerate(text.splitlines(), 1):
        if "clang-format off" in line:
            table = True
        elif "clang-format on" in line:
            table = False
        bare = TEXT.sub('""', line)
        for rule, says in RULES:
            match = rule.search(line if rule.pattern.startswith("[ ") else bare)
            if match:
                yield f"{path}:{number}: {says(match)}"
        if not comment and re.sub(r"/\*.*?\*/", "", bare).find("//") >= 0 and "/*" not in bare:
            yield f"{path}:{number}: a // comment"
        opened, closed = bare.rfind("/*"), bare.rfind("*/")
        comment = opened > closed if max(opened, closed) >= 0 else comment
        if not table and width(line) > COLUMNS:
            yield f"{path}:{number}: {width(line)} columns"


def main():
    here = pathlib.Path(__file__).resolve().parent.parent
    dirs = [pathlib.Path(d) for d in sys.argv[1:]] or [here / "src", here / "tests", here / "rehearse"]
    files = [f for d in dirs for f in sorted(d.rglob("*")) if f.suffix in (".c", ".h", ".def")]
    problems = [p for f in files for p in check(f, f.read_text(encoding="utf-8"))]
    print("\n".join(problems + [f"{len(files)} files, {len(problems)} problems"]))
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
