"""Who logs in: passwords of other programs' making, a real Dovecot, and a role that is killed."""
import base64
import contextlib
import itertools
import os
import pathlib
import re
import resource
import shutil
import smtplib
import subprocess
import threading

import pytest

from conftest import PATIENCE, TOP, Server, free_port, listens, wait_for
from mailboxes import session_lives

HOST = "127.0.0.1"
PASSWORD = "correct horse battery"
FILTER = TOP / "data" / "fail2ban" / "holdfast.conf"
PARSER = TOP / "data" / "crowdsec" / "holdfast-logs.yaml"


@pytest.fixture
def make_submission(home):
    made = []

    def make(auth="", **options):
        p = free_port(), free_port()
        listen = (f'listen = ( {{ address = "{HOST}:{p[0]}"; service = "smtp"; }},'
                  f' {{ address = "{HOST}:{p[1]}"; service = "submission"; }} );')
        server = Server(home, listen=listen, settings=f'auth: {{ delay = "0s"; {auth} }};\n', **options)
        server.port, server.submission = p
        made.append(server)
        return server.start()

    yield make
    for server in made:
        if server.process and server.process.poll() is None:
            server.stop()


def log_in(server, user, password, helo="client.test"):
    """The code of the answer to AUTH PLAIN."""
    with smtplib.SMTP(HOST, server.submission, helo, timeout=PATIENCE) as s:
        s.ehlo(helo)
        plain = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        return s.docmd("AUTH", f"PLAIN {plain}")[0]


def hash_of(scheme, password=PASSWORD):
    return subprocess.run(["doveadm", "-c", "/dev/null", "pw", "-s", scheme, "-p", password],
                          check=True, capture_output=True, text=True).stdout.strip()


needs_doveadm = pytest.mark.skipif(not shutil.which("doveadm"), reason="dovecot-core is not installed: doveadm")


# ---- a passwd-file ----

SCHEMES = ["ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "PBKDF2", "SSHA256", "SSHA512", "SSHA",
           "SHA256", "PLAIN", "SCRAM-SHA-256", "CRYPT"]


@needs_doveadm
def test_hashes_that_dovecot_made_are_read(make_submission, home):
    users = home / "users"
    users.write_text("".join(f"{s.lower()}:{hash_of(s)}::::::\n" for s in SCHEMES) +
                     f"md5:{hash_of('MD5-CRYPT')}\n")
    server = make_submission(f'sources = ( {{ kind = "passwd-file"; path = "{users}"; }} );')
    for scheme in SCHEMES:
        assert log_in(server, scheme.lower(), PASSWORD) == 235, scheme
        assert log_in(server, scheme.lower(), PASSWORD + "!") == 535, scheme
    # what cannot be checked is refused, and said
    assert log_in(server, "md5", PASSWORD) == 535
    server.wait_log(r"1 hashes are of no scheme")


def test_a_changed_file_counts_without_a_reload(make_submission, home):
    users = home / "users"
    users.write_text("carol:{PLAIN}one\n")
    server = make_submission(f'sources = ( {{ kind = "passwd-file"; path = "{users}"; }} );')
    assert log_in(server, "carol", "one") == 235
    assert log_in(server, "carol", "two") == 535
    new = home / "users.new"
    new.write_text("carol:{PLAIN}two\n")
    new.rename(users)
    wait_for("the new password", lambda: log_in(server, "carol", "two") == 235)
    assert log_in(server, "carol", "one") == 535


# ---- a real Dovecot ----

class Dovecot:
    """Its auth service alone, in a directory of its own."""

    def __init__(self, home):
        self.home = pathlib.Path(home) / "dovecot"
        self.home.mkdir()
        self.home.chmod(0o755)
        self.socket = self.home / "auth"
        self.config = self.home / "dovecot.conf"
        self.users = self.home / "users"
        self.process = None
        self.config.write_text(f"""
protocols =
base_dir = {self.home}/run
state_dir = {self.home}/state
log_path = {self.home}/log
auth_mechanisms = plain
auth_failure_delay = 0
disable_plaintext_auth = no
ssl = no
passdb {{
  driver = passwd-file
  args = {self.users}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {self.socket} {{
    mode = 0666
  }}
}}
# a wrong password does not make the next one wait
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
""")

    def start(self):
        self.process = subprocess.Popen(["dovecot", "-F", "-c", self.config], stderr=subprocess.DEVNULL,
                                        start_new_session=True)
        wait_for("Dovecot to listen", lambda: listens(self.socket))
        return self

    def stop(self):
        """Its master may end before the process that answers."""
        self.process.terminate()
        self.process.wait(PATIENCE)
        wait_for("all of Dovecot to end", lambda: not session_lives(self.process.pid))
        with contextlib.suppress(FileNotFoundError):
            self.socket.unlink()


@pytest.fixture
def dovecot(home):
    if os.geteuid() != 0:
        pytest.skip("only root can start Dovecot")
    if not shutil.which("dovecot"):
        pytest.skip("dovecot-core is not installed")
    server = Dovecot(home)
    server.users.write_text(f"dora@example.test:{hash_of('SHA512-CRYPT')}\n"
                            f"erik@example.test:{hash_of('PLAIN')}::::::nologin\n")
    server.start()
    yield server
    if server.process.poll() is None:
        server.stop()


def answered(server, user, password):
    """The code when Dovecot has answered: for as long as it, or the way to it, is not there, it is "later"."""
    return wait_for("Dovecot to answer", lambda: (code := log_in(server, user, password)) != 454 and code)


def test_a_real_dovecot_is_asked_and_may_restart(make_submission, dovecot):
    server = make_submission('sources = ( { kind = "database"; },'
                             f' {{ kind = "dovecot"; path = "{dovecot.socket}"; }} );')
    assert answered(server, "dora@example.test", PASSWORD) == 235
    assert answered(server, "dora", PASSWORD) == 235
    assert answered(server, "dora", "wrong") == 535
    assert answered(server, "nobody", PASSWORD) == 535
    # the first that knows a user decides
    assert log_in(server, "alice", server.password) == 235
    # while it is away: later, and never "wrong"
    dovecot.stop()
    guess = (f"guess {i}" for i in itertools.count())  # the same one twice is not asked twice
    wait_for("the loss to be noticed", lambda: log_in(server, "dora", next(guess)) == 454)
    assert log_in(server, "alice", server.password) == 235
    dovecot.start()
    wait_for("the new connection", lambda: log_in(server, "dora", PASSWORD) == 235)


def test_who_is_disabled_here_cannot_log_in_with_dovecots_password(make_submission, dovecot):
    server = make_submission(f'sources = ( {{ kind = "dovecot"; path = "{dovecot.socket}"; }} );')
    assert answered(server, "dora", PASSWORD) == 235
    server.cli("user", "disable", "dora@example.test")
    assert re.search(r"dora@example.test +true", server.cli("user", "passwords"))
    assert re.search(r"alice@example.test +argon2id .* false", server.cli("user", "passwords"))
    assert answered(server, "dora", PASSWORD) == 535
    server.cli("user", "enable", "dora@example.test")
    assert answered(server, "dora", PASSWORD) == 235


# ---- no memory ----

def as_user_of(pid):
    """Who may change its limits without being root."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    uid, gid = (int(re.search(rf"^{who}:\t(\d+)", status, re.M)[1]) for who in ("Uid", "Gid"))
    return {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}


@contextlib.contextmanager
def little_memory(pid):
    """What it has and 8 MiB, which is less than one check with argon2 takes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    size = int(re.search(r"^VmSize:\s+(\d+) kB", status, re.M)[1]) * 1024
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]  # it has ours
    before = "unlimited" if soft == resource.RLIM_INFINITY else soft

    def allow(limit):
        subprocess.run(["prlimit", f"--pid={pid}", f"--as={limit}:"], check=True, **as_user_of(pid))

    allow(size + (8 << 20))
    try:
        yield
    finally:
        allow(before)


def test_without_memory_for_it_no_password_is_wrong(make_submission):
    server = make_submission()
    [pid] = server.pids("auth")
    with little_memory(pid):
        for user, password in (("alice", server.password), ("alice", "wrong"), ("nobody", "wrong")):
            assert log_in(server, user, password) == 454, user
        server.wait_log(r"log=login-failed.*reason=memory")
    assert log_in(server, "alice", server.password) == 235
    assert log_in(server, "bob", "wrong") == 535
    wait_for("the failure", lambda: "wrong-password" in server.cli("user", "failures", "bob@example.test"))
    assert "alice" not in server.cli("user", "failures", "alice@example.test")
    assert list(server.pids("auth")) == [pid]


# ---- commands ----

def test_devices_and_failures_are_listed(make_submission):
    server = make_submission()
    assert log_in(server, "alice", server.password, helo="phone.test") == 235
    assert log_in(server, "ALICE@example.test", "wrong", helo="guess.test") == 535
    wait_for("the device", lambda: "phone.test" in server.cli("user", "devices", "alice@example.test"))
    wait_for("the failure", lambda: "wrong-password" in server.cli("user", "failures", "alice@example.test"))
    assert "phone.test" not in server.cli("user", "failures", "alice@example.test")
    assert "phone.test" in server.cli("user", "logins", "alice@example.test")
    server.cli("user", "forget", "alice@example.test")
    assert "phone.test" not in server.cli("user", "devices", "alice@example.test")


def test_a_relay_login_is_kept_and_listed_without_its_password(make_submission):
    server = make_submission()
    server.cli("relay", "passwd", "smart", "--user", "us@hop.test", "--password-stdin", input="s3cret\n")
    said = server.cli("relay", "list")
    assert "smart" in said and "us@hop.test" in said and "s3cret" not in said
    server.cli("relay", "remove", "smart")
    assert "smart" not in server.cli("relay", "list")
    assert server.cli("relay", "remove", "smart", check=False).returncode == 1


# ---- a role that is killed ----

def test_when_auth_is_killed_in_the_middle_everybody_gets_an_answer_and_nothing_is_lost(make_submission):
    server = make_submission('unknown-users = 1000; queue = 100;')
    assert log_in(server, "alice", server.password, helo="phone.test") == 235
    wait_for("the device", lambda: "phone.test" in server.cli("user", "devices", "alice@example.test"))
    codes = []

    def guess(i):
        codes.append(log_in(server, f"user{i}", "guess"))

    guessers = [threading.Thread(target=guess, args=(i,)) for i in range(20)]
    for t in guessers:
        t.start()
    server.kill_role("auth")
    for t in guessers:
        t.join(PATIENCE)
        assert not t.is_alive()
    assert len(codes) == 20 and set(codes) <= {454, 535}
    wait_for("the next auth", lambda: log_in(server, "alice", server.password) == 235)
    # the edge knows it; watch, which asks it, may not yet
    wait_for("the device to be there still", lambda: "phone.test" in server.cli(
        "user", "devices", "alice@example.test", check=False).stdout)


# ---- other programs that read the log ----

def failed(server, count):
    server.wait_log(r"(?s)(log=login-failed.*){%d}" % count)
    return [line for line in server.log().splitlines() if " log=login-failed " in line]


@pytest.fixture
def log_of_failures(make_submission, home):
    """Lines of a real log: two failures that count, a repeated one, a forged one, a right one."""
    server = make_submission()
    assert log_in(server, "alice", server.password) == 235
    assert log_in(server, "alice", "wrong", helo="other.test") == 535
    assert log_in(server, "alice", "wrong", helo="other.test") == 535
    assert log_in(server, "nobody", "wrong", helo="other.test") == 535
    assert log_in(server, 'x" mechanism=plain reason=wrong-password known-device=false from=192.0.2.1 y',
                  "wrong", helo="other.test") == 535
    lines = failed(server, 4)
    path = home / "log"
    path.write_text(server.log())
    return path, lines


@pytest.mark.skipif(not shutil.which("fail2ban-regex"), reason="fail2ban is not installed")
def test_the_fail2ban_filter_counts_what_it_should(log_of_failures):
    path, lines = log_of_failures
    assert len(lines) == 4
    said = subprocess.run(["fail2ban-regex", "--print-all-matched", path, FILTER], check=True,
                          capture_output=True, text=True, timeout=PATIENCE).stdout
    matched = re.search(r"^Lines: .* (\d+) matched", said, re.M)
    assert matched and int(matched[1]) == 3, said
    found = subprocess.run(["fail2ban-regex", "-o", "<ip>", path, FILTER], check=True,
                           capture_output=True, text=True, timeout=PATIENCE).stdout
    assert set(found.split()) == {HOST}


def test_the_crowdsec_parser_counts_the_same(log_of_failures):
    path, lines = log_of_failures
    pattern = re.search(r"^ *pattern: '(.*)'$", PARSER.read_text(), re.M)[1]
    found = [m for m in (re.match(pattern, line) for line in path.read_text().splitlines()) if m]
    assert len(found) == 3
    assert {m["source_ip"] for m in found} == {HOST}
    assert {m["reason"] for m in found} == {"wrong-password", "unknown-user", "broken"}
