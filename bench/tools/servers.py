"""servers - the servers that are measured, and what measuring them needs

Every server runs privately: own directory, own configuration, own port on the loopback,
own CPU account. Whoever starts one stops it; nothing else on the machine is touched.
"""

import ctypes
import json
import os
import platform
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(BENCH)
DOMAIN = "example.test"
USERS = ["user%d" % i for i in range(1, 21)]
RECIPIENTS = ["%s@%s" % (user, DOMAIN) for user in USERS]
FLAGS = (
    "-std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Wshadow -Wconversion "
    "-Wstrict-prototypes -Wmissing-prototypes -Wvla"
).split()
SPARE_DESCRIPTORS = 200


class Trouble(Exception):
    """Something that the reader can understand and do something about."""


class Interrupted(Exception):
    """A signal, or the end of our time."""


def say(text):
    print(text, file=sys.stderr, flush=True)


# What Holdfast is told. If a setting is renamed, this is the place, and the only one.


def holdfast_config(directory, port, deliver_to="discard", sessions=None, tls=False):
    text = """
hostname = "mx.%(domain)s";
domains = [ "%(domain)s" ];
listen = ( { address = "127.0.0.1:%(port)d"; service = "smtp"; } );
dir = "%(directory)s";
control = "%(directory)s/control.sock";
delivery: { to = "%(deliver_to)s"; };
""" % {
        "domain": DOMAIN,
        "port": port,
        "directory": directory,
        "deliver_to": deliver_to,
    }
    if os.geteuid() == 0:
        # numbers of no user, as systemd takes them for dynamic ones: nothing to install
        roles = ("edge", "store", "auth", "watch")
        users = " ".join('user-%s = "%d";' % (r, 61190 + i) for i, r in enumerate(roles))
        text += "run: { %s };\n" % users
    if tls:
        text += (
            'tls: { certificates = ( { cert = "%s/cert.pem"; key = "%s/key.pem"; } ); };\n'
            % (directory, directory)
        )
    if sessions:
        # each worker has its share, and takes what it can get when all come at once
        text += "sessions: { max = %d; };\n" % (2 * sessions)
    return text


def holdfast_user_add(program, config, address):
    return [program, "user", "add", address, "--password", "bench", "--config", config]


def holdfast_maildirs(directory):
    return directory


# Installing and compiling.


def as_root():
    if os.geteuid() != 0:
        os.execvp("sudo", ["sudo", sys.executable, *sys.argv])


def is_installed(package):
    r = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True
    )
    return r.stdout.endswith(" installed")


class NoServices:
    """While this holds, installing a package starts nothing."""

    path = "/usr/sbin/policy-rc.d"
    aside = path + ".before-holdfast-bench"

    def __enter__(self):
        if os.path.lexists(self.path):
            os.rename(self.path, self.aside)
        with open(self.path, "w") as f:
            f.write("#!/bin/sh\nexit 101\n")
        os.chmod(self.path, 0o755)

    def __exit__(self, *_):
        os.unlink(self.path)
        if os.path.lexists(self.aside):
            os.rename(self.aside, self.path)


def install(packages):
    missing = [p for p in packages if not is_installed(p)]
    if not missing:
        return
    say("installing " + " ".join(missing))
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    apt = ["apt-get", "-q", "-y", "--no-install-recommends"]

    def simulate():
        return subprocess.run(
            apt + ["-s", "install"] + missing, env=env, capture_output=True, text=True
        )

    plan = simulate()
    if plan.returncode:
        subprocess.run(
            ["apt-get", "-q", "update"],
            env=env,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=300,
        )
        plan = simulate()
    if plan.returncode:
        raise Trouble("apt-get cannot install %s:\n%s" % (" ".join(missing), plan.stderr))
    removed = re.findall(r"^Remv (\S+)", plan.stdout, re.M)
    if removed:
        raise Trouble(
            "installing %s would remove %s; not done"
            % (" ".join(missing), " ".join(removed))
        )
    if "postfix" in missing:
        subprocess.run(
            ["debconf-set-selections"],
            check=True,
            text=True,
            input="postfix postfix/main_mailer_type select No configuration\n",
        )
    with NoServices():
        r = subprocess.run(
            apt + ["install"] + missing,
            env=env,
            timeout=600,
            capture_output=True,
            text=True,
        )
    if r.returncode:
        raise Trouble("apt-get install failed:\n" + r.stdout[-2000:] + r.stderr[-2000:])


def tool(directory, name):
    return os.path.join(directory, "tools", name)


def compile_tools(directory):
    os.mkdir(os.path.join(directory, "tools"))
    for name, libraries in (("load", ["-lssl", "-lcrypto"]), ("canned", [])):
        source = os.path.join(BENCH, "tools", name + ".c")
        subprocess.run(
            ["gcc", *FLAGS, "-o", tool(directory, name), source, *libraries], check=True
        )


# CPU and memory of a tree of processes.


def read(path, default=""):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return default


def stat_fields(pid):
    """The fields of /proc/PID/stat from the third on: state, ppid, ..."""
    text = read("/proc/%d/stat" % pid)
    return text[text.rindex(")") + 2 :].split() if text else None


def started(pid):
    """When it was started: with its number, what makes a process the same one."""
    fields = stat_fields(pid)
    return fields[19] if fields else None


def tree(root):
    children = {}
    for name in os.listdir("/proc"):
        fields = stat_fields(int(name)) if name.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append(int(name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


class Account:
    """Counts the CPU of everything that one process starts: with a control group where
    one can be made, else from /proc, where children count once they are reaped."""

    def __init__(self, name):
        self.group, self.kind, self.root = None, "/proc", None
        for kind, where, file in (
            ("cpuacct", "/sys/fs/cgroup/cpuacct", "cpuacct.usage"),
            ("cgroup2", "/sys/fs/cgroup", "cpu.stat"),
        ):
            group = "%s/holdfast-bench-%d-%s" % (where, os.getpid(), name)
            if not os.path.exists(where + "/cgroup.procs"):
                continue
            try:
                os.mkdir(group)
            except OSError:
                continue
            self.group, self.kind, self.file = group, kind, group + "/" + file
            return

    def enter(self):
        if self.group:
            with open(self.group + "/cgroup.procs", "w") as f:
                f.write("%d" % os.getpid())

    def pids(self):
        known = tree(self.root) if self.root and stat_fields(self.root) else []
        if self.group:
            known += map(int, read(self.group + "/cgroup.procs").split())
        return sorted(set(known))

    def seconds(self):
        if self.kind == "cpuacct":
            return int(read(self.file)) / 1e9
        if self.kind == "cgroup2":
            return int(re.search(r"usage_usec (\d+)", read(self.file)).group(1)) / 1e6
        fields = [stat_fields(pid) for pid in self.pids()]
        ticks = sum(sum(map(int, f[11:15])) for f in fields if f)
        return ticks / os.sysconf("SC_CLK_TCK")

    def close(self):
        if not self.group:
            return
        for _ in range(50):
            try:
                os.rmdir(self.group)
                return
            except OSError:
                time.sleep(0.1)


def memory(pids):
    """PSS of these processes in bytes, by kind."""
    total = {"Pss": 0, "Pss_Anon": 0, "Pss_File": 0, "Pss_Shmem": 0}
    for pid in pids:
        for key, kib in re.findall(
            r"^(Pss\w*):\s+(\d+) kB", read("/proc/%d/smaps_rollup" % pid), re.M
        ):
            if key in total:
                total[key] += int(kib) * 1024
    return total


# The servers.


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    """What the server greets with, or '' if it does not."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
            text = s.recv(512).decode("latin-1")
            if text.startswith("220"):
                s.sendall(b"QUIT\r\n")
                s.recv(512)
            return text
    except OSError:
        return ""


def takes(port, recipient):
    """Whether the server would take mail for the recipient now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            f = s.makefile("rw", newline="")
            for line in (
                "",
                "EHLO load.example.test",
                "MAIL FROM:<load@load.example.test>",
                "RCPT TO:<%s>" % recipient,
                "QUIT",
            ):
                if line:
                    f.write(line + "\r\n")
                    f.flush()
                reply = f.readline()
                while reply[3:4] == "-":
                    reply = f.readline()
                if not reply.startswith("2"):
                    return False
            return True
    except OSError:
        return False


class Server:
    name = None
    has_tls = False

    def __init__(self, directory):
        self.directory = os.path.join(directory, self.name)
        os.mkdir(self.directory, 0o755)
        self.port = free_port()
        self.account = None
        self.process = None
        self.output = os.path.join(self.directory, "output")

    def command(self):
        raise NotImplementedError

    def start(self):
        command = self.command()
        self.account = Account(self.name)
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=self.account.enter,
            )
        self.account.root = self.process.pid
        deadline = time.monotonic() + 20
        while not answers(self.port).startswith("220"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Trouble(
                    "%s does not answer at 127.0.0.1:%d:\n%s"
                    % (self.name, self.port, read(self.output)[-2000:])
                )
            time.sleep(0.05)
        self.introduce()
        deadline = time.monotonic() + 20
        for recipient in (RECIPIENTS[0], RECIPIENTS[-1]):
            while not takes(self.port, recipient):
                if time.monotonic() > deadline:
                    raise Trouble(
                        "%s does not take mail for %s:\n%s"
                        % (self.name, recipient, read(self.output)[-2000:])
                    )
                time.sleep(0.2)

    def introduce(self):
        """What the running server has to be told."""

    def delivered(self):
        """How many messages have arrived where they go, or None if nobody can tell."""

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        if not self.account:
            return
        known = {pid: started(pid) for pid in self.account.pids()}
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            known.pop(self.process.pid, None)
            self.process = None
        reap(known, 1)
        for pid, when in known.items():
            if started(pid) == when:
                os.kill(pid, signal.SIGKILL)
        reap(known)
        self.account.close()

    def cpu(self):
        return self.account.seconds()

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

    def command(self):
        self.kept = os.path.join(self.directory, "messages")
        os.mkdir(self.kept)
        return [
            tool(os.path.dirname(self.directory), "canned"),
            "-p",
            str(self.port),
            "-D",
            self.kept,
        ]

    def delivered(self):
        return len(os.listdir(self.kept))


class Postfix(Server):
    """Debian's defaults, hash: mailboxes, everything to discard: after the queue."""

    name = "postfix"
    has_tls = True
    more = ""

    MASTER = """
127.0.0.1:%(port)d inet n - n - - smtpd
pickup    unix n - n 60   1 pickup
cleanup   unix n - n -    0 cleanup
qmgr      unix n - n 300  1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n -    - trivial-rewrite
bounce    unix - - n -    0 bounce
defer     unix - - n -    0 bounce
trace     unix - - n -    0 bounce
verify    unix - - n -    1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -    - proxymap
proxywrite unix - - n -   1 proxymap
showq     unix n - n -    - showq
error     unix - - n -    - error
retry     unix - - n -    - error
discard   unix - - n -    - discard
anvil     unix - - n -    1 anvil
scache    unix - - n -    1 scache
postlog   unix-dgram n - n - 1 postlogd
"""
    MAIN = """
compatibility_level = 3.6
queue_directory = %(directory)s/queue
data_directory = %(directory)s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = %(directory)s/log
maillog_file_prefixes = %(directory)s
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.%(domain)s
mydestination =
mynetworks = [::1]/128
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = %(domain)s
virtual_mailbox_maps = hash:%(directory)s/users
virtual_transport = discard:
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_security_level = %(tls)s
smtpd_tls_chain_files = %(directory)s/key.pem, %(directory)s/cert.pem
"""

    def command(self):
        d = self.directory
        for name in ("etc", "queue", "data"):
            os.mkdir(os.path.join(d, name))
        shutil.chown(os.path.join(d, "data"), "postfix", "postfix")
        make_certificate(d)
        facts = {"directory": d, "port": self.port, "domain": DOMAIN, "tls": "may"}
        write(d + "/etc/main.cf", self.MAIN % facts + self.more)
        write(d + "/etc/master.cf", self.MASTER % facts)
        write(d + "/users", "".join("%s discard\n" % r for r in RECIPIENTS))
        subprocess.run(["postmap", "-c", d + "/etc", "hash:" + d + "/users"], check=True)
        return ["postfix", "-c", d + "/etc", "start-fg"]

    def delivered(self):
        with open(self.directory + "/log", errors="replace") as f:
            return sum("status=sent" in line for line in f)

    def version(self):
        r = subprocess.run(
            ["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True
        )
        return r.stdout.strip()


class PostfixEager(Postfix):
    """As Postfix, but without the pause of a second that it takes when mail comes in
    faster than it goes out. That pause is a default, and half of its rate."""

    name = "postfix-eager"
    more = "in_flow_delay = 0\n"


class Holdfast(Server):
    name = "holdfast"
    deliver_to = "discard"
    has_tls = True

    def __init__(self, directory, program=None, sessions=None, tls=False):
        super().__init__(directory)
        self.program = program or os.path.join(ROOT, "build", "holdfast")
        self.sessions, self.tls = sessions, tls
        if not os.access(self.program, os.X_OK):
            raise Trouble("%s is not there; build it first" % self.program)

    def command(self):
        d = self.directory
        self.config = os.path.join(d, "holdfast.conf")
        if self.tls:
            make_certificate(d)
        write(
            self.config,
            holdfast_config(d, self.port, self.deliver_to, self.sessions, self.tls),
        )
        return [self.program, "run", "--config", self.config]

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
            ["git", "-C", ROOT, "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
        )
        return r.stdout.strip()


class HoldfastMaildir(Holdfast):
    name = "holdfast-maildir"
    deliver_to = "maildir"

    def delivered(self):
        return sum(1 for _ in self.arrived())

    def arrived(self):
        for path, _, files in os.walk(holdfast_maildirs(self.directory)):
            if os.path.basename(path) == "new":
                for name in files:
                    yield os.path.join(path, name)


KINDS = {
    kind.name: kind for kind in (Postfix, PostfixEager, Canned, Holdfast, HoldfastMaildir)
}


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


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
            "/CN=mx." + DOMAIN,
            "-keyout",
            directory + "/key.pem",
            "-out",
            directory + "/cert.pem",
        ],
        check=True,
        capture_output=True,
    )


# The machine, and the place of work.


def adopt_orphans():
    """Be the parent of what our servers leave behind, so that it can be reaped."""
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(pids, most=5):
    """Wait for these to be gone, those that became our children included."""
    deadline = time.monotonic() + most
    while pids and time.monotonic() < deadline:
        for pid in list(pids):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
            if not stat_fields(pid):
                del pids[pid]
        time.sleep(0.05)


class Workplace:
    """A directory that goes away, and servers that are stopped, whatever happens."""

    def __init__(self, parent, deadline):
        for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            signal.signal(signo, self.interrupt)
        signal.alarm(deadline)
        adopt_orphans()
        self.servers = []
        self.directory = tempfile.mkdtemp(prefix="holdfast-bench-", dir=parent)
        os.chmod(self.directory, 0o755)

    @staticmethod
    def interrupt(signo, _):
        raise Interrupted(
            "out of time"
            if signo == signal.SIGALRM
            else "interrupted by " + signal.Signals(signo).name
        )

    def __enter__(self):
        return self

    def start(self, kind, **options):
        directory = os.path.join(self.directory, kind.name)
        if os.path.exists(directory):
            shutil.rmtree(directory)
        server = kind(self.directory, **options)
        self.servers.append(server)
        try:
            server.start()
        except Trouble:
            self.stop(server)
            raise
        return server

    def stop(self, server):
        self.servers.remove(server)
        server.stop()

    def __exit__(self, *_):
        signal.alarm(0)
        for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signo, signal.SIG_IGN)
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def fsync_rate(directory, seconds=1.0):
    """Files of 4 KiB written and made durable per second, one after the other."""
    place = tempfile.mkdtemp(dir=directory)
    body, n, began = b"x" * 4096, 0, time.monotonic()
    while time.monotonic() - began < seconds:
        fd = os.open("%s/%d" % (place, n), os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, body)
        os.fsync(fd)
        os.close(fd)
        n += 1
    took = time.monotonic() - began
    shutil.rmtree(place)
    return round(n / took)


def need_room(directory, bytes_needed):
    free = shutil.disk_usage(directory).free
    if free < bytes_needed:
        raise Trouble(
            "%s has %d MiB free, and this may need %d; see --dir"
            % (directory, free // 2**20, bytes_needed // 2**20)
        )


def machine_cpu():
    """CPU-seconds of the whole machine so far: used, and taken by a hypervisor."""
    ticks = os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, softirq, steal = (
        int(n) / ticks for n in read("/proc/stat").split()[1:9]
    )
    return user + nice + system + irq + softirq, steal


def machine(directory):
    model = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    release = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.M)
    fs = subprocess.run(
        ["findmnt", "-n", "-o", "FSTYPE", "-T", directory], capture_output=True, text=True
    )
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model.group(1) if model else platform.machine(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "system": release.group(1) if release else "",
        "file_system": fs.stdout.strip(),
        "fsync_per_second": fsync_rate(directory),
        "descriptors_per_process": descriptors(),
        "load_before": os.getloadavg()[0],
    }


def machine_line(m):
    return (
        "%(cores)d cores (%(processor)s), %(memory_mib)d MiB, %(system)s, kernel "
        "%(kernel)s; %(file_system)s, %(fsync_per_second)d fsynced 4 KiB files/s in "
        "sequence; %(descriptors_per_process)d descriptors per process; load average "
        "%(load_before).2f before the run" % m
    )


def load(directory, port, **options):
    """Run the generator and return what it measured."""
    command = [
        tool(directory, "load"),
        "--port",
        str(port),
        "--recipients",
        ",".join(RECIPIENTS),
    ]
    for key, value in options.items():
        command.append("--" + key.replace("_", "-"))
        if value is not True:
            command.append(str(value))
    r = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=options.get("seconds", 300) + 90,
    )
    if r.returncode:
        raise Trouble("load failed: " + r.stderr)
    return json.loads(r.stdout)


class Holder:
    """Generators that hold sessions, as many processes as the descriptors ask for."""

    def __init__(self, directory, port, sessions, tls, patience):
        most = descriptors() - SPARE_DESCRIPTORS
        self.processes, self.held = [], 0
        self.deadline = time.monotonic() + patience
        try:
            while sessions > 0:
                n = min(sessions, most)
                command = [
                    tool(directory, "load"),
                    "--port",
                    str(port),
                    "--hold",
                    str(n),
                    "--seconds",
                    "900",
                ]
                self.processes.append(
                    subprocess.Popen(
                        command + (["--tls"] if tls else []),
                        text=True,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                    )
                )
                sessions -= n
            for p in self.processes:
                self.held += self.line(p)
        except BaseException:
            self.close()
            raise

    def line(self, p):
        ready, _, _ = select.select(
            [p.stdout], [], [], max(0, self.deadline - time.monotonic())
        )
        text = p.stdout.readline() if ready else ""
        if not text.startswith("held "):
            raise Trouble("the sessions did not all open or fail in time")
        return int(text.split()[1])

    def close(self):
        """Let go, and return what went wrong, summed up."""
        failures = {}
        for p in self.processes:
            try:
                out, _ = p.communicate("", timeout=30)
            except subprocess.TimeoutExpired:
                p.kill()
                out, _ = p.communicate()
            for line in out.splitlines():
                if line.startswith("{"):
                    for key, n in json.loads(line)["failures"].items():
                        failures[key] = failures.get(key, 0) + n
        self.processes = []
        return {key: n for key, n in failures.items() if n}
