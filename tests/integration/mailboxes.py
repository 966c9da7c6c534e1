"""Where mail is read: a private Dovecot with mail in it, alone or behind the server.

With HOLDFAST_READ_DIRECT=1 the tests of mail programs go to Dovecot itself: that shows that what
they expect is what it gives.
"""
import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile

import pytest

from conftest import PATIENCE, Server, free_port, self_signed, wait_for, with_defaults

DIRECT = bool(os.environ.get("HOLDFAST_READ_DIRECT"))
HOST = "localhost"  # what the certificate is for
SERVICES = ("imap", "imaps", "pop3", "pop3s")
MODULES = pathlib.Path("/usr/lib/dovecot")
# A mailbox server that has to wait for its turn has not gone; tests of one that has set their own.
PATIENT = {"mailbox": {"connect-timeout": '"60s"', "reply-timeout": '"60s"'}}

needs_mailboxes = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("dovecot") or not (MODULES / "imap").exists()
    or not (MODULES / "pop3").exists(),
    reason="Dovecot with IMAP and POP3 is not installed, or not for us: only root can start it")

DOVECOT = """\
base_dir = {top}/run
state_dir = {top}/state
log_path = {top}/log
protocols = imap pop3
listen = 127.0.0.1
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
first_valid_uid = 1
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_master_user_separator = *
auth_failure_delay = 0
auth_verbose = yes
mail_max_userip_connections = 100
haproxy_trusted_networks = 127.0.0.1
haproxy_timeout = 60 secs
login_trusted_networks = 127.0.0.1
mail_location = maildir:{top}/mail/%u
namespace inbox {{
  inbox = yes
}}
passdb {{
  driver = passwd-file
  args = {top}/masters
  master = yes
}}
passdb {{
  driver = passwd-file
  args = {top}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={top}/mail/%u
}}
service imap-login {{
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
  inet_listener imap_proxied {{
    port = {imap_proxied}
    haproxy = yes
  }}
}}
service pop3-login {{
  service_count = 0
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
  inet_listener pop3_proxied {{
    port = {pop3_proxied}
    haproxy = yes
  }}
}}
protocol imap {{
  mail_plugins = imap_zlib
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
# a wrong password of one test does not make another wait
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
{more}"""


def session_lives(leader):
    """Is there a process of this session (setsid(2))? One that nobody has reaped yet has ended."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                return True
    return False


class Dovecot:
    """Users are addresses; each has a mailbox of its own."""

    def __init__(self, directory, users, password, cert, more=""):
        self.top, self.users, self.password = pathlib.Path(directory), users, password
        self.ports = {s: free_port() for s in (*SERVICES, "imap_proxied", "pop3_proxied")}
        self.cert, self.more = cert, more
        self.owner = pwd.getpwnam("mail")

    def __enter__(self):
        self.top.mkdir()
        self.top.chmod(0o755)
        (self.top / "mail").mkdir()
        os.chown(self.top / "mail", self.owner.pw_uid, self.owner.pw_gid)
        (self.top / "users").write_text("".join(f"{u}:{{PLAIN}}{self.password}::::::\n" for u in self.users))
        (self.top / "masters").write_text("front:{PLAIN}master secret\n")
        (self.top / "conf").write_text(DOVECOT.format(
            top=self.top, cert=self.cert[0], key=self.cert[1], uid=self.owner.pw_uid,
            gid=self.owner.pw_gid, more=self.more, **self.ports))
        return self.start()

    def start(self):
        self.process = subprocess.Popen(["dovecot", "-F", "-c", self.top / "conf"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(self.top / "stderr", "ab"), start_new_session=True)
        wait_for("Dovecot to listen", self.listening)
        return self

    def listening(self):
        """Its ports are open at once; it greets when its auth process is there, which may take seconds."""
        assert self.process.poll() is None, self.log() + (self.top / "stderr").read_text()
        with contextlib.suppress(OSError):
            for service in ("imap", "pop3"):
                with socket.create_connection(("127.0.0.1", self.ports[service]), 20) as s:
                    if b"OK" not in s.recv(1000):
                        return False
            return True

    def log(self):
        log = self.top / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def put(self, user, *messages):
        """Mail that is there when somebody looks; lines of a file end with LF."""
        box = self.top / "mail" / user
        for part in ("", "cur", "new", "tmp"):
            (box / part).mkdir(exist_ok=True)
            os.chown(box / part, self.owner.pw_uid, self.owner.pw_gid)
        have = len(list((box / "new").iterdir()))
        for i, message in enumerate(messages, have):
            path = box / "new" / f"{1700000000 + i}.M{i}P1.test"
            path.write_bytes(message.replace(b"\r\n", b"\n"))
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)

    def stop(self):
        """Its master ends before its processes if they take some seconds; they have the ports, and may let people in."""
        self.process.terminate()
        self.process.wait(PATIENCE)
        wait_for("all of Dovecot to end", lambda: not session_lives(self.process.pid))

    def __exit__(self, *unused):
        self.stop()
        shutil.rmtree(self.top, ignore_errors=True)


def listeners(ports):
    rows = [("imap", "imap", "starttls"), ("imaps", "imap", "implicit"),
            ("pop3", "pop3", "starttls"), ("pop3s", "pop3", "implicit")]
    return "".join(f', {{ address = "127.0.0.1:{ports[name]}"; service = "{service}"; tls = "{tls}"; }}'
                   for name, service, tls in rows)


def backend(dovecot, name="dovecot", identity="id", more=""):
    ports = dovecot.ports
    proxied = "_proxied" if identity.startswith("proxy") else ""
    return (f'{{ name = "{name}"; imap = "127.0.0.1:{ports["imap" + proxied]}"; '
            f'pop3 = "127.0.0.1:{ports["pop3" + proxied]}"; identity = "{identity}"; {more} }}')


def make_front(home, cert, backends, users=(), sources='( { kind = "backend"; } )', auth='delay = "0s";',
               settings=""):
    """A server with ports for reading, before these mailbox servers; not yet started."""
    smtp, ports = free_port(), {s: free_port() for s in SERVICES}
    server = Server(
        home, users=users,
        listen=f'listen = ( {{ address = "127.0.0.1:{smtp}"; service = "smtp"; }}{listeners(ports)} );',
        settings=f'tls: {{ certificates = ( {{ cert = "{cert[0]}"; key = "{cert[1]}"; }} ); }};\n'
                 f'backends = ( {", ".join(backends)} );\n'
                 f'auth: {{ sources = {sources}; {auth} }};\n' + with_defaults(settings, PATIENT))
    server.port, server.ports, server.cert = smtp, {"smtp": smtp, **ports}, cert[0]
    return server


def certificate(directory):
    cert, key = self_signed(directory, HOST)
    cert.chmod(0o644)
    return cert, key


@contextlib.contextmanager
def dovecot_for_a_file(users, password):
    """One for all tests of a file, with the certificate that fronts of it are to have."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    top.chmod(0o755)
    cert = certificate(top)
    with Dovecot(top / "dovecot", users, password, cert) as dovecot:
        dovecot.certificate = cert
        yield dovecot
    shutil.rmtree(top, ignore_errors=True)


def trusting(cert):
    return ssl.create_default_context(cafile=str(cert))
