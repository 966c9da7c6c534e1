"""A real server, started the way an administrator starts it, for each test that asks."""
import contextlib
import os
import pathlib
import random
import re
import select
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HOLDFAST_BUILD", TOP / "build"))
HOLDFAST = BUILD / "holdfast"
PATIENCE = 60  # seconds until a test gives up waiting for an event
# Several time-outs of the server's own come one after the other: the command gives up after 90 s.
LONG_PATIENCE = 120
ROLE_IDS = {"edge": 61190, "store": 61191, "auth": 61192, "watch": 61193, "firewall": 61194,
            "fetch": 61195}


def wait_for(what, condition, patience=PATIENCE):
    """Poll until condition() is true; the poll is for events that nobody announces."""
    end = time.monotonic() + patience
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience} s in vain for: {what}")
        select_briefly()


def select_briefly():
    select.select([], [], [], 0.02)


def ports_to_hand_out():
    """Ports for the servers of this worker: below those that the kernel gives to
    outgoing connections, where one may be taken between here and the server's start,
    and from a slice that no other worker has."""
    first, last, slices = 10000, 32767, 16
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % slices
    mine = range(first + worker, last, slices)
    start = random.randrange(len(mine))
    while True:
        yield from mine[start:]
        yield from mine[:start]


PORTS = ports_to_hand_out()


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("", port))
        except OSError:
            return False
    return True


def listens(path):
    """Does a server listen on this socket? One that is bound is there, and sends away who comes too early."""
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0


def free_port():
    return next(port for port in PORTS if is_free(port))


def self_signed(directory, name, *more):
    """A certificate and key for the given names; returns their paths."""
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    names = ",".join(f"DNS:{n}" for n in (name, *more))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}",
         "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


# What tests of other things need: one address makes all connections, nobody waits for the DNS, and who
# has begun a message may wait for half a minute until the rest of the test is as far.
QUIET = {
    "smtp": {"greet-delay": '"0s"', "data-rate": "0"},
    "guard": {"mode": '"observe"', "lookups": "false"},
}
# That address has had sessions before the test begins, on a slow machine more than a few: what the test
# waits for is to be a line, and not a number in a summary. Tests of the log say all of it themselves.
TALKATIVE = {"log": {"full": "100"}}


def with_defaults(settings, defaults):
    """The settings, and of these groups what they do not set themselves; libconfig wants each group once."""
    for group, members in defaults.items():
        found = re.search(rf"^{group}: *\{{(.*?)\}};", settings, re.M | re.S)
        said = found[1] if found else ""
        more = "".join(f"  {k} = {v};\n" for k, v in members.items() if not re.search(rf"\b{k} *=", said))
        if found:
            settings = settings.replace(found[0], f"{group}: {{\n{more}{said}}};", 1)
        else:
            settings += f"\n{group}: {{\n{more}}};"
    return settings


class Server:
    """`holdfast run` on a directory of its own. Settings are extra lines of configuration."""

    def __init__(self, home, settings="", users=("alice", "bob"), tls=False, dir=None,
                 listen=None, run_args=(), env=None, deliver=None, under=()):
        self.home = pathlib.Path(home)
        self.dir = pathlib.Path(dir) if dir else self.home / "data"
        self.port = free_port()
        self.config = self.home / "holdfast.conf"
        self.control = self.home / "control" / "control.sock"
        self.errors = self.home / "stderr.log"
        self.users = users
        self.env = env
        self.run_args = list(run_args)
        self.under = list(under)  # a program that starts the server: prlimit
        self.process = None
        self.password = "correct horse battery"
        settings = with_defaults(settings, {**QUIET, **({} if "log:" in settings else TALKATIVE)})
        certificates = ""
        if tls:
            self.cert, key = self_signed(self.home, "mx.example.test")
            certificates = f'tls: {{ certificates = ( {{ cert = "{self.cert}"; key = "{key}"; }} ); }};'
        listen = listen or f'listen = ( {{ address = "127.0.0.1:{self.port}"; service = "smtp"; }} );'
        # a machine that is busy with other tests may leave a role without a turn for seconds
        users_lines = '  drain = "5s";\n' + ("" if "silence" in settings else '  silence = "30s";\n')
        if os.geteuid() == 0:
            users_lines += "".join(f'  user-{r} = "{i}";\n' for r, i in ROLE_IDS.items())
        deliver = f'delivery: {{ {deliver} }};' if deliver else ""
        self.config.write_text(
            f'hostname = "mx.example.test";\ndir = "{self.dir}";\ncontrol = "{self.control}";\n'
            f'domains = [ "example.test" ];\n{listen}\n{certificates}\n{deliver}\n'
            # these servers may not touch the tables of the machine that tests them
            + ("" if "firewall:" in settings else "firewall: { enabled = false; };\n")
            + ("" if "run:" in settings else f"run: {{\n{users_lines}}};\n") + settings + "\n")
        if "run:" in settings:
            text = self.config.read_text()
            self.config.write_text(re.sub(r"run: *\{", "run: {\n" + users_lines, text, count=1))

    def start(self, wait=True):
        self.process = subprocess.Popen(
            [*self.under, HOLDFAST, "run", "--config", self.config, *self.run_args],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.errors, "ab"), env=self.env)
        if wait:
            self.wait_ready()
            for user in self.users:
                if not self.has_user(user):
                    self.cli("user", "add", f"{user}@example.test", "--password", self.password)
            for user in self.users:
                self.wait_known(f"{user}@example.test")
        return self

    def has_user(self, user):
        return f"{user}@example.test" in self.cli("user", "list")

    def wait_known(self, address):
        """The store publishes its recipients; wait until the edges have them."""
        def known():
            with contextlib.suppress(OSError, smtplib.SMTPException):
                with contextlib.closing(smtplib.SMTP("127.0.0.1", self.port, "probe.example", timeout=10)) as s:
                    s.ehlo()
                    s.mail("probe@example.org")
                    code = s.rcpt(address)[0]
                    s.docmd("QUIT")
                    # the edge closes when it has counted the session: what a test counts begins behind it
                    while s.sock.recv(1000):
                        continue
                    return code in (250, 452)
        wait_for(f"{address} to be known", known)

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.log()}")
            got = subprocess.run([HOLDFAST, "status", "--config", self.config],
                                 capture_output=True, text=True, timeout=LONG_PATIENCE)
            return got.returncode == 0 and re.search(r"^state +serving$", got.stdout, re.M)
        wait_for("the server to answer", ready)

    def wait_fetch(self):
        """No server waits for this role: it may still have to begin when all others serve."""
        self.wait_log(r"log=role-started .*key=fetch\b")

    def cli(self, *words, check=True, input=None):
        got = subprocess.run([HOLDFAST, *map(str, words), "--config", self.config],
                             capture_output=True, text=True, timeout=LONG_PATIENCE, input=input)
        if check and got.returncode != 0:
            raise AssertionError(f"holdfast {' '.join(map(str, words))}: {got.stderr}{got.stdout}\n{self.log()}")
        return got.stdout if check else got

    def log(self):
        """Whole lines: what is behind the last one is still being written."""
        text = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        return text[:text.rfind("\n") + 1]

    def wait_log(self, pattern, patience=PATIENCE):
        return wait_for(f"the log to match {pattern!r}:\n" ,
                        lambda: re.search(pattern, self.log(), re.M), patience)

    def pids(self, role=None):
        """The role processes, by what their command line says."""
        found = {}
        for child in children_of(self.process.pid):
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                line = b" ".join(words).decode(errors="replace")
                match = re.match(r"holdfast: (\w+)(?: (\d+))?", line)
                if match and (role is None or match[1] == role):
                    found[child] = line.strip()
        return found

    def kill_role(self, role):
        victims = self.pids(role)
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return victims

    def kill_everything(self):
        """Until they hold no port, lock or file any more: who is killed has to get a turn to die."""
        # one that stands still makes no others, such as in place of who was killed before
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        with contextlib.ExitStack() as stack:
            victims = []
            for pid in [self.process.pid, *children_of(self.process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    victims.append(os.pidfd_open(pid))
                    stack.callback(os.close, victims[-1])
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(victim, signal.SIGKILL)
            self.process.wait()
            for victim in victims:
                assert select.select([victim], [], [], PATIENCE)[0], "it does not die"

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(LONG_PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill_everything()
                raise AssertionError(f"the server did not stop:\n{self.log()[-4000:]}")
        return self.process.returncode if self.process else None

    def maildir(self, user, domain="example.test"):
        return self.dir / "mail" / domain / user

    def messages(self, user, domain="example.test"):
        """Contents of all messages in new/ and cur/."""
        found = []
        for part in ("new", "cur"):
            with contextlib.suppress(FileNotFoundError):
                found += sorted((self.maildir(user, domain) / part).iterdir())
        return [f.read_bytes() for f in found]

    def wait_messages(self, user, count, domain="example.test", patience=PATIENCE):
        wait_for(f"{count} messages for {user}",
                 lambda: len(self.messages(user, domain)) >= count, patience)
        got = self.messages(user, domain)
        assert len(got) == count
        return got

    def smtp(self, local_hostname="client.example", **options):
        """With a name: otherwise smtplib asks the DNS for that of this machine."""
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname, timeout=PATIENCE, **options)

    def talk(self, source="127.0.0.1"):
        return Talk(self.port, source)


class Talk:
    """A raw SMTP dialogue: bytes out, whole replies in."""

    def __init__(self, port, source="127.0.0.1"):
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        self.file = self.sock.makefile("rb")

    def send(self, data):
        """What the server said before it closed can be read, also where it takes no more."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """One reply, all lines of it; b"" when the server closed."""
        lines = b""
        while True:
            try:
                line = self.file.readline()
            except ConnectionResetError:
                return lines
            lines += line
            if not line or line[3:4] != b"-":
                return lines

    def ask(self, text):
        self.send(text + "\r\n" if isinstance(text, str) else text)
        return self.reply()

    def hello(self):
        assert self.reply().startswith(b"220")
        assert self.ask("EHLO client.example").startswith(b"250")
        return self

    def envelope(self, *users, sender="sender@client.example"):
        assert self.ask(f"MAIL FROM:<{sender}>").startswith(b"250")
        for user in users:
            assert self.ask(f"RCPT TO:<{user}@example.test>").startswith(b"250")
        return self

    def close(self):
        self.file.close()
        self.sock.close()


def children_of(pid):
    got = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            got += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return got


@pytest.fixture
def home():
    """A directory that the role users can walk into; pytest's own are closed to others."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


# by its own fault, also where the supervisor put another in its place or was about to end
CRASHED = re.compile(r"signal \d+ \((Segmentation|Abort|Bus error|Illegal|Floating|Trace|Bad system)")


@pytest.fixture
def make_server(home):
    made = []

    def make(start=True, **options):
        server = Server(home, **options)
        made.append(server)
        return server.start() if start else server

    yield make
    for server in made:
        if server.process and server.process.poll() is None:
            server.stop()
        for line in server.log().splitlines():
            assert "AddressSanitizer" not in line and "runtime error" not in line, line
            assert not CRASHED.search(line), line


@pytest.fixture
def server(make_server):
    return make_server()


@pytest.fixture
def tls_server(make_server):
    return make_server(tls=True)
