"""machine - what measuring needs of the machine

Facts about it, packages, accounts of CPU and memory, and a place of work that goes away
with everything that was started in it, whatever happens.
"""

import ctypes
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(BENCH)
SPARE_DESCRIPTORS = 200


class Trouble(Exception):
    """Something that the reader can understand and do something about."""


class Interrupted(Exception):
    """A signal, or the end of our time."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def last_line(text):
    """What a program said last, which is usually why it gave up."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no word about why"


def read(path, default=""):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return default


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


# Installing.


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


APT = [
    "apt-get",
    "-q",
    "-y",
    "--no-install-recommends",
    "-o",
    "DPkg::Lock::Timeout=120",
]


def update_lists():
    r = subprocess.run(
        ["apt-get", "-q", "update"], capture_output=True, text=True, timeout=300
    )
    if r.returncode:
        raise Trouble("apt-get update failed: " + last_line(r.stderr))


def simulate_install(packages):
    """What apt-get would do: lines of "Inst PACKAGE ..." and "Remv PACKAGE ..."."""

    def ask():
        return subprocess.run(
            [*APT, "-s", "install", *packages],
            capture_output=True,
            text=True,
            timeout=120,
        )

    plan = ask()
    if plan.returncode:
        update_lists()
        plan = ask()
    if plan.returncode:
        raise Trouble(
            "apt-get cannot install %s: %s" % (" ".join(packages), last_line(plan.stderr))
        )
    return plan.stdout


def install(packages):
    missing = [p for p in packages if not is_installed(p)]
    if not missing:
        return
    say("installing " + " ".join(missing))
    removed = re.findall(r"^Remv (\S+)", simulate_install(missing), re.M)
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
    if fetch_and_install(missing).returncode:
        # what the lists name may have been replaced at the source
        update_lists()
        r = fetch_and_install(missing)
        if r.returncode:
            raise Trouble("apt-get install failed: " + last_line(r.stderr or r.stdout))


def fetch_and_install(packages):
    with NoServices():
        return subprocess.run(
            [*APT, "install", *packages],
            env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"),
            timeout=600,
            capture_output=True,
            text=True,
        )


# CPU and memory of a tree of processes.


def stat_fields(pid):
    """The fields of /proc/PID/stat from the third on: state, ppid, ..."""
    text = read("/proc/%d/stat" % pid)
    return text[text.rindex(")") + 2 :].split() if text else None


def started(pid):
    """When it was started: with its number, what makes a process the same one."""
    fields = stat_fields(pid)
    return fields[19] if fields else None


def cpu_of(pid):
    """CPU-seconds of a process, or None."""
    fields = stat_fields(pid)
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(map(int, fields[11:13])) / ticks if fields else None


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


def room(pid):
    """The mount namespace that a process sees, or None."""
    try:
        return os.readlink("/proc/%d/ns/mnt" % pid)
    except OSError:
        return None


class Account:
    """Counts the CPU of everything that some processes start: with a control group where
    one can be made, else from /proc, where children count once they are reaped."""

    def __init__(self, name):
        self.group, self.kind, self.roots, self.rooms = None, "/proc", [], set()
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
        known = {pid for root in self.roots if stat_fields(root) for pid in tree(root)}
        if self.group:
            known |= set(map(int, read(self.group + "/cgroup.procs").split()))
        else:
            known |= self.strays()
        return sorted(known)

    def strays(self):
        """Those whose parents are gone, but who are still in a room of ours."""
        self.rooms |= {room(pid) for pid in self.roots} - {room(os.getpid()), None}
        if not self.rooms:
            return set()
        everybody = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return {pid for pid in everybody if room(pid) in self.rooms}

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


def account_kind():
    """Where CPU-seconds come from on this machine."""
    account = Account("probe")
    account.close()
    return account.kind


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


# The machine, and the place of work.


LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Be the parent of what our servers leave behind, so that it can be reaped."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent():
    """Be told to end, in a child, when whoever started us is killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


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
        os.umask(0o022)
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
        """A running server. Trouble, with nothing left of it, if that cannot be."""
        try:
            return self.try_to_start(kind, options)
        except (OSError, subprocess.SubprocessError) as e:
            why = getattr(e, "stderr", None) or ""
            why = why if isinstance(why, str) else why.decode("utf-8", "replace")
            raise Trouble("%s%s" % (e, why and ": " + last_line(why))) from e

    def try_to_start(self, kind, options):
        kind.prepare()
        directory = os.path.join(self.directory, kind.name)
        if os.path.exists(directory):
            shutil.rmtree(directory)
        server = kind(self.directory, **options)
        self.servers.append(server)
        try:
            server.start()
        except (Trouble, OSError, subprocess.SubprocessError):
            self.stop(server)
            raise
        return server

    def stop(self, server):
        server.stop()
        self.servers.remove(server)

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


def cpu():
    """CPU-seconds of the whole machine so far: used, and taken by a hypervisor."""
    ticks = os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, softirq, steal = (
        int(n) / ticks for n in read("/proc/stat").split()[1:9]
    )
    return user + nice + system + irq + softirq, steal


def facts(directory):
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


def line(m):
    return (
        "%(cores)d cores (%(processor)s), %(memory_mib)d MiB, %(system)s, kernel "
        "%(kernel)s; %(file_system)s, %(fsync_per_second)d fsynced 4 KiB files/s in "
        "sequence; %(descriptors_per_process)d descriptors per process; load average "
        "%(load_before).2f before the run" % m
    )
