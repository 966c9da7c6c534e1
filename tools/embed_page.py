#!/usr/bin/env python3
"""Make a C header of the page's template: what stands before the results, and what after.

usage: embed_page.py PAGE.html HEADER.h

The page's policy names its own script and style by their hashes, so that a browser runs nothing
else, whatever a result holds.
"""
import base64
import hashlib
import pathlib
import re
import sys

PLACE = "@RESULTS@"


def hashed(page, tag):
    """The hash of the one inline script or style, as a content security policy names it."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    if len(found) != 1:
        sys.exit(f"the page should have one <{tag}>, it has {len(found)}")
    return "'sha256-" + base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode() + "'"


def literal(line):
    out = ""
    for byte in line.encode():
        if byte in b'\\"':
            out += "\\" + chr(byte)
        elif 32 <= byte < 127:
            out += chr(byte)
        else:
            out += f"\\{byte:03o}"
    return f'\t"{out}"\n'


def array(name, text):
    lines = "".join(literal(line) for line in text.splitlines(keepends=True))
    return f"static const char {name}[] =\n{lines}\t;\n"


def main(source, header):
    page = pathlib.Path(source).read_text(encoding="utf-8")
    for tag in ("script", "style"):
        page = page.replace(f"@{tag.upper()}-HASH@", hashed(page, tag))
    parts = page.split(PLACE)
    if len(parts) != 2:
        sys.exit(f"{source} should say {PLACE} once, it says so {len(parts) - 1} times")
    pathlib.Path(header).write_text(
        f"/* Made by {pathlib.Path(__file__).name} from {pathlib.Path(source).name}. */\n"
        "#ifndef REHEARSE_PAGE_HTML_H\n#define REHEARSE_PAGE_HTML_H\n\n"
        + array("page_before", parts[0]) + "\n" + array("page_after", parts[1]) + "\n#endif\n",
        encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
