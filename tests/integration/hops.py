"""Next hops: one of our own that behaves as badly as it is told, and a private Dovecot."""
import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
import time

import pytest

from conftest import PATIENCE, free_port, wait_for


# What can be done instead of an answer. Afterwards the connection is closed.
def hang(talk):
    talk.hop.stop.wait()


def gone(talk):
    pass


def reset(talk):
    talk.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(talk.request.detach())


def half_a_line(talk):
    talk.request.sendall(b"250 this is not")


def closing(talk):
    talk.say("421 4.3.2 going down")


def nonsense(talk):
    talk.say("\xff\xfeHTTP/1.1 200 OK")
    hang(talk)


def endless_line(talk):
    with contextlib.suppress(OSError):
        for _ in range(100):
            talk.request.sendall(b"250-" + b"x" * 10000)


def endless_reply(talk):
    with contextlib.suppress(OSError):
        for _ in range(100000):
            talk.request.sendall(b"250-x\r\n")


def drips(talk):
    """A byte at a time, and never the whole of a reply."""
    with contextlib.suppress(OSError):
        for byte in b"250-" + b"x" * 1000:
            if talk.hop.stop.wait(0.1):
                return
            talk.request.sendall(bytes([byte]))


def accepts_too_early(talk):
    talk.say("250 2.0.0 kept\r\n250 2.0.0 kept\r\n250 2.0.0 kept\r\n250 2.0.0 kept")
    hang(talk)


class Dialogue(socketserver.StreamRequestHandler):
    def setup(self):
        super().setup()
        self.hop = self.server.hop

    def say(self, text):
        self.request.sendall(text.encode("latin-1") + b"\r\n")

    def turn(self, at):
        """True: answer as usual."""
        hop = self.hop
        if not hop.ill or at != hop.at:
            return True
        with hop.lock:
            hop.misdeeds += 1
        hop.do(self)
        raise EOFError

    def answer(self, verb, text):
        self.turn(verb)
        self.say(text)

    def handle(self):
        with contextlib.suppress(OSError, EOFError):
            self.converse()

    def converse(self):
        hop = self.hop
        self.answer("greeting", "220 hop.example")
        sender, rcpts, chunks, refused = None, [], b"", False
        while line := self.rfile.readline():
            verb, text = line[:4].upper().decode(), line.decode().strip()
            with hop.lock:
                hop.commands.append(text)
            if verb in ("EHLO", "LHLO"):
                offers = "".join(f"250-{word}\r\n" for word in hop.offers)
                self.answer("hello", f"250-hop.example\r\n250-SIZE\r\n250-8BITMIME\r\n{offers}250 SMTPUTF8")
            elif verb == "MAIL":
                self.began = time.monotonic()
                sender, rcpts, chunks, refused = text[10:].split(">")[0].lstrip("<"), [], b"", False
                self.answer("MAIL", "250 2.1.0 ok")
            elif verb == "RCPT":
                rcpt = text[8:].strip("<>")
                said = hop.rcpt_answer(rcpt)
                if said.startswith("2"):
                    rcpts.append(rcpt)
                self.answer("RCPT", said)
            elif verb == "DATA":
                self.answer("DATA", "354 go on")
                self.take(sender, rcpts)
            elif verb == "BDAT":
                chunks += self.chunk(int(text.split()[1]))
                if refused:  # RFC 3030, 2: nothing more of it counts
                    self.say("503 5.5.1 not after that")
                    continue
                refused = hop.chunk_answer()
                if refused:
                    self.say(refused)
                elif text.endswith(" LAST"):
                    self.turn("dot")
                    self.keep(sender, rcpts, chunks)
                else:
                    self.say("250 2.0.0 octets")
            elif verb == "QUIT":
                self.answer("QUIT", "221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 ok")

    def take(self, sender, rcpts):
        body = b""
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                raise EOFError
            if not body:
                self.turn("message")
            body += line[1:] if line.startswith(b".") else line
        self.turn("dot")
        self.keep(sender, rcpts, body)

    def chunk(self, size):
        self.turn("BDAT")
        got = self.rfile.read(size)
        if len(got) < size:
            raise EOFError
        self.turn("chunk")
        with self.hop.lock:
            self.hop.chunks.append(size)
        return got

    def keep(self, sender, rcpts, body):
        answers = [self.hop.dot_answer(r) for r in rcpts] if self.hop.lmtp else ["250 2.0.0 kept"]
        for rcpt, said in zip(rcpts, answers if self.hop.lmtp else answers * len(rcpts)):
            if said.startswith("2"):
                with self.hop.lock:
                    self.hop.taken.append((sender, rcpt, body))
                    self.hop.times.append((self.began, time.monotonic()))
        for i, said in enumerate(answers):
            if i:
                self.turn("second answer")
            self.say(said)


class Hop:
    """A next hop that misbehaves at one point of the dialogue until it is healed."""

    def __init__(self, at=None, do=None, lmtp=True, path=None, port=None, offers=("PIPELINING",)):
        self.at, self.do, self.lmtp, self.offers = at, do, lmtp, offers
        self.ill = at is not None
        self.misdeeds = 0
        self.taken, self.commands = [], []  # (sender, recipient, message)
        self.times = []  # of each of those: when it began to come, and when it was taken
        self.refuse_rcpt, self.refuse_dot = {}, {}  # recipient: answers to give, one each time
        self.refuse_chunk, self.chunks = [], []  # "": take it; the sizes of those that came
        self.lock, self.stop = threading.Lock(), threading.Event()
        kind = socketserver.ThreadingUnixStreamServer if path else socketserver.ThreadingTCPServer
        kind.allow_reuse_address = kind.daemon_threads = True
        kind.request_queue_size = 100
        self.port = None if path else port or free_port()
        self.server = kind(str(path) if path else ("127.0.0.1", self.port), Dialogue)
        self.server.hop = self
        if path:
            os.chmod(path, 0o666)
        word = "lmtp" if lmtp else "smtp"
        self.target = f"lmtp:unix:{path}" if path else f"{word}:127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def next_of(self, answers, rcpt, usual):
        with self.lock:
            return answers[rcpt].pop(0) if answers.get(rcpt) else usual

    def rcpt_answer(self, rcpt):
        return self.next_of(self.refuse_rcpt, rcpt, "250 2.1.5 ok")

    def dot_answer(self, rcpt):
        return self.next_of(self.refuse_dot, rcpt, f"250 2.0.0 <{rcpt}> kept")

    def chunk_answer(self):
        with self.lock:
            return self.refuse_chunk.pop(0) if self.refuse_chunk else ""

    def got(self, rcpt):
        with self.lock:
            return [body for _, r, body in self.taken if r == rcpt]

    def heal(self):
        self.ill = False
        self.stop.set()

    def close(self):
        self.heal()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


DOVECOT = """\
base_dir = {top}/run
state_dir = {top}/state
log_path = {top}/log
protocols = lmtp
listen = 127.0.0.1
ssl = no
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
first_valid_uid = 1
mail_location = maildir:{top}/mail/%d/%n
auth_username_format = %Lu
recipient_delimiter = +
passdb {{
  driver = passwd-file
  args = {top}/users
}}
userdb {{
  driver = passwd-file
  args = {top}/users
}}
protocol lmtp {{
  {rawlog}
  postmaster_address = postmaster@dovecot.example
}}
service lmtp {{
  unix_listener {top}/lmtp.sock {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


needs_dovecot = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("dovecot"),
    reason="Dovecot is not installed, or not for us: only root can start it")


class Dovecot:
    """Dovecot's LMTP on a port and a socket of its own, with Maildirs for the users."""

    def __init__(self, directory, users, rawlog=False):
        self.top, self.users, self.port = pathlib.Path(directory), users, free_port()
        self.raw = self.top / "raw" if rawlog else None
        self.path = self.top / "lmtp.sock"

    def __enter__(self):
        self.top.mkdir()
        self.top.chmod(0o755)
        owner = pwd.getpwnam("mail")
        (self.top / "mail").mkdir()
        os.chown(self.top / "mail", owner.pw_uid, owner.pw_gid)
        (self.top / "users").write_text("".join(
            f"{u}:{{PLAIN}}x:{owner.pw_uid}:{owner.pw_gid}::{self.top}/mail/{u}::\n" for u in self.users))
        if self.raw:
            self.raw.mkdir()
            self.raw.chmod(0o777)
        rawlog = f"lmtp_rawlog_dir = {self.raw}" if self.raw else ""
        (self.top / "conf").write_text(DOVECOT.format(top=self.top, port=self.port, rawlog=rawlog))
        self.process = subprocess.Popen(["dovecot", "-F", "-c", self.top / "conf"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(self.top / "stderr", "wb"))
        wait_for("Dovecot to listen", self.listening)
        return self

    def listening(self):
        assert self.process.poll() is None, self.log() + (self.top / "stderr").read_text()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return self.path.exists()

    def log(self):
        log = self.top / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def heard(self):
        """All that was said to it."""
        return b"".join(f.read_bytes() for f in sorted(self.raw.glob("*.in")))

    def messages(self, address):
        user, domain = address.split("@")
        found = []
        for part in ("new", "cur"):
            box = self.top / "mail" / domain / user / part
            found += [f.read_bytes() for f in sorted(box.iterdir())] if box.exists() else []
        return found

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.top, ignore_errors=True)
