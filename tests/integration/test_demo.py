"""`holdfast demo`: the first thing that anybody sees of it."""
import imaplib
import json
import os
import poplib
import pty
import random
import re
import select
import signal
import smtplib
import socket
import subprocess
import sys

import pytest

from conftest import HOLDFAST, PATIENCE, is_free, wait_for


# a role that has to wait for its turn has not fallen silent
PATIENT = "--set", "run.silence=60s"
DEMO_PORTS = 25, 110, 143, 587, 993, 995, 1143


def port_base():
    """A base whose ports are free now, below those that the other tests use."""
    return next(base for base in random.sample(range(2000, 8800), 6800)
                if all(is_free(base + port) for port in DEMO_PORTS))


def demo(home, *more, **options):
    return subprocess.run([HOLDFAST, "demo", "--dir", home / "demo", *PATIENT, *map(str, more)],
                          capture_output=True, text=True, timeout=2 * PATIENCE, **options)


def cli(home, *words):
    return subprocess.run([HOLDFAST, *words, "--dir", home / "demo"], capture_output=True,
                          text=True, timeout=PATIENCE)


def test_once_sends_a_message_shows_it_and_ends(home):
    got = demo(home, "--once", "--port-base", port_base())
    assert got.returncode == 0, got.stderr + got.stdout
    assert "Delivered-To: alice@example.test" in got.stdout
    assert re.search(r"250 2\.0\.0 Queued as \w{13}", got.stdout)
    path = re.search(r"as (/\S+/alice/new/\S+):$", got.stdout, re.M)[1]
    assert "It holds fast." in open(path, encoding="utf-8").read()
    assert "She can read it over POP3" in got.stdout
    assert cli(home, "status").returncode == 3


def test_imap_comes_from_a_dovecot_of_its_own(home):
    if not os.access("/usr/lib/dovecot/imap", os.X_OK):
        pytest.skip("Dovecot's IMAP is not installed")
    base = port_base()
    out = open(home / "out.txt", "w+", encoding="utf-8")
    process = subprocess.Popen(
        [HOLDFAST, "demo", "--dir", home / "demo", "--port-base", str(base), "--password", "pw", *PATIENT],
        stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_for("the demo to serve", lambda: "Serving until Ctrl-C" in open(out.name).read())
        assert "She can read it over IMAP" in open(out.name).read()
        with imaplib.IMAP4("127.0.0.1", base + 143, timeout=PATIENCE) as m:
            m.login("alice@example.test", "pw")
            assert m.select("INBOX")[1] == [b"1"]
            assert b"It holds fast." in m.fetch("1", "(BODY[TEXT])")[1][0][1]

            def counted():
                rows = json.loads(cli(home, "backend", "list", "--json").stdout)
                assert rows["name"] == "dovecot"
                return rows["imap"] == "well" and rows["sessions"] == 1
            wait_for("the session to be counted", counted)
        # what Dovecot has moved to cur/ is still the same message over POP3
        p = poplib.POP3("127.0.0.1", base + 110, timeout=PATIENCE)
        p.user("alice@example.test")
        p.pass_("pw")
        assert b"It holds fast." in p.retr(1)[1]
        p.quit()
        pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and
                str(home / "demo" / "dovecot").encode() in cmdline(p)]
        assert pids
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        out.close()
    wait_for("Dovecot to end", lambda: not any(os.path.exists(f"/proc/{p}") for p in pids))


def test_without_dovecot_it_says_so_and_serves_pop3(home):
    if os.geteuid() != 0:
        pytest.skip("only root can hide Dovecot")
    if not os.path.isdir("/usr/lib/dovecot"):
        assert "There is no IMAP" in demo(home, "--once", "--port-base", port_base()).stdout
        return
    got = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /usr/lib/dovecot && exec "$@"', "sh",
         HOLDFAST, "demo", "--dir", home / "demo", "--once", "--port-base", str(port_base()), *PATIENT],
        capture_output=True, text=True, timeout=2 * PATIENCE)
    if "unshare:" in got.stderr or "mount:" in got.stderr:
        pytest.skip("no mount namespace here: " + got.stderr.strip())
    assert got.returncode == 0, got.stderr
    assert "There is no IMAP in this demo: Dovecot is not installed" in got.stdout
    assert "She can read it over POP3" in got.stdout and "over IMAP" not in got.stdout
    assert "imap" not in re.sub("#.*", "", (home / "demo" / "holdfast.conf").read_text())


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read()
    except OSError:
        return b""


def test_a_second_run_on_the_same_directory_works(home):
    base = port_base()
    first = demo(home, "--once", "--port-base", base)
    second = demo(home, "--once", "--port-base", base)
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    passwords = [re.search(r"alice@example.test +(\S+)", g.stdout)[1] for g in (first, second)]
    assert passwords[0] != passwords[1]


def test_an_edited_configuration_is_kept_beside_the_new_one(home):
    base = port_base()
    assert demo(home, "--once", "--port-base", base).returncode == 0
    config = home / "demo" / "holdfast.conf"
    config.write_text(config.read_text() + "# mine\n")
    assert demo(home, "--once", "--port-base", base).returncode == 0
    assert "# mine" not in config.read_text()
    assert "# mine" in (home / "demo" / "holdfast.conf.old").read_text()


def test_its_server_started_on_a_terminal_says_where_the_log_is(home):
    assert demo(home, "--once", "--port-base", port_base()).returncode == 0
    ours, theirs = pty.openpty()
    process = subprocess.Popen([HOLDFAST, "run", "--config", home / "demo" / "holdfast.conf", *PATIENT],
                               stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        said = ""
        while f"serving; the log is in {home / 'demo' / 'data/log/holdfast.log'}" not in said:
            assert select.select([ours], [], [], PATIENCE)[0], said
            said += os.read(ours, 1000).decode()
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
        os.close(ours)


def test_it_serves_until_ctrl_c(home):
    base = port_base()
    out = open(home / "out.txt", "w+", encoding="utf-8")
    process = subprocess.Popen(
        [HOLDFAST, "demo", "--dir", home / "demo", "--port-base", str(base), "--password", "pw",
         "--set", "smtp.recipients=123", *PATIENT], stdout=out, stderr=subprocess.STDOUT,
        start_new_session=True)
    try:
        wait_for("the demo to serve", lambda: "Serving until Ctrl-C" in open(out.name).read())
        assert "pw\n" not in open(out.name).read()
        assert "serving" in cli(home, "status").stdout
        with smtplib.SMTP("127.0.0.1", base + 587, timeout=PATIENCE) as s:
            s.ehlo("client.example.net")
            s.login("alice@example.test", "pw")
            s.mail("alice@example.test")
            assert s.rcpt("bob@example.test")[0] == 250
            # nobody else hears of a demo
            assert s.rcpt("somebody@example.net")[0] == 550
        second = demo(home, "--once", "--port-base", port_base())
        assert second.returncode == 1 and "a demo runs in" in second.stderr
        with socket.create_connection(("127.0.0.1", base + 25), PATIENCE) as s:
            f = s.makefile("rb")
            assert f.readline().startswith(b"220 mx.example.test ")
            s.sendall(b"EHLO x\r\n")
            lines = [f.readline()]
            while lines[-1][3:4] == b"-":
                lines.append(f.readline())
        assert any(b"RCPTMAX=123" in line for line in lines)
        assert any(b"STARTTLS" in line for line in lines)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert cli(home, "status").returncode == 3
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)
        out.close()


def test_a_port_in_use_is_named(home):
    with socket.socket() as s:
        base = port_base()
        s.bind(("127.0.0.1", base + 25))
        s.listen()
        got = demo(home, "--once", "--port-base", base)
    assert got.returncode == 1
    assert f"127.0.0.1:{base + 25}" in got.stderr and "--port-base" in got.stderr


def test_a_setting_that_does_not_exist_is_named(home):
    got = demo(home, "--once", "--port-base", port_base(), "--set", "smtp.nonsense=1")
    assert got.returncode == 1
    assert 'there is no setting "smtp.nonsense"' in got.stderr


def test_a_directory_that_the_roles_cannot_enter_is_named(home):
    if os.geteuid() != 0:
        pytest.skip("only root has roles with users of their own")
    (home / "shut").mkdir(mode=0o700)
    got = subprocess.run([HOLDFAST, "demo", "--dir", home / "shut" / "demo", "--once"],
                         capture_output=True, text=True, timeout=PATIENCE)
    assert got.returncode == 1
    assert f"chmod o+x {home / 'shut'}" in got.stderr


JOURNAL = """
import os, socket, subprocess, sys
os.makedirs("/run/systemd/journal")
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/run/systemd/journal/socket")
os.chmod("/run/systemd/journal/socket", 0o666)
s.settimeout(60)
p = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
while b"log=accepted" not in (line := s.recv(65536)):
    pass
sys.stdout.buffer.write(line)
sys.exit(p.wait(60))
"""


def test_the_journal_gets_lines(home):
    """In a mount namespace of its own, with a journal that is only a socket."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount another /run")
    got = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh",
         sys.executable, "-c", JOURNAL, HOLDFAST, "demo", "--dir", home / "demo", "--once",
         "--port-base", str(port_base()), "--set", "log.to=journal", *PATIENT],
        capture_output=True, text=True, timeout=2 * PATIENCE)
    if "unshare:" in got.stderr or "mount:" in got.stderr:
        pytest.skip("no mount namespace here: " + got.stderr.strip())
    assert got.returncode == 0, got.stderr
    assert got.stdout.startswith("PRIORITY=6\nSYSLOG_IDENTIFIER=holdfast\nMESSAGE=time=")
