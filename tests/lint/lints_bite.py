#!/usr/bin/env python3
"""Do the lints fail when they should? Each case plants one violation in a clean tree.

usage: lints_bite.py TOOLS_DIR CC...
"""
import os
import pathlib
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(sys.argv[1])
CC = sys.argv[2:]

CLEAN = {
    "base/a.h": "#ifndef BASE_A_H\n#define BASE_A_H\n#include <stdint.h>\nint a(int x);\n#endif\n",
    "base/a.c": '#include "base/a.h"\n\nint a(int x)\n{\n\treturn x + 1;\n}\n',
    "wire/b.h": '#ifndef WIRE_B_H\n#define WIRE_B_H\n#include "base/a.h"\nint b(int x);\n#endif\n',
    "wire/b.c": '#include "wire/b.h"\n\nint b(int x)\n{\n\treturn a(x);\n}\n',
    "guard/g.h": "#ifndef GUARD_G_H\n#define GUARD_G_H\n#endif\n",
    "io/c.h": "#ifndef IO_C_H\n#define IO_C_H\n#endif\n",
    "edge/d.c": '#include "io/c.h"\n#include "wire/b.h"\n',
    "app/main.c": '#include "cli/e.h"\n',
    "cli/e.h": "#ifndef CLI_E_H\n#define CLI_E_H\n#endif\n",
}

LAYERS = [
    ("the clean tree", None, None, None),
    ("a sibling", "wire/b.c", '#include "guard/g.h"\n', "sibling"),
    ("a higher layer", "base/a.c", '#include "wire/b.h"\n', "higher layer"),
    ("a role from the front", "session/s.c", '#include "edge/d.h"\n', "higher layer"),
    ("another role", "edge/d.c", '#include "store/s.h"\n', "sibling"),
    ("the world in a pure folder", "session/s.c", '#include "io/c.h"\n', "not pure"),
    ("a library in the wrong folder", "wire/b.c", "#include <uv.h>\n", "belongs to io/"),
    ("a library outside its folder", "store/s.c", "#include <sqlite3.h>\n", "belongs to db/"),
    ("the clock in a pure folder", "wire/b.c", "#include <time.h>\n", "pure folder"),
    ("a path not from src/", "wire/b.c", '#include "b.h"\n', "from src/"),
    ("the command line from app/", "app/x.c", '#include "cli/e.h"\n', "higher layer"),
    ("a folder without a layer", "misc/x.c", "\n", "no layer"),
    ("a wrong guard", "wire/w.h", "#ifndef W_H\n#define W_H\n#endif\n", "guard"),
]

PURE = [
    ("the clean tree", "", None),
    ("the clock", "#include <time.h>\nlong t(void);\nlong t(void)\n{\n\treturn time(NULL);\n}\n", "time"),
    ("memory", "#include <stdlib.h>\nvoid *m(void);\nvoid *m(void)\n{\n\treturn malloc(8);\n}\n", "malloc"),
    ("output", "#include <stdio.h>\nvoid p(void);\nvoid p(void)\n{\n\tputs(\"x\");\n}\n", "puts"),
    ("a system call", "#include <unistd.h>\nint g(void);\nint g(void)\n{\n\treturn getpid();\n}\n", "getpid"),
    ("a variable", "int v(void);\nint v(void)\n{\n\tstatic int n;\n\treturn n++;\n}\n", "variable"),
    ("what another library defines", "int elsewhere(void);\nint e(void);\nint e(void)\n{\n\treturn elsewhere();\n}\n", "elsewhere"),
]

HABITS = [
    ("the clean tree", "", None),
    ("a banned function", "x = strcpy(a, b);\n", "strcpy"),
    ("an assert", "\tassert(x);\n", "BUG_IF"),
    ("a comment of work in progress", "x(); // later\n", "//"),
    ("something to be done", "/* " + "TO" + "DO: later */\n", "TO" + "DO"),
    ("a long line", "/* " + "x" * 110 + " */\n", "columns"),
    ("spaces at the end", "int x; \n", "end of the line"),
    ("a // inside a text is none", 'x = "http://";\n', None),
]

HEADERS = [
    ("the clean tree", None, None),
    ("a header that needs another", "wire/n.h", "#ifndef WIRE_N_H\n#define WIRE_N_H\nuint8_t n(void);\n#endif\n"),
    ("a header without a guard", "wire/n.h", "struct twice {\n\tint x;\n};\n"),
]


def make_tree(root):
    for path, text in CLEAN.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def plant(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((file.read_text() if file.exists() else "") + text)


def run(*command, env=None):
    got = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                         env={**os.environ, **(env or {})})
    return got.returncode, got.stdout + got.stderr


def layers(root, path, text):
    if path:
        plant(root, path, text)
    return run(sys.executable, TOOLS / "check_layers.py", root)


def pure(root, text):
    (root / "wire/planted.c").write_text(text or "int nothing(void);\nint nothing(void)\n{\n\treturn 0;\n}\n")
    archives = []
    for folder in ("base", "wire"):
        objects = []
        for source in sorted((root / folder).glob("*.c")):
            code, said = run(*CC, "-std=gnu17", "-D_GNU_SOURCE", "-I", root, "-c", source, "-o",
                             source.with_suffix(".o"))
            assert code == 0, said
            objects.append(source.with_suffix(".o"))
        archives.append(root / f"lib{folder}.a")
        assert run("ar", "crs", archives[-1], *objects)[0] == 0
    return run("sh", TOOLS / "check_pure.sh", *archives)


def habits(root, text):
    plant(root, "wire/b.c", text)
    return run(sys.executable, TOOLS / "check_habits.py", root)


def headers(root, path, text):
    if path:
        plant(root, path, text)
    return run("sh", TOOLS / "check_headers.sh", root, env={"CC": " ".join(CC)})


def main():
    cases = [("layers", why, lambda r, p=p, t=t: layers(r, p, t), says)
             for why, p, t, says in LAYERS]
    cases += [("pure", why, lambda r, t=t: pure(r, t), says) for why, t, says in PURE]
    cases += [("habits", why, lambda r, t=t: habits(r, t), says) for why, t, says in HABITS]
    cases += [("headers", why, lambda r, p=p, t=t: headers(r, p, t), "alone" if p else None)
              for why, p, t in HEADERS]
    print(f"1..{len(cases)}")
    bad = 0
    for number, (lint, why, check, says) in enumerate(cases, 1):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            make_tree(root)
            code, said = check(root)
        good = code == 0 if says is None else code != 0 and says in said
        bad += not good
        print(f"{'ok' if good else 'not ok'} {number} - {lint}: {why}")
        if not good:
            print("# " + said.replace("\n", "\n# "))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
