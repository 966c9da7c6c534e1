#!/usr/bin/env python3
"""Does every file of src/ include downwards only, and every library in its one folder?

usage: check_layers.py [SRC]

The layers are those of ARCHITECTURE.md. A file includes headers of its own folder and of
lower layers, never of a sibling; a pure folder includes pure folders only, and of the C
library just what computes. app/main.c stands above all: it is where they meet.
"""
import pathlib
import re
import sys

LAYER = {
    "base": 0,
    "spec": 1,
    "wire": 2, "guard": 2, "conf": 2, "io": 2, "db": 2, "crypt": 2, "link": 2,
    "session": 3,
    "edge": 4, "store": 4, "auth": 4, "firewall": 4, "watch": 4, "fetch": 4,
    "app": 5,
    "cli": 6,
}
MAIN = "app/main.c"

# link hands out the mapped configuration, so it knows what one is.
SIBLINGS = {("link", "conf")}

PURE = {"base", "spec", "wire", "guard", "conf", "session"}
PURE_HEADERS = {"inttypes.h", "limits.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h",
                "stdint.h", "stdio.h", "string.h"}

# Which folders may include the headers of which library.
LIBRARIES = [
    (r"uv\.h|uv/", {"io"}),
    (r"ares\w*\.h", {"io"}),
    (r"openssl/(evp|hmac|sha|kdf|params|crypto|core_names|err|pem|x509|bn|param_build|rsa)\.h", {"io", "crypt"}),
    (r"openssl/", {"io"}),
    (r"sqlite3\w*\.h", {"db"}),
    (r"seccomp\.h|linux/(seccomp|landlock|filter|audit)\.h", {"link"}),
    (r"sodium\.h|sodium/|crypt\.h|gsasl\.h", {"crypt"}),
    (r"idn2\.h", {"io"}),
    (r"libconfig\.h", {"app"}),
    (r"jansson\.h", {"cli", "watch", "crypt"}),
    (r"microhttpd\.h", {"watch"}),
    (r"(n?curses|panel)\.h", {"cli"}),
    (r"curl/", {"fetch"}),
]

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]')


def library_problem(folder, header):
    for pattern, folders in LIBRARIES:
        if re.match(pattern, header):
            if folder in folders:
                return None
            return f"<{header}> belongs to {' and '.join(sorted(folders))}/"
    if folder in PURE and header not in PURE_HEADERS:
        return f"<{header}> in a pure folder"
    return None


def include_problem(path, folder, header):
    to = header.split("/")[0]
    if "/" not in header:
        return f'"{header}" must be written from src/'
    if to not in LAYER:
        return f'"{header}": {to}/ has no layer in {pathlib.Path(__file__).name}'
    if path == MAIN or to == folder or (folder, to) in SIBLINGS:
        return None
    if LAYER[to] == LAYER[folder]:
        return f'"{header}" is of a sibling'
    if LAYER[to] > LAYER[folder]:
        return f'"{header}" is of a higher layer'
    if folder in PURE and to not in PURE:
        return f'"{header}" is not pure, {folder}/ is'
    return None


def guard_problem(path, text):
    want = re.sub(r"[/.]", "_", path).upper()
    if f"#ifndef {want}\n#define {want}\n" in text:
        return None
    return f"its guard is not {want}"


def check(src):
    problems, files = [], 0
    for file in sorted(src.rglob("*")):
        if file.suffix not in (".c", ".h", ".def"):
            continue
        files += 1
        path = file.relative_to(src).as_posix()
        folder = path.split("/")[0]
        if folder not in LAYER:
            problems.append(f"{path}: {folder}/ has no layer")
            continue
        text = file.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            problem = (library_problem(folder, match[2]) if match[1] == "<"
                       else include_problem(path, folder, match[2]))
            if problem:
                problems.append(f"{path}:{number}: {problem}")
        if file.suffix == ".h" and guard_problem(path, text):
            problems.append(f"{path}: {guard_problem(path, text)}")
    return problems, files


def main():
    here = pathlib.Path(__file__).resolve().parent.parent / "src"
    src = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    problems, files = check(src)
    print("\n".join(problems + [f"{files} files, {len(problems)} problems"]))
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
