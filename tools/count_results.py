#!/usr/bin/env python3
"""Count tests.

usage: count_results.py NAME JUNIT_XML   prints "NAME: N passed, N failed[, N skipped]"
       count_results.py --sum FILE       adds such lines up; exit code 1 if any failed

A suite without a single test that ran has failed: silence is not success.
"""
import re
import sys
import xml.etree.ElementTree as xml

LINE = re.compile(r"^(.*): (\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")


def count(path):
    passed = failed = skipped = 0
    for case in xml.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def one(name, path):
    try:
        passed, failed, skipped = count(path)
    except (OSError, xml.ParseError) as e:
        print(f"# {name}: {e}", file=sys.stderr)
        passed, failed, skipped = 0, 1, 0
    if passed + failed == 0:
        failed = 1
    print(f"{name}: {passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if failed == 0 else 1


def total(path):
    passed = failed = 0
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            match = LINE.match(line.rstrip("\n"))
            if match:
                passed += int(match[2])
                failed += int(match[3])
    if passed + failed == 0:
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(total(sys.argv[2]) if sys.argv[1] == "--sum" else one(*sys.argv[1:]))
