"""A mailbox server that does what a test says: it greets late, answers late, or sends everybody away."""
import contextlib
import socket
import socketserver
import threading


class Talk(socketserver.StreamRequestHandler):
    """Enough of IMAP for somebody to log in."""

    def say(self, text):
        self.request.sendall(text.encode() + b"\r\n")

    def handle(self):
        mailboxes = self.server.mailboxes
        with contextlib.suppress(OSError, ValueError):
            with mailboxes.here(self.request):
                mailboxes.greets.wait()
                self.say("* OK here")
                lines = mailboxes.talk()
                while line := self.rfile.readline().decode("latin-1").strip():
                    lines.append(line)
                    self.answer(mailboxes, line)
                    if mailboxes.leaves(line):
                        self.request.shutdown(socket.SHUT_WR)
                        self.rfile.read()  # until they have seen it
                        break

    def answer(self, mailboxes, line):
        tag, verb, *rest = line.split(" ", 2)
        if verb.upper() == "CAPABILITY":
            self.say(f"* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ {mailboxes.offers}")
        elif verb.upper() in ("LOGIN", "AUTHENTICATE"):
            mailboxes.note(" ".join(rest), self.client_address)
            mailboxes.answers.wait()
            if not mailboxes.lets_in(" ".join(rest)):
                self.say(f"{tag} NO [AUTHENTICATIONFAILED] no")
                return
        elif verb.upper() == "FETCH":
            self.say(mailboxes.fetched)
            return
        self.say(f"{tag} OK done")


class Mailboxes:
    def __init__(self, port, lets_in=lambda said: True, offers="AUTH=PLAIN", context=None):
        self.lets_in, self.offers, self.lock = lets_in, offers, threading.Lock()
        self.greets, self.answers = threading.Event(), threading.Event()
        self.greets.set()
        self.answers.set()
        self.leaves = lambda line: False  # behind its answer to that
        self.talks = []  # the lines of each connection
        self.fetched = ""  # what is said to FETCH, and nothing more
        self.said = []  # what was said to log in, in the order in which it came
        self.came = []  # connections, in the order in which they came
        self.said_by = {}  # what each of them said to log in
        self.there = set()

        mailboxes = self

        class TCP(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            request_queue_size = 1024

            def get_request(self):
                one, who = super().get_request()
                mailboxes.came.append(who)
                return (context.wrap_socket(one, server_side=True) if context else one), who

        self.server = TCP(("127.0.0.1", port), Talk)
        self.server.mailboxes = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def note(self, said, who):
        with self.lock:
            self.said.append(said)
            self.said_by[who] = said

    def talk(self):
        with self.lock:
            self.talks.append([])
            return self.talks[-1]

    @contextlib.contextmanager
    def here(self, connection):
        with self.lock:
            self.there.add(connection)
        try:
            yield
        finally:
            with self.lock:
                self.there.discard(connection)

    def cut(self):
        """Everybody at once."""
        with self.lock:
            for connection in self.there:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.greets.set()
        self.answers.set()
        self.server.shutdown()
        self.server.server_close()
        self.cut()
