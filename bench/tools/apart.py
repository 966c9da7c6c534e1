"""apart - programs that are unpacked instead of installed, and rooms to run them in

Mail servers exclude each other as packages, and installing one changes the machine. So
the peers are fetched as packages, unpacked below CACHE, and run in a mount namespace of
their own, where /usr and /etc look as if the packages were installed, /run is empty, and
users exist who do not exist outside. Nothing of it is visible outside, and it is gone with
the last process.
"""

import fcntl
import functools
import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

import machine
from machine import Trouble, say, write

CACHE = "/var/cache/holdfast-bench"
# Above the numbers that Holdfast's roles are given, and in the range where systemd has
# numbers that no user has.
FIRST_ID = 61300
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# No name is asked of a DNS server: there are none for 127.0.0.0/8, and waiting for the
# answer would be measured. "lookup" is read by OpenSMTPD's own resolver, nsswitch.conf by
# the C library and by Node's.
FILES = {
    "resolv.conf": "lookup file\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"
    "services: files\nprotocols: files\n",
    "hosts": "127.0.0.1 localhost mx.example.test\n",
    "mailname": "mx.example.test\n",
}


class NotThere(Trouble):
    """The lists name a package that cannot be fetched."""


class Tree:
    """Unpacked packages: those asked for and what they need, as far as the machine lacks
    them. versions tells which."""

    def __init__(self, directory, versions):
        self.directory, self.versions = directory, versions

    def version(self, package):
        if package in self.versions:
            return self.versions[package]
        r = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", package],
            capture_output=True,
            text=True,
        )
        return r.stdout


@functools.cache
def unpack(*packages):
    """Fetch and unpack, or find what an earlier run has unpacked. One at a time: others may
    want the same."""
    os.makedirs(CACHE, exist_ok=True)
    with open(CACHE + "/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return find_or_fetch(packages)
        except NotThere:
            # what the lists name may have been replaced at the source
            machine.update_lists()
            return find_or_fetch(packages)


def find_or_fetch(packages):
    plan = machine.simulate_install(packages)
    versions = dict(re.findall(r"^Inst (\S+) (?:\[[^]]*\] )?\((\S+) ", plan, re.M))
    wanted = sorted("%s=%s" % each for each in versions.items())
    if not wanted:
        return Tree(None, versions)
    code = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:10]
    directory = os.path.join(CACHE, "%s-%s" % (packages[0], code))
    if not os.path.exists(directory):
        say("fetching %s, in all %d packages" % (" ".join(packages), len(wanted)))
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            os.rename(fetch(scratch, wanted), directory)
    return Tree(directory, versions)


def fetch(scratch, wanted):
    new, archives = os.path.join(scratch, "new"), os.path.join(scratch, "archives")
    os.mkdir(new)
    os.mkdir(archives)
    os.chmod(scratch, 0o755)
    shutil.chown(archives, "_apt")
    r = subprocess.run(
        ["apt-get", "-q", "download", *wanted],
        cwd=archives,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if r.returncode:
        raise NotThere("apt-get download failed: " + machine.last_line(r.stderr))
    for archive in glob.glob(archives + "/*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, new], check=True, capture_output=True)
    for name in MERGED:
        old = os.path.join(new, name)
        if os.path.isdir(old):
            os.makedirs(new + "/usr/" + name, exist_ok=True)
            subprocess.run(["cp", "-a", old + "/.", new + "/usr/" + name], check=True)
            shutil.rmtree(old)
    os.chmod(new, 0o700)  # only for root, since some of the programs have the setuid bit
    return new


class Room:
    """How a machine looks to one server: with the packages of a tree, with some users
    more, with its own /run, and with directories of its own in the places named by own (a
    path to the name of its owner). Without a directory it is only the packages in /usr."""

    def __init__(self, tree, directory=None, users=(), own=None):
        self.tree, self.directory = tree, directory
        self.users, self.own = users, own or {}
        lines = ["set -e", *self.over("/usr")]
        if directory:
            if re.search(r"[^\w./+-]", directory) or re.match(
                r"/(usr|etc|run|var/lib|var/spool)/", directory
            ):
                raise Trouble("%s cannot be seen in a room of its own" % directory)
            self.furnish(lines)
        self.script = "\n".join(lines + ['exec "$@"'])

    def over(self, path, base=""):
        """The commands that lay what we have, and what the tree has, over a directory."""
        layers = [base + path] if base else []
        if self.tree.directory:
            layers.append(self.tree.directory + path)
        layers = [layer for layer in layers if os.path.isdir(layer)] + [path]
        if len(layers) == 1:
            return []
        return ["mount -t overlay -o ro,lowerdir=%s overlay %s" % (":".join(layers), path)]

    def furnish(self, lines):
        base = os.path.join(self.directory, "room")
        os.makedirs(base + "/etc")
        os.makedirs(base + "/run")
        self.ids = self.number_users(base + "/etc")
        for name, text in FILES.items():
            write("%s/etc/%s" % (base, name), text)
        lines += self.over("/etc", base)
        for path in self.own:
            os.makedirs(base + path)
        for parent in sorted({os.path.dirname(path) for path in self.own}):
            lines += self.over(parent, base)
        for path, owner in self.own.items():
            inside = "%s/%s" % (base, os.path.basename(path))
            os.mkdir(inside, 0o755)
            os.chown(inside, self.ids[owner], -1)
            lines.append("mount --bind %s %s" % (inside, path))
        lines.append("mount --bind %s/run /run" % base)

    def number_users(self, etc):
        """The machine's passwd and group, and behind them whom it lacks."""
        ids = {"root": 0}
        people, groups = machine.read("/etc/passwd"), machine.read("/etc/group")
        for name in self.users:
            known = re.search(r"^%s:[^:]*:(\d+):" % re.escape(name), people, re.M)
            ids[name] = int(known.group(1)) if known else FIRST_ID + len(ids)
            if not known:
                people += "%s:x:%d:%d::/run:/usr/sbin/nologin\n" % (
                    (name,) + 2 * (ids[name],)
                )
                groups += "%s:x:%d:\n" % (name, ids[name])
        write(etc + "/passwd", people)
        write(etc + "/group", groups)
        return ids

    def command(self, argv):
        """What to run to run argv in there; it becomes argv, with the same pid."""
        return ["unshare", "--mount", "sh", "-c", self.script, "room", *argv]
