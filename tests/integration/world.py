"""A small world in a network namespace: a real DNS, real mail servers, dead hosts.

While a World is entered, this thread and all that it starts are inside, so that servers can
have port 25 and addresses of their own, and nothing that is sent can leave the machine.
The root of the DNS there is ours: unbound asks nsd for our zones, validates those that are
signed, and says of every other name that it does not exist.
"""
import ctypes
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import pytest

from conftest import PATIENCE, TOP, listens, self_signed, wait_for
from postfix import Postfix

sys.path.insert(0, str(TOP / "bench" / "tools"))

import apart  # noqa: E402
import machine  # noqa: E402

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

US, POSTFIX, EXIM, OPENSMTPD, REFUSED, SMARTHOST = (f"10.77.0.{n}" for n in (10, 1, 2, 3, 9, 4))
DEAD = "10.78.0.5"  # packets to it go nowhere


def missing():
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    return [p for p in ("postfix", "nsd", "unbound", "ldns-signzone", "ldns-keygen", "ip")
            if not shutil.which(p, path=path)]


def can_run():
    if os.geteuid() != 0 or missing():
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0


needs_world = pytest.mark.skipif(
    not can_run(), reason=f"needs root, network namespaces and programs: {' '.join(missing())}")


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "namespaces")


class Space:
    """A network namespace that this thread is in as long as the block lasts."""

    def __enter__(self):
        self.before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        check(libc.unshare(CLONE_NEWNET))
        for words in (["link", "set", "lo", "up"],
                      *(["addr", "add", f"{a}/32", "dev", "lo"]
                        for a in (US, POSTFIX, EXIM, OPENSMTPD, REFUSED, SMARTHOST)),
                      ["link", "add", "void", "type", "veth", "peer", "name", "nobody"],
                      ["addr", "add", "10.78.0.1/24", "dev", "void"],
                      ["link", "set", "void", "up"], ["link", "set", "nobody", "up"],
                      # an address of the cable's other end that is nobody's there
                      ["neigh", "add", DEAD, "lladdr", "02:00:00:00:00:99", "dev", "void"]):
            subprocess.run(["ip", *words], check=True, capture_output=True)
        return self

    def __exit__(self, *unused):
        check(libc.setns(self.before, CLONE_NEWNET))
        os.close(self.before)


# ---- the DNS

NSD = """
server:
 ip-address: 127.0.0.1@5300
 username: ""
 chroot: ""
 zonesdir: "{dir}"
 pidfile: "{dir}/nsd.pid"
 database: ""
 xfrdfile: "{dir}/xfrd"
 xfrdir: "{dir}"
 zonelistfile: "{dir}/list"
 logfile: "{dir}/nsd.log"
 server-count: 1
remote-control:
 control-enable: no
"""

UNBOUND = """
server:
 interface: 127.0.0.1
 access-control: 127.0.0.0/8 allow
 username: ""
 chroot: ""
 directory: "{dir}"
 pidfile: ""
 use-syslog: no
 logfile: "{dir}/unbound.log"
 do-not-query-localhost: no
 module-config: "validator iterator"
 trust-anchor-file: "{dir}/anchors"
 local-zone: "." static
"""


class Dns:
    """zones: name -> records as in a zone file, without SOA and NS. Those in signed get DNSSEC."""

    def __init__(self, directory, zones, signed=()):
        self.dir, self.zones, self.signed = pathlib.Path(directory), zones, signed
        self.running = []

    def __enter__(self):
        self.dir.mkdir()
        (self.dir / "anchors").write_text("")
        nsd, unbound = NSD.format(dir=self.dir), UNBOUND.format(dir=self.dir)
        for name, records in self.zones.items():
            file = self.dir / f"{name}.zone"
            file.write_text(f"$ORIGIN {name}.\n$TTL 300\n@ SOA ns.{name}. x.{name}. 1 300 300 864000 120\n"
                            f"@ NS ns.{name}.\nns A 127.0.0.1\n{records}")
            if name in self.signed:
                file = self.sign(name, file)
            nsd += f'zone:\n name: "{name}"\n zonefile: "{file}"\n'
            unbound += f' local-zone: "{name}." transparent\n'
        for name in self.zones:
            unbound += f'stub-zone:\n name: "{name}."\n stub-addr: 127.0.0.1@5300\n'
        unbound += "remote-control:\n control-enable: no\n"
        for program, text in (("nsd", nsd), ("unbound", unbound)):
            conf = self.dir / f"{program}.conf"
            conf.write_text(text)
            self.running.append(subprocess.Popen([program, "-d", "-c", conf], stdin=subprocess.DEVNULL,
                                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        first = next(iter(self.zones))
        wait_for("the DNS to answer", lambda: self.answers(f"ns.{first}"))
        return self

    def sign(self, name, file):
        def run(*words):
            got = subprocess.run(words, cwd=self.dir, capture_output=True, text=True)
            assert got.returncode == 0, got.stderr
            return got.stdout.strip()
        key = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", name)
        run("ldns-signzone", str(file), key)
        with open(self.dir / "anchors", "a") as anchors:
            anchors.write((self.dir / f"{key}.key").read_text())
        return pathlib.Path(f"{file}.signed")

    def answers(self, name):
        for process in self.running:
            assert process.poll() is None, self.log()
        from name_servers import question
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.3)
            s.connect(("127.0.0.1", 53))
            try:
                s.send(question(name, 1))
                got = s.recv(512)
            except OSError:
                return False
            return got[3] & 15 == 0 and got[7] > 0  # no error, and an answer

    def log(self):
        return "".join(f.read_text(errors="replace") for f in self.dir.glob("*.log"))

    def __exit__(self, *unused):
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(PATIENCE)


# ---- mail servers at the far end

def start(command, log):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(log, "ab"),
                            stderr=subprocess.STDOUT)


def greets(address, port=25):
    try:
        with socket.create_connection((address, port), 5) as s:
            return s.recv(3) == b"220"
    except OSError:
        return False


def in_maildir(directory):
    """All messages of a Maildir."""
    found = []
    for part in ("new", "cur"):
        box = directory / part
        found += [f.read_bytes() for f in sorted(box.iterdir())] if box.exists() else []
    return found


class Unpacked:
    """A server that is fetched and unpacked, not installed, and runs in a room of its own."""

    def __init__(self, directory, domain):
        self.top, self.domain = pathlib.Path(directory), domain
        self.top.mkdir()
        self.top.chmod(0o755)
        self.room = apart.Room(apart.unpack(self.package), str(self.top), self.users, self.own)
        self.box = self.top / "mail"
        self.box.mkdir()
        os.chown(self.box, self.room.ids[self.owner], -1)

    def __enter__(self):
        self.process = start(self.room.command(self.command()), self.top / "output")
        wait_for(f"{self.package} to greet", self.ready)
        return self

    def ready(self):
        assert self.process.poll() is None, self.log()
        return greets(self.address)

    def log(self):
        return "".join(f.read_text(errors="replace") for f in (self.top / "output", *self.top.glob("log/*"))
                       if f.exists())

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.top, ignore_errors=True)


EXIM_CONF = """
primary_hostname = mx.{domain}
domainlist local_domains = {domain}
spool_directory = {top}/spool
log_file_path = {top}/log/%slog
pid_file_path =
local_interfaces = {address}
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts = *
tls_certificate = {top}/cert
tls_privatekey = {top}/key
acl_smtp_rcpt = check_rcpt
never_users = root
begin acl
check_rcpt:
  accept domains = +local_domains
         local_parts = ! nobody
  deny message = unknown user
begin routers
all:
  driver = accept
  domains = +local_domains
  transport = box
begin transports
box:
  driver = appendfile
  maildir_format
  directory = {top}/mail
  user = Debian-exim
  delivery_date_add
  envelope_to_add
  return_path_add
begin retry
* * F,1m,1s
"""


class Exim(Unpacked):
    """Takes everybody in its domain but nobody@; all mail in one Maildir."""

    package, address, users, own, owner = "exim4-daemon-light", EXIM, ("Debian-exim",), {}, "Debian-exim"

    def command(self):
        for name in ("spool", "log"):
            (self.top / name).mkdir()
            os.chown(self.top / name, self.room.ids["Debian-exim"], -1)
        cert, key = self_signed(self.top, f"mx.{self.domain}")
        cert.rename(self.top / "cert")
        key.rename(self.top / "key")
        os.chown(self.top / "key", self.room.ids["Debian-exim"], -1)
        conf = self.top / "room" / "etc" / "exim4"
        conf.mkdir()
        (conf / "exim4.conf").write_text(
            EXIM_CONF.format(domain=self.domain, top=self.top, address=self.address))
        return ["exim4", "-bdf", "-q1m"]

    def messages(self):
        return in_maildir(self.box)


OPENSMTPD_CONF = """
table users file:/etc/smtpd/users
table known file:/etc/smtpd/known
listen on {address} port 25 hostname mx.{domain}
action "box" maildir "{top}/mail" virtual <users>
match from any for domain "{domain}" rcpt-to <known> action "box"
"""


class Opensmtpd(Unpacked):
    """Takes bob@ in its domain."""

    package, address, users = "opensmtpd", OPENSMTPD, ("opensmtpd", "opensmtpq", "vmail")
    own, owner = {"/var/spool/smtpd": "root", "/var/lib/opensmtpd": "root"}, "vmail"

    def command(self):
        (self.top / "room/opensmtpd/empty").mkdir(0o711)
        (self.top / "room/smtpd").chmod(0o711)
        (self.top / "room/etc/smtpd").mkdir()
        (self.top / "room/etc/smtpd/users").write_text(f"bob@{self.domain} vmail\n")
        (self.top / "room/etc/smtpd/known").write_text(f"bob@{self.domain}\n")
        (self.top / "room/etc/smtpd.conf").write_text(
            OPENSMTPD_CONF.format(domain=self.domain, top=self.top, address=self.address))
        return ["smtpd", "-d"]

    def messages(self):
        return in_maildir(self.box)


class FarPostfix(Postfix):
    """Postfix at its own address and port 25, with TLS if it has a certificate."""

    def __init__(self, directory, mailboxes, cert=None, **settings):
        more = {"smtpd_tls_security_level": "none"}
        if cert:
            more = {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": f"{cert[1]},{cert[0]}",
                    "smtpd_tls_received_header": "yes"}
        super().__init__(directory, mailboxes=mailboxes, address=POSTFIX, port=25,
                         settings=more | settings)


def unpackable():
    """Can Exim and OpenSMTPD be had? They are fetched outside of the namespace."""
    try:
        for kind in (Exim, Opensmtpd):
            apart.unpack(kind.package)
        return True
    except (machine.Trouble, OSError, subprocess.SubprocessError):
        return False



class SmarthostPostfix(Postfix):
    """Postfix that relays for those who log in, as Dovecot knows them; what it took it keeps."""

    def __init__(self, directory, mailboxes, login, password, cert):
        super().__init__(directory, mailboxes=mailboxes, address=SMARTHOST, port=587, settings={
            "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": f"{cert[1]},{cert[0]}",
            "smtpd_tls_auth_only": "yes", "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"{directory}/auth.sock", "smtpd_tls_received_header": "yes",
            "smtpd_sasl_authenticated_header": "yes", "mynetworks": "127.0.0.1/32",
            "smtpd_recipient_restrictions": "permit_sasl_authenticated,reject",
            "smtpd_relay_restrictions": "permit_sasl_authenticated,reject"})
        self.login, self.password = login, password

    def __enter__(self):
        self.top.mkdir()
        self.top.chmod(0o755)
        (self.top / "users").write_text(f"{self.login}:{{PLAIN}}{self.password}::::::\n")
        (self.top / "dovecot.conf").write_text(DOVECOT_AUTH.format(top=self.top))
        self.dovecot = start(["dovecot", "-F", "-c", self.top / "dovecot.conf"], self.top / "dovecot.out")
        wait_for("Dovecot to listen", lambda: listens(self.top / "auth.sock"))
        return super().__enter__()

    def __exit__(self, *unused):
        self.dovecot.terminate()
        self.dovecot.wait(PATIENCE)
        super().__exit__()


DOVECOT_AUTH = """
protocols =
base_dir = {top}/dovecot
log_path = {top}/dovecot.log
auth_mechanisms = plain login
ssl = no
passdb {{
  driver = passwd-file
  args = {top}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {top}/auth.sock {{
    mode = 0666
  }}
}}
"""
