"""fronts - servers that stand in front of a mailbox server, and what stands behind them

Behind a front is Dovecot in its high-performance mode, which learns who the client is from a
PROXY header; or, where sessions are counted by the ten thousand, fixed answers, as Dovecot has
a process for each. What is behind is never in the front's processes: its CPU and memory are
its own; with Dovecot they are added where a play asks what the whole costs.
"""

import os
import shutil

import machine
import peers
import servers
from machine import read, write
from servers import DOMAIN, PASSWORDS, Canned, Holdfast, Server, answering, free_ports


class CannedImap(Server):
    """Fixed answers, every password wrong."""

    name = "canned-imap"
    services = ("imap",)
    summary = "fixed answers from one thread, every login refused"
    options = ()

    def command(self):
        return answering(self.port, "--service", "imap", *self.options)


class CannedMailboxes(CannedImap):
    """Fixed answers, every password right; as many sessions as anybody asks for."""

    name = "canned-mailboxes"
    summary = "fixed answers, every login taken"
    options = ("--any-password", "--processes", "4")
    proxied = False

    def to(self, service):
        return self.ports["imap"]


class DovecotBehind(peers.DovecotFast):
    name = "dovecot-behind"
    summary = "as dovecot-fast, behind a proxy"
    templates = peers.DovecotFast.templates + ("dovecot/behind.conf",)
    proxied = True

    def __init__(self, directory):
        super().__init__(directory)
        self.behind = dict(zip(self.services, free_ports(len(self.services))))

    def facts(self):
        return dict(
            super().facts(),
            IMAP_BEHIND=self.behind["imap"],
            POP_THREE_BEHIND=self.behind["pop3"],
        )

    def to(self, service):
        return self.behind[service]


class DovecotJudge(DovecotBehind):
    """Behind Holdfast, whose guard delays who guesses: see docs/guide.md."""

    name = "dovecot-judge"
    summary = "as dovecot-fast, behind a proxy that delays who guesses"
    templates = DovecotBehind.templates + ("dovecot/judge.conf",)


class Fronted:
    """What fronts have in common; before the class of the server itself."""

    mailboxes = DovecotBehind

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.mailboxes.prepare()

    def start(self):
        self.behind = self.mailboxes(self.directory)
        self.behind.start()
        try:
            super().start()
        except BaseException:
            self.behind.stop()
            raise
        if isinstance(self.behind, DovecotBehind):
            # what somebody pays for a login is both; the log is that of the front
            self.more_pids = list(self.behind.pids)

    def await_up(self):
        for service, port in self.ports.items():
            if service in servers.GREETINGS and service in ("smtp", *self.behind.services):
                self.await_that(
                    lambda p=port, s=service: servers.greets(p, s),
                    "does not answer at 127.0.0.1:%d" % port,
                )

    def stop(self):
        super().stop()
        if getattr(self, "behind", None):
            self.behind.stop()
            self.behind = None


class Nginx(Fronted, peers.Unpacked):
    name = "nginx"
    services = ("imap", "pop3", "imaps")
    fetched = ("nginx", "libnginx-mod-mail")
    users = ("www-data",)
    own = {"/var/lib/nginx": "root"}
    has_tls = True
    workers = 2
    wrong = "Invalid login"
    summary = "mail proxy, 2 workers, passwords in a map of its own, before dovecot-fast"

    def facts(self):
        users = "".join('    "%s %s" 1;\n' % each for each in PASSWORDS.items())
        return dict(
            super().facts(),
            WORKERS=self.workers,
            DESCRIPTORS=machine.descriptors(),
            USERS=users.rstrip("\n"),
            ASKED=free_ports(1)[0],
            TO_IMAP=self.behind.to("imap"),
            TO_POP_THREE=self.behind.to("pop3"),
            PROXY="on" if self.behind.proxied else "off",
        )

    def command(self):
        self.furnish()
        servers.make_certificate(self.directory)
        self.log("log")
        self.place("nginx.conf", "nginx/nginx.conf")
        return self.room.command(["nginx", "-e", "stderr", "-c", self.path("nginx.conf")])


class NginxMany(Nginx):
    name = "nginx-many"
    mailboxes = CannedMailboxes
    workers = 4
    summary = "mail proxy, 4 workers, before fixed answers"


class Haproxy(Fronted, peers.Unpacked):
    name = "haproxy"
    services = ("imap", "pop3", "imaps")
    fetched = ("haproxy",)
    users = ("haproxy",)
    own = {"/var/lib/haproxy": "root"}
    has_tls = True  # that of Dovecot
    summary = "TCP mode, 2 threads, before dovecot-fast"

    def facts(self):
        return dict(
            super().facts(),
            # a few of its own, and two for each session
            SESSIONS=machine.descriptors() // 2 - 100,
            TO_IMAP=self.behind.to("imap"),
            TO_POP_THREE=self.behind.to("pop3"),
            PROXY="send-proxy" if self.behind.proxied else "",
        )

    def command(self):
        self.furnish()
        servers.make_certificate(self.directory)
        both = read(self.path("cert.pem")) + read(self.path("key.pem"))
        write(self.path("both.pem"), both)
        self.place("haproxy.cfg", "haproxy/haproxy.cfg")
        return self.room.command(["haproxy", "-db", "-f", self.path("haproxy.cfg")])


class HaproxyMany(Haproxy):
    name = "haproxy-many"
    mailboxes = CannedMailboxes
    summary = "TCP mode, 2 threads, before fixed answers"


class HoldfastReading(Fronted, Holdfast):
    """Holdfast with IMAP and POP3. Strangers may connect as often as they like, so that what
    is measured is the login and not the door; it has its own limits of sessions."""

    name = "holdfast-reading"
    mailboxes = DovecotJudge
    services = ("smtp", "imap", "pop3", "imaps")
    summary = "asks dovecot-fast, which is behind it, about passwords"
    sources = 'sources = ( { kind = "backend"; } );'
    auth = ""
    guard = "connect-rate = 0;"
    mailbox = "per-user = 0; per-user-network = 10;"

    def __init__(self, directory, program=None, sessions=None, tls=False):
        super().__init__(directory, program, sessions, True)

    def listeners(self):
        form = '{ address = "127.0.0.1:%d"; service = "%s"; tls = "%s"; }'
        rows = [(name, name, "starttls") for name in ("smtp", "imap", "pop3")]
        rows.append(("imaps", "imap", "implicit"))
        return [form % (self.ports[name], service, tls) for name, service, tls in rows]

    def settings(self):
        pop3 = ""
        if "pop3" in self.behind.ports:
            pop3 = ' pop3 = "127.0.0.1:%d";' % self.behind.to("pop3")
        return self.more + (
            'backends = ( { name = "behind"; imap = "127.0.0.1:%d";%s identity = "%s"; } );\n'
            "auth: { without-tls = true; %s %s };\nmailbox: { %s };\n"
            % (
                self.behind.to("imap"),
                pop3,
                "proxy" if self.behind.proxied else "none",
                self.sources,
                self.auth,
                self.mailbox,
            )
        )


class HoldfastReadingLocal(HoldfastReading):
    name = "holdfast-reading-local"
    summary = "has the passwords itself, remembers right ones for 5 min; dovecot-fast behind"
    sources = ""


class HoldfastReadingDefault(HoldfastReading):
    name = "holdfast-reading-default"
    summary = "as holdfast-reading, all limits and delays as they come"
    guard = ""
    mailbox = ""


class HoldfastReadingNow(HoldfastReading):
    name = "holdfast-reading-now"
    summary = "as holdfast-reading, without delays and bans"
    auth = 'delay = "0s"; delay-max = "0s";'
    guard = (
        'observe = [ "points", "history", "prefix", "rate", "sessions" ]; delay = "0s";'
        " connect-rate = 0;"
    )


class HoldfastReadingLocalNow(HoldfastReadingNow):
    name = "holdfast-reading-local-now"
    summary = "as holdfast-reading-local, without delays and bans"
    sources = ""


class HoldfastReadingMany(HoldfastReading):
    """Each session has two descriptors, so there are twice as many to make room for."""

    name = "holdfast-reading-many"
    mailboxes = CannedMailboxes
    summary = "before fixed answers, as many handshakes a second as come"
    mailbox = "per-user = 0; per-user-network = 0;"
    handshakes = "handshakes = 100000;"


for kind in (Nginx, Haproxy):
    peers.PEERS[kind.name] = kind
for kind in (
    CannedImap,
    Nginx,
    NginxMany,
    Haproxy,
    HaproxyMany,
    HoldfastReading,
    HoldfastReadingLocal,
    HoldfastReadingDefault,
    HoldfastReadingNow,
    HoldfastReadingLocalNow,
    HoldfastReadingMany,
):
    peers.KINDS[kind.name] = kind
