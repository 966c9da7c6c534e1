"""A crowd of senders that remembers what was acknowledged, and a judge of what arrived."""
import collections
import contextlib
import random
import re
import smtplib
import threading

from conftest import PATIENCE, wait_for

SIZES = [200, 3000, 20000, 90000, 300000]


def message(token, size):
    line = f"{token} ".encode() * (70 // (len(token) + 1)) + b"\r\n"
    body = line * (size // len(line) + 1)
    return (f"From: sender@client.example\r\nX-Token: {token}\r\nX-Length: {len(body)}\r\n\r\n".encode() + body)


class Crowd:
    def __init__(self, server, seed, senders=6):
        self.server = server
        self.random = random.Random(seed)
        self.acknowledged = {}	# token -> True
        self.unsure = set()	# the connection died before the answer was read
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.count = 0
        self.threads = [threading.Thread(target=self.send_on, args=(n,), daemon=True) for n in range(senders)]
        for t in self.threads:
            t.start()

    def send_on(self, number):
        rand = random.Random(number)
        serial = 0
        while not self.stopping.is_set():
            token = f"t{number}x{serial}y{rand.randrange(10**6)}"
            serial += 1
            self.send_until_acknowledged(token, message(token, rand.choice(SIZES)), rand)

    def send_until_acknowledged(self, token, text, rand):
        while not self.stopping.is_set():
            sent_all = False
            try:
                with self.server.smtp(local_hostname="client.example") as s:
                    s.ehlo()
                    s.mail("sender@client.example")
                    if s.rcpt(f"{rand.choice(['alice', 'bob'])}@example.test")[0] != 250:
                        continue
                    sent_all = True
                    code, _ = s.data(text)
                    if code == 250:
                        with self.lock:
                            self.acknowledged[token] = True
                            self.count += 1
                        with contextlib.suppress(OSError, smtplib.SMTPException):
                            s.quit()
                        return
            except (OSError, smtplib.SMTPException):
                if sent_all:
                    with self.lock:
                        self.unsure.add(token)

    def progressed(self, by):
        with self.lock:
            goal = self.count + by
        wait_for(f"{by} more acknowledgements\n{self.server.log()[-3000:]}", lambda: self.count >= goal)

    def kill_at_a_random_instant(self, victims):
        self.progressed(self.random.randrange(1, 40))
        pause = threading.Event()
        pause.wait(self.random.random() * 0.05)
        if victims == ["everything"]:
            self.server.kill_everything()
            self.server.start()
        else:
            for role in victims:
                self.server.kill_role(role)
        self.progressed(1)

    def finish(self):
        self.progressed(10)

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(PATIENCE)

    def found(self):
        tokens = collections.Counter()
        torn = []
        for user in ("alice", "bob"):
            for raw in self.server.messages(user):
                raw = raw.replace(b"\r\n", b"\n")
                head = re.search(rb"^X-Token: (\S+)\nX-Length: (\d+)\n\n", raw, re.M)
                if not head:
                    torn.append(raw[:200])
                    continue
                token, length = head[1].decode(), int(head[2])
                body = raw[head.end():]
                whole = len(body) + body.count(b"\n") == length
                if not whole or set(body.replace(b"\n", b" ").split()) != {token.encode()}:
                    torn.append(raw[:200])
                tokens[token] += 1
        return tokens, torn

    def judge(self):
        def all_there():
            tokens, _ = self.found()
            return all(tokens[t] for t in list(self.acknowledged))
        wait_for("all acknowledged messages to be in the Maildirs", all_there)
        tokens, torn = self.found()
        assert self.count > 0
        assert not torn, torn[:3]
        twice = {t: n for t, n in tokens.items() if n > 1 and t not in self.unsure}
        assert not twice, f"delivered more than once though the answer was read: {twice}"
        print(f"{self.count} acknowledged, {len(self.unsure)} unsure, {sum(tokens.values())} delivered")
