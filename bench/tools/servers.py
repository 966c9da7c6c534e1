"""servers - Holdfast as it is measured, and the fixed answers and the bare loop beside it

Every server runs privately: own directory, own configuration, own ports on the loopback,
own CPU account. Whoever starts one stops it; nothing else on the machine is touched.
The servers that we are compared with are in peers.py.
"""

import os
import random
import re
import signal
import socket
import subprocess
import time

import machine
from machine import Trouble, read, write

DOMAIN = "example.test"
HOST = "mx." + DOMAIN
USERS = ["user%d" % i for i in range(1, 21)]
RECIPIENTS = ["%s@%s" % (user, DOMAIN) for user in USERS]
PASSWORDS = {r: "secret%d" % (i + 1) for i, r in enumerate(RECIPIENTS)}
BUILD = os.environ.get("HOLDFAST_BUILD") or os.path.join(machine.ROOT, "build")


# What Holdfast is told. If a setting is renamed, this is the place, and the only one.


def holdfast_config(
    directory,
    listeners,
    deliver_to="discard",
    sessions=None,
    tls=False,
    guard="",
    more="",
    handshakes="",
):
    text = """
hostname = "%(host)s";
domains = [ "%(domain)s" ];
listen = ( %(listeners)s );
dir = "%(directory)s";
control = "%(directory)s/control.sock";
delivery: { to = "%(deliver_to)s"; };
""" % {
        "host": HOST,
        "domain": DOMAIN,
        "listeners": ", ".join(listeners),
        "directory": directory,
        "deliver_to": deliver_to,
    }
    run = []
    if os.geteuid() == 0:
        # numbers of no user, as systemd takes them for dynamic ones: nothing to install
        roles = ("edge", "store", "auth", "watch", "firewall", "fetch")
        run += ['user-%s = "%d";' % (r, 61190 + i) for i, r in enumerate(roles)]
    if sessions:
        # each worker has an equal share, and chance does not fill them equally
        most = sessions * 3 // 2
        each = machine.descriptors() - machine.SPARE_DESCRIPTORS
        run.append("edges = %d;" % max(2, -(-most // each)))
        # how many are held is the question, not from how many addresses or how fast
        text += "sessions: { max = %d; per-address = 0; };\n" % most
        handshakes = handshakes or "handshakes = 100000;"
    text += "run: { %s };\n" % " ".join(run)
    # nothing that is measured here asks the DNS, as none of the others does
    text += "guard: { lookups = false; %s };\n" % guard + more
    if tls:
        text += (
            'tls: { certificates = ( { cert = "%s/cert.pem"; key = "%s/key.pem"; } ); %s };\n'
            % (directory, directory, handshakes)
        )
    return text


def holdfast_user_add(program, config, address):
    word = PASSWORDS[address]
    return [program, "user", "add", address, "--password", word, "--config", config]


def holdfast_maildirs(directory):
    return directory


def built(name):
    """A program that the build makes."""
    program = os.path.join(BUILD, name)
    if not os.access(program, os.X_OK):
        raise Trouble("%s is not there; build it first" % program)
    return program


def rehearse():
    return built("holdfast-rehearse")


# The servers.

GREETINGS = {"smtp": "220", "submission": "220", "imap": "* OK", "pop3": "+OK"}


def free_ports(n):
    """As many ports of 127.0.0.1 that nobody uses now, all different; below those that
    the kernel gives to outgoing connections, which could take one before its server does."""
    found = []
    for port in random.sample(range(10000, 32768), 22768):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == n:
            return found
    raise SystemExit("no free ports between 10000 and 32767: end the servers that hold them")


def converse(port, lines, patience=5):
    """Wait for the greeting, say each line, and return the last line of every answer.
    What is not answered any more is missing."""
    replies = []
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as s:
            f = s.makefile("rw", newline="", encoding="latin-1")
            for line in (None, *lines):
                if line is not None:
                    f.write(line + "\r\n")
                    f.flush()
                reply = f.readline()
                while reply[3:4] == "-":
                    reply = f.readline()
                if not reply:
                    break
                replies.append(reply.rstrip("\r\n"))
    except OSError:
        pass
    return replies


def greets(port, service):
    """Whether the server there says something like hello, or begins to."""
    text = ""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
            text = s.recv(512).decode("latin-1")
            if text.startswith("220 "):
                s.sendall(b"QUIT\r\n")
                s.recv(512)
    except OSError:
        pass
    return text.startswith(GREETINGS[service])


def takes(port, recipient, patience=5):
    """Whether the server would take mail for the recipient now."""
    lines = (
        "EHLO load.example.test",
        "MAIL FROM:<load@load.example.test>",
        "RCPT TO:<%s>" % recipient,
        "QUIT",
    )
    replies = converse(port, lines, patience)
    return len(replies) == 5 and all(reply.startswith("2") for reply in replies)


def fill(path, facts):
    """A template of bench/peers with the facts where it says @NAME@."""
    with open(os.path.join(machine.BENCH, "peers", path)) as f:
        return re.sub(r"@([A-Z][A-Z_]*)@", lambda m: str(facts[m.group(1)]), f.read())


class Server:
    name = None
    services = ("smtp",)  # the first is the one at .port
    packages = ()  # of Debian, which have to be installed
    mixed = False  # AUTH on the port that other servers come to
    has_tls = False
    summary = ""  # its configuration, in a line
    patience = 5  # seconds that its greeting may take
    warm = None  # how long it takes to know its friends, if it has to
    keeps_orphans = False  # processes whose parents ended become children of the first

    def __init__(self, directory):
        self.directory = os.path.join(directory, self.name)
        os.mkdir(self.directory, 0o755)
        self.ports = dict(zip(self.services, free_ports(len(self.services))))
        self.port = self.ports[self.services[0]]
        self.account = None
        self.processes, self.pids = [], []
        self.more_pids = []  # of what stands behind it, if that is measured too
        self.output = os.path.join(self.directory, "output")
        self.logs = [self.output]

    @classmethod
    def prepare(cls):
        """Install what is missing, before the first is made."""
        machine.install(cls.packages)

    def command(self):
        """Write the configuration, start what has to run before, and say what to run."""
        raise NotImplementedError

    def spawn(self, command, counted=True):
        """Start a part of the server, which ends when our thread does. What is not
        counted is stopped with the server, but is not in .pids and not in the account."""

        def enter():
            machine.end_with_parent()
            if counted:
                self.account.enter()
            if self.keeps_orphans:
                machine.adopt_orphans()

        with open(self.output, "ab") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                start_new_session=True,
                preexec_fn=enter,
            )
        self.processes.append(process)
        if counted:
            self.pids.insert(0, process.pid)
            self.account.roots.append(process.pid)

    def await_that(self, condition, problem, most=20):
        deadline = time.monotonic() + most
        while not condition():
            if not self.alive() or time.monotonic() > deadline:
                words = "\n".join(read(log)[-2000:] for log in self.logs)
                raise Trouble("%s %s: %s" % (self.name, problem, words.strip()))
            time.sleep(0.05)

    def start(self):
        self.account = machine.Account(self.name)
        self.spawn(self.command())
        self.await_up()
        self.introduce()
        if "smtp" in self.ports:
            self.await_mail()

    def await_up(self):
        for service, port in self.ports.items():
            self.await_that(
                lambda p=port, s=service: greets(p, s),
                "does not answer at 127.0.0.1:%d" % port,
            )

    def await_mail(self):
        for recipient in (RECIPIENTS[0], RECIPIENTS[-1]):
            self.await_that(
                lambda r=recipient: takes(self.ports["smtp"], r, self.patience),
                "does not take mail for " + recipient,
                20 + self.patience,
            )

    def introduce(self):
        """What the running server has to be told."""

    def delivered(self):
        """How many messages have arrived where they go, or None if nobody can tell."""

    def alive(self):
        return bool(self.processes) and all(p.poll() is None for p in self.processes)

    def stop(self):
        if not self.account:
            return
        known = {pid: machine.started(pid) for pid in self.account.pids()}
        while self.processes:
            process = self.processes[-1]
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            known.pop(process.pid, None)
            self.processes.pop()
        machine.reap(known, 1)
        for pid, when in known.items():
            if machine.started(pid) == when:
                os.kill(pid, signal.SIGKILL)
        machine.reap(known)
        self.account.close()
        self.account = None

    def cpu(self):
        return self.account.seconds()

    def hashing_cpu(self):
        """Seconds spent on checking passwords, where that can be told; or None."""

    def settle(self, most=30):
        """Wait until the server does nothing any more, and say how long that took."""
        began, before = time.monotonic(), self.cpu()
        while time.monotonic() - began < most:
            time.sleep(0.25)
            after = self.cpu()
            if after - before < 0.010:
                break
            before = after
        return time.monotonic() - began - 0.25

    def version(self):
        return ""


class Canned(Server):
    name = "canned"
    has_tls = True
    summary = "fixed answers from one thread, each message written and fsynced"

    def command(self):
        self.kept = os.path.join(self.directory, "messages")
        os.mkdir(self.kept)
        return answering(self.port, "--keep", self.kept, "--tls")

    def delivered(self):
        return len(os.listdir(self.kept))


class Bare(Server):
    name = "bare"
    summary = "accepts, writes a line and closes: what the machine can do at all"

    def command(self):
        return answering(self.port, "--bare")

    def await_up(self):
        # its one line refuses
        self.await_that(lambda: "listening on" in read(self.output), "does not listen")

    def await_mail(self):
        pass


def answering(port, *options):
    """The command that gives fixed answers there."""
    return [rehearse(), "canned", "--port", str(port), *options]


class Holdfast(Server):
    name = "holdfast"
    summary = "defaults, 20 users, the queue is durable, then everything is discarded"
    deliver_to = "discard"
    has_tls = True
    guard = ""  # of its settings, those that begin with guard
    handshakes = ""  # that of tls
    more = ""  # and others

    def __init__(self, directory, program=None, sessions=None, tls=False, more=""):
        super().__init__(directory)
        self.more += more
        self.program = program or built("holdfast")
        self.sessions, self.tls = sessions, tls

    def command(self):
        d = self.directory
        self.config = os.path.join(d, "holdfast.conf")
        if self.tls:
            make_certificate(d)
        write(
            self.config,
            holdfast_config(
                d,
                self.listeners(),
                self.deliver_to,
                self.sessions,
                self.tls,
                self.guard,
                self.settings(),
                self.handshakes,
            ),
        )
        return [self.program, "run", "--config", self.config]

    def settings(self):
        """What its configuration has besides what all have."""
        return self.more

    def listeners(self):
        form = '{ address = "127.0.0.1:%d"; service = "%s"; }'
        return [form % (port, service) for service, port in self.ports.items()]

    def introduce(self):
        for recipient in RECIPIENTS:
            r = subprocess.run(
                holdfast_user_add(self.program, self.config, recipient),
                capture_output=True,
                text=True,
                timeout=20,
            )
            if r.returncode:
                raise Trouble(
                    "holdfast user add %s: %s" % (recipient, r.stderr + r.stdout)
                )

    def version(self):
        r = subprocess.run(
            ["git", "-C", machine.ROOT, "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
        )
        return r.stdout.strip()


class HoldfastObserve(Holdfast):
    name = "holdfast-observe"
    summary = "as holdfast, but the guard only observes, and strangers need not wait"
    guard = 'mode = "observe";'
    more = 'smtp: { greet-delay = "0s"; };\n'


class HoldfastLogins(Holdfast):
    name = "holdfast-logins"
    services = ("smtp", "submission")
    summary = "as holdfast, and a port with AUTH, argon2id, no TLS needed"

    def hashing_cpu(self):
        """The role that checks passwords does hardly anything else."""
        for pid in machine.tree(self.pids[0]):
            if read("/proc/%d/cmdline" % pid).startswith("holdfast: auth"):
                return machine.cpu_of(pid)
        return None


class HoldfastLoginsAtOnce(HoldfastLogins):
    name = "holdfast-logins-at-once"
    summary = (
        "as holdfast-logins; refusals wait for nothing, no address is banned, a session may "
        "fail 10,000 times"
    )
    guard = 'observe = [ "points", "history", "prefix", "rate", "late" ]; delay = "0s";'
    more = (
        'auth: { delay = "0s"; delay-max = "0s"; };\n'
        'smtp: { greet-delay = "0s"; errors = 10000; };\n'
        "sessions: { per-address = 0; };\n"
    )


class HoldfastListed(Holdfast):
    """Everybody but 127.0.0.1 is in the last of so many listed networks."""

    networks = 0

    def settings(self):
        path = os.path.join(self.directory, "listed")
        with open(path, "w") as f:
            for i in range(self.networks - 1):
                # /24s from 128.0.0.0 on
                high, low = divmod(i, 256)
                f.write("%d.%d.%d.0/24\n" % (128 + high // 256, high % 256, low))
            f.write("127.0.0.0/8\n")
        return 'allow = [ "127.0.0.1" ];\naccess = ( { file = "%s"; } );\n' % path


class HoldfastListedFew(HoldfastListed):
    name = "holdfast-listed-10"
    summary = "as holdfast, everybody in the last of 10 listed networks"
    networks = 10


class HoldfastListedMany(HoldfastListed):
    name = "holdfast-listed-million"
    summary = "as holdfast, everybody in the last of 1,000,000 listed networks"
    networks = 1000000


class HoldfastLists(HoldfastListed):
    guard = HoldfastObserve.guard
    name = "holdfast-lists"
    summary = "as holdfast-observe, with a list of 1,000,000 networks of others"
    networks = 1000000

    def settings(self):
        text = super().settings() + HoldfastObserve.more
        path = os.path.join(self.directory, "listed")
        write(path, read(path).replace("127.0.0.0/8\n", ""))
        return text


class HoldfastMaildir(Holdfast):
    name = "holdfast-maildir"
    summary = "defaults, 20 users, the queue is durable, then into Maildirs"
    deliver_to = "maildir"

    def delivered(self):
        return sum(1 for _ in self.arrived())

    def arrived(self):
        for path, _, files in os.walk(holdfast_maildirs(self.directory)):
            if os.path.basename(path) == "new":
                for name in files:
                    yield os.path.join(path, name)


def make_certificate(directory):
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=" + HOST,
            "-keyout",
            directory + "/key.pem",
            "-out",
            directory + "/cert.pem",
        ],
        check=True,
        capture_output=True,
    )
