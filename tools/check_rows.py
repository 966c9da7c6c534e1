#!/usr/bin/env python3
"""Is every row of every table used? A setting that nothing reads is a lie.

usage: check_rows.py [SRC]
"""
import pathlib
import re
import sys

# table, how a row begins, and what a use of it looks like
TABLES = [
    ("events.def", r"^EVENT\((\w+)", r"\bEV_{}\b"),
    ("ends.def", r"^END\((\w+)", r"\bEND_{}\b"),
    ("replies.def", r"^REPLY\((\w+)", r"\bRE_{}\b"),
    ("records.def", r"^RECORD\((\w+)", r"\bLOG_{}\b"),
    ("messages.def", r"^MESSAGE\((\w+)", r"\bmsg_{}_(?:pack|unpack)\b|\bMSG_{}\b"),
    ("settings.def", r"^SETTING\(\w+,\s*(\w+)", r"(?:\bset(?:tings)?|\bs|\bconf)(?:\.|->)(?:set\.)?{}\b|\bSET_{}\b"),
    ("sections.def", r"^SECTION\((\w+)", r"\bSECTION_{}\b"),
    ("rules.def", r"^RULE\((\w+)", r"\bRULE_{}\b"),
]

# Rows that came before what uses them. A row that is used must not stay here.
WAITING = {
    ("replies.def", "REFUSED"): "the guard",
}


def main():
    here = pathlib.Path(__file__).resolve().parent.parent / "src"
    src = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    files = [f for f in src.rglob("*") if f.suffix in (".c", ".h", ".def")]
    text = "\n".join(f.read_text(encoding="utf-8") for f in files
                     if not (f.parent.name == "spec" and f.suffix == ".def")
                     and f.name not in ("check.c", "docs.c"))
    # a rule says its reply
    rules = (src / "spec" / "rules.def").read_text(encoding="utf-8")
    text += "".join(f" RE_{reply}" for reply in re.findall(r"^RULE\(\w+,[^,]*,[^,]*,\s*(\w+)", rules, re.M))
    problems, rows = [], 0
    for table, row, use in TABLES:
        for name in re.findall(row, (src / "spec" / table).read_text(encoding="utf-8"), re.M):
            rows += 1
            used = re.search(use.replace("{}", name), text)
            if not used and (table, name) not in WAITING:
                problems.append(f"src/spec/{table}: nothing uses {name}")
            if used and (table, name) in WAITING:
                problems.append(f"src/spec/{table}: {name} is used, and need not wait any more")
    print("\n".join(problems + [f"{rows} rows, {len(problems)} problems"]))
    return 1 if problems or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
