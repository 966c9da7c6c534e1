"""Real name servers on loopback: rbldnsd for blocklists, nsd for names of addresses."""
import contextlib
import os
import pathlib
import shutil
import socket
import struct
import subprocess

from conftest import PATIENCE, free_port, wait_for

NOBODY = "rbldns"


def question(name, kind):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def answers(port, name, kind=1):
    """Does a server on that port answer at all?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        s.connect(("127.0.0.1", port))
        with contextlib.suppress(OSError):
            s.send(question(name, kind))
            return len(s.recv(512)) > 12
    return False


class Rbldnsd:
    """zones: name -> (kind of data, text), or several of these."""

    def __init__(self, home, zones):
        self.port = free_port()
        self.dir = pathlib.Path(home) / "rbl"
        self.dir.mkdir()
        self.dir.chmod(0o755)
        words = []
        for name, parts in zones.items():
            for kind, text in [parts] if isinstance(parts, tuple) else parts:
                file = self.dir / f"{name}.{kind}"
                file.write_text(text)
                words.append(f"{name}:{kind}:{file}")
        self.first = next(iter(zones))
        user = ["-u", NOBODY] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            ["rbldnsd", "-n", "-t", "2100", "-c", "0", *user, "-b", f"127.0.0.1/{self.port}", *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for("rbldnsd to answer", self.ready)

    def ready(self):
        assert self.process.poll() is None, self.process.stderr.read()
        return answers(self.port, f"2.0.0.127.{self.first}")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        self.process.stderr.close()


class Nsd:
    """zones: name -> records as in a zone file, without SOA and NS."""

    def __init__(self, home, zones):
        self.port = free_port()
        self.dir = pathlib.Path(home) / "nsd"
        self.dir.mkdir()
        self.dir.chmod(0o777)
        conf = (f'server:\n ip-address: 127.0.0.1@{self.port}\n username: ""\n chroot: ""\n'
                f' zonesdir: "{self.dir}"\n pidfile: "{self.dir}/pid"\n database: ""\n'
                f' xfrdfile: "{self.dir}/xfrd"\n xfrdir: "{self.dir}"\n zonelistfile: "{self.dir}/list"\n'
                f' logfile: "{self.dir}/log"\n server-count: 1\nremote-control:\n control-enable: no\n')
        for name, records in zones.items():
            (self.dir / f"{name}.zone").write_text(
                f"$ORIGIN {name}.\n$TTL 300\n@ SOA ns.{name}. x.{name}. 1 300 300 300 120\n@ NS ns.invalid.\n"
                + records)
            conf += f'zone:\n name: "{name}"\n zonefile: "{name}.zone"\n'
        file = self.dir / "nsd.conf"
        file.write_text(conf)
        self.first = next(iter(zones))
        self.process = subprocess.Popen(["nsd", "-d", "-c", file], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        wait_for("nsd to answer", self.ready)

    def ready(self):
        assert self.process.poll() is None, self.process.stderr.read()
        return answers(self.port, self.first, 6)

    stop = Rbldnsd.stop


def missing():
    return [p for p in ("rbldnsd", "nsd") if not shutil.which(p, path="/usr/sbin:/usr/bin:/sbin:/bin")]
