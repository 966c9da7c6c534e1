"""The holdfast command, the control socket behind it, and the log, on a running server."""
import contextlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time

from conftest import HOLDFAST, PATIENCE, wait_for


def ask(server, *words):
    """A command as the command line says it, without the command line."""
    body = b"C" + b"".join(struct.pack("<H", len(w)) + w.encode() for w in words)
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    s.connect(str(server.control))
    s.sendall(struct.pack("<I", len(body)) + body)
    return s


def answer(s):
    got = b""
    while chunk := s.recv(65536):
        got += chunk
    s.close()
    return got


def rows(server, *words):
    return [json.loads(line) for line in server.cli(*words, "--json").splitlines()]


def count(server, name):
    return next(r["count"] for r in rows(server, "counters") if r["name"] == name)


def offend(server, times):
    """Connections that each say one thing that does not exist."""
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as s:
            f = s.makefile("rb")
            f.readline()
            s.sendall(b"NONSENSE\r\nQUIT\r\n")
            while f.readline():
                pass


def test_users_come_and_go(server):
    server.cli("user", "add", "carol@example.test", "--password", "x", "--quota", "5m")
    user = next(r for r in rows(server, "user", "list") if r["address"] == "carol@example.test")
    assert user["quota"] == 5 << 20
    again = server.cli("user", "add", "carol@example.test", "--password", "x", check=False)
    assert again.returncode == 1 and "exists already" in again.stderr
    assert server.cli("user", "passwd", "carol@example.test", "--password-stdin",
                      input="new\n") == "The password is set.\n"
    server.cli("user", "remove", "carol@example.test")
    assert "carol" not in server.cli("user", "list")
    gone = server.cli("user", "passwd", "carol@example.test", "--password", "x", check=False)
    assert gone.returncode == 1 and "there is no user" in gone.stderr


def test_a_user_whose_password_cannot_be_set_is_not_added(server):
    got = server.cli("user", "add", "dave@example.test", "--password", "x" * 1100, check=False)
    assert got.returncode == 2
    assert "dave" not in server.cli("user", "list")


def test_exit_codes_say_what_kind_of_failure_it_was(server):
    assert server.cli("no-such-command", check=False).returncode == 2
    assert server.cli("queue", check=False).returncode == 2
    assert server.cli("queue", "show", "0000000000000", check=False).returncode == 1
    server.stop()
    got = server.cli("status", check=False)
    assert got.returncode == 3
    assert "no server answers at" in got.stderr and "Start one with" in got.stderr


def test_every_command_explains_itself():
    listed = subprocess.run([HOLDFAST, "help"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  +\S", listed, re.M)
    assert {"run", "demo", "queue list", "status"} <= set(names)
    for name in names:
        got = subprocess.run([HOLDFAST, "help", *name.split()], capture_output=True, text=True,
                             check=True)
        assert got.stdout.startswith(f"usage: holdfast {name}")


def test_who_is_not_entitled_gets_no_answer(server):
    if os.geteuid() != 0:
        return
    os.chmod(server.control.parent, 0o755)
    os.chmod(server.control, 0o666)
    program = shutil.copy(HOLDFAST, server.home)  # the build may be in a place closed to others
    got = subprocess.run([program, "status", "--control", server.control], capture_output=True,
                         text=True, user=61199, group=61199, extra_groups=[], timeout=PATIENCE)
    assert got.returncode != 0
    assert "Only root" in got.stderr and "state" not in got.stdout


def test_silent_clients_do_not_lock_the_administrator_out(server):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.connect(str(server.control))
            s.sendall(b"\x10\x00")
        began = time.monotonic()
        assert "serving" in server.cli("status")
        assert time.monotonic() - began < 2


def test_nonsense_on_the_control_socket_is_answered_and_forgotten(server):
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096, b"\x00" * 5, b"\x01\x00\x00\x00C"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(str(server.control))
            s.sendall(junk)
            assert b"not a command" in s.recv(4096)
    assert b"no such command" in answer(ask(server, "make-coffee"))
    assert "serving" in server.cli("status")


def test_an_answer_that_nobody_reads_holds_up_nobody_for_long(server):
    stuck = [ask(server, "counters") for _ in range(10)]
    began = time.monotonic()
    assert "alice" in server.cli("user", "list")
    assert time.monotonic() - began < 4
    for s in stuck:
        s.close()


def test_counts_survive_the_death_of_every_role(server):
    offend(server, 7)
    wait_for("7 offences", lambda: count(server, "unknown-verb") == 7)
    for role in ("watch", "edge", "store"):
        before = server.kill_role(role)
        assert before
        wait_for(f"another {role}", lambda: "serving" in server.cli("status", check=False).stdout
                 and not set(before) & set(server.pids(role)))
        assert count(server, "unknown-verb") == 7, role
    offend(server, 1)
    wait_for("8 offences", lambda: count(server, "unknown-verb") == 8)


def test_a_flood_folds_and_stays_within_the_budget(make_server):
    server = make_server(settings='log: { to = "file"; budget = "64k"; interval = "1s"; };')
    log = server.dir / "log" / "holdfast.log"
    flood = 3000
    offend(server, flood)
    wait_for("every one to be counted", lambda: count(server, "unknown-verb") == flood)
    wait_for("a summary", lambda: "log=folded" in log.read_text(), 10)
    server.stop()
    text = log.read_text()
    assert len(text) <= 32 << 10
    folded = sum(int(n) for n in re.findall(
        r"log=folded .*from=127\.0\.0\.1 of=offence count=(\d+)", text))
    assert text.count("log=offence") + folded <= flood
    if "log=log-budget" not in text:
        assert text.count("log=offence") + folded == flood


def test_no_client_can_forge_a_line_or_a_field(server):
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as s:
        f = s.makefile("rb")
        f.readline()
        s.sendall(b'EHLO x"\x0blog=dead\x1b]0;pwned\x07 level=error\r\n'
                  b'RCPT TO:<a\nlevel=error log=dead@example.test>\r\nQUIT\r\n')
        while f.readline():
            pass
    server.wait_log(r"log=session .*end=")
    for line in server.log().splitlines():
        if not line.startswith("time="):
            continue
        assert len(re.findall(r"(?:^| )level=", re.sub(r'"(?:[^"\\]|\\.)*"', '""', line))) == 1
        assert "\x1b" not in line and "\x07" not in line


def test_a_rotated_log_is_opened_again(make_server):
    server = make_server(settings='log: { to = "file"; };')
    log = server.dir / "log" / "holdfast.log"
    wait_for("a line", lambda: log.exists() and log.read_text())
    log.rename(log.with_suffix(".1"))
    server.cli("reload")
    wait_for("the new file", lambda: log.exists() and "log=reloaded" in log.read_text())


def test_json_lines_are_json(make_server):
    server = make_server(settings='log: { to = "file"; format = "json"; };')
    log = server.dir / "log" / "holdfast.log"
    offend(server, 1)
    wait_for("a session", lambda: '"log":"session"' in log.read_text())
    for line in log.read_text().splitlines():
        assert json.loads(line)["time"].endswith("Z")
