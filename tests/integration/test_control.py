"""The holdfast command, the control socket behind it, and the log, on a running server."""
import contextlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import HOLDFAST, PATIENCE, wait_for


def ask(server, *words):
    """A command as the command line says it, without the command line."""
    body = b"C" + b"".join(struct.pack("<H", len(w)) + w.encode() for w in words)
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    s.connect(str(server.control))
    with contextlib.suppress(OSError):  # who takes five seconds to say something is let go
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


def test_a_user_is_not_removed_without_the_password(make_server):
    server = make_server(settings='run: { silence = "10s"; };\n')
    auth, = server.pids("auth")
    os.kill(auth, signal.SIGSTOP)  # it is replaced before it has answered
    got = server.cli("user", "remove", "alice@example.test", check=False)
    assert got.returncode == 1 and "nothing was removed" in got.stderr
    assert "alice" in server.cli("user", "list")
    wait_for("another auth", lambda: server.pids("auth").keys() - {auth})
    server.wait_ready()
    server.cli("user", "remove", "alice@example.test")
    assert "alice" not in server.cli("user", "list")


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


def test_words_that_are_missing_or_too_many_are_refused_before_anything_is_done(server):
    for words, says in [
            (("alias", "add"), "alias add needs more words behind it"),
            (("alias", "add", "x@example.test"), "alias add needs more words behind it"),
            (("dkim", "keygen", "example.test"), "dkim keygen needs more words behind it"),
            (("restart",), "restart needs a word behind it"),
            (("queue", "delete"), "queue delete needs a word behind it"),
            (("reload", "now"), '"now" is one word too many'),
            (("stop", "--later"), "there is no option --later here"),
            (("user", "list", "alice@example.test"), "is one word too many"),
            (("queue", "show", "0000000000000", "x"), "usage: holdfast queue show ID"),
            (("user", "ad", "x@example.test"), 'there is no command "user ad"; there are:'),
            (("statsu",), 'there is no command "statsu"; did you mean "status"?'),
            (("qeue", "list"), 'there is no command "qeue"; did you mean "queue"?'),
            (("nonsense",), 'there is no command "nonsense"\n'),
            (("help", "nothing"), 'there is no command "nothing"')]:
        got = server.cli(*words, check=False)
        assert got.returncode == 2 and says in got.stderr, (words, got)
        assert got.stdout == ""
    for command in "show", "explain", "retry":
        got = server.cli("queue", command, "xyz", check=False)
        assert got.returncode == 1 and '"xyz" is not a queue id' in got.stderr
    assert "serving" in server.cli("status")


def test_what_was_given_is_named_where_it_does_not_fit(server):
    for words, says in [
            (("user", "add", "dave@example.test", "--password", "x", "--quote", "1m"), "there is no option --quote here"),
            (("domain", "add", "a.example", "b"), '"b" is one word too many'),
            (("dkim", "remove", "example.test", "s"), "there is no key s._domainkey.example.test: `holdfast dkim list`"),
            (("kick", "5"), '"5" is no session: `holdfast sessions` lists them')]:
        got = server.cli(*words, check=False)
        assert got.returncode == 1 and says in got.stderr, (words, got)
    assert "dave" not in server.cli("user", "list") and "a.example" not in server.cli("domain", "list")


def test_an_answer_that_cannot_be_written_is_a_failure(server):
    for words in ("status",), ("access", "list"), ("config", "show"), ("events",), ("help",), ("mailq",):
        with open("/dev/full", "w") as full:
            got = subprocess.run([HOLDFAST, *words, *(("--config", server.config) if words[0] not in ("events", "help")
                                                      else ())],
                                 stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
        assert got.returncode == 1 and "not all of the answer could be written: No space left" in got.stderr, words


def test_an_empty_list_says_so_on_a_terminal_and_nothing_in_a_pipe(server):
    assert server.cli("queue", "list") == server.cli("bans") == ""
    for words in ("queue", "list"), ("bans",):
        ours, theirs = pty.openpty()
        subprocess.run([HOLDFAST, *words, "--config", server.config], stdout=theirs, check=True,
                       timeout=PATIENCE)
        os.close(theirs)
        assert os.read(ours, 100).split() == [b"(none)"]
        os.close(ours)


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
        pytest.skip("only root can ask as somebody else")
    os.chmod(server.control.parent, 0o755)
    os.chmod(server.control, 0o666)
    program = shutil.copy(HOLDFAST, server.home)  # the build may be in a place closed to others
    got = subprocess.run([program, "status", "--control", server.control], capture_output=True,
                         text=True, user=61199, group=61199, extra_groups=[], timeout=PATIENCE)
    assert got.returncode != 0
    assert "Only root" in got.stderr and "state" not in got.stdout
    os.chmod(server.control, 0o660)
    got = subprocess.run([program, "status", "--control", server.control], capture_output=True,
                         text=True, user=61199, group=61199, extra_groups=[], timeout=PATIENCE)
    # there is one: to start another would be bad advice
    assert got.returncode == 1 and got.stdout == ""
    assert "you may not use the control socket" in got.stderr and "run.control-group" in got.stderr
    assert "Start one with" not in got.stderr
    os.chmod(server.config, 0o600)
    got = subprocess.run([program, "status", "--config", server.config], capture_output=True,
                         text=True, user=61199, group=61199, extra_groups=[], timeout=PATIENCE)
    assert got.returncode == 1 and "--control PATH" in got.stderr and "Start one with" not in got.stderr


def test_silent_clients_do_not_lock_the_administrator_out(server):
    def answered_while_they_are_here():
        """They are let go after five seconds; if all of this took so long, it says nothing."""
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                s = stack.enter_context(socket.socket(socket.AF_UNIX))
                s.connect(str(server.control))
                with contextlib.suppress(OSError):  # it may have been let go already
                    s.sendall(b"\x10\x00")
            assert "serving" in server.cli("status")
        return time.monotonic() - began < 5
    wait_for("an answer in spite of them", answered_while_they_are_here)


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
    def answered_soon():
        stuck = [ask(server, "counters") for _ in range(10)]
        began = time.monotonic()
        assert "alice" in server.cli("user", "list")
        took = time.monotonic() - began
        for s in stuck:
            s.close()
        return took < 4
    wait_for("an answer in spite of them", answered_soon)


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
    began = time.monotonic()
    server = make_server(settings='log: { to = "file"; budget = "64k"; interval = "1s"; };')
    log = server.dir / "log" / "holdfast.log"
    flood = 3000

    def told():
        text = log.read_text()
        return text.count("log=offence") + sum(int(n) for n in re.findall(
            r"log=folded .*from=127\.0\.0\.1 of=offence count=(\d+)", text))

    def cut_short():
        """The budget, or records that came faster than they were read."""
        return re.search("log=log-(budget|lost)", log.read_text())
    offend(server, flood)
    wait_for("every one to be counted", lambda: count(server, "unknown-verb") == flood)
    wait_for("a summary", lambda: "log=folded" in log.read_text())
    wait_for("all to be told of", lambda: told() == flood or cut_short())
    server.stop()
    # half of the hour's bytes at once, and what of the other half comes back meanwhile
    assert len(log.read_text()) <= (32 << 10) * (1 + (time.monotonic() - began) / 3600)
    assert told() <= flood
    assert told() == flood or cut_short()


def test_no_client_can_forge_a_line_or_a_field(server):
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as s:
        f = s.makefile("rb")
        f.readline()
        s.sendall(b'EHLO x"\x0blog=dead\x1b]0;pwned\x07 level=error\r\n')
        assert f.readline().startswith(b"501")
        s.sendall(b'RCPT TO:<a\nlevel=error log=dead@example.test>\r\nQUIT\r\n')
        while f.readline():
            pass
    # that of this session: those that looked for the recipients have seen nothing strange
    server.wait_log(r"log=session .*end=.* seen=")
    assert "log=dead" in server.log() and "pwned" in server.log()
    for line in server.log().splitlines():
        if not line.startswith("time="):
            continue
        assert len(re.findall(r"(?:^| )level=", re.sub(r'"(?:[^"\\]|\\.)*"', '""', line))) == 1
        assert "\x1b" not in line and "\x07" not in line


def test_a_rotated_log_is_opened_again(make_server):
    server = make_server(settings='log: { to = "file"; };')
    log = server.dir / "log" / "holdfast.log"
    wait_for("a line", lambda: log.exists() and log.read_text())
    old = log.rename(log.with_suffix(".1"))
    server.cli("reload")
    # its own line may have been written before the file was opened again
    wait_for("its line", lambda: any("log=reloaded" in f.read_text() for f in (log, old) if f.exists()))
    wait_for("the new file", lambda: log.exists())
    offend(server, 1)
    wait_for("what comes later", lambda: "unknown-verb" in log.read_text())
    assert "unknown-verb" not in old.read_text()


def test_json_lines_are_json(make_server):
    server = make_server(settings='log: { to = "file"; format = "json"; };')
    log = server.dir / "log" / "holdfast.log"
    offend(server, 1)
    wait_for("a session", lambda: '"log":"session"' in log.read_text())
    server.stop()  # whoever reads while it is written may see half a line
    for line in log.read_text().splitlines():
        assert json.loads(line)["time"].endswith("Z")
