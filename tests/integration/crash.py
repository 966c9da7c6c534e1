"""A crowd of senders that remembers what was acknowledged, and a judge of what arrived."""
import collections
import contextlib
import random
import re
import smtplib
import threading
import time

from conftest import PATIENCE, wait_for

SIZES = [200, 3000, 20000, 90000, 300000]


def message(token, size):
    line = f"{token} ".encode() * (70 // (len(token) + 1)) + b"\r\n"
    body = line * (size // len(line) + 1)
    return (f"From: sender@client.example\r\nX-Token: {token}\r\nX-Length: {len(body)}\r\n\r\n".encode() + body)


def judged(raw):
    """The token of a message, and whether all of it is there."""
    raw = raw.replace(b"\r\n", b"\n")
    head = re.search(rb"^X-Token: (\S+)\nX-Length: (\d+)\n\n", raw, re.M)
    if not head:
        return None, False
    token, length = head[1].decode(), int(head[2])
    body = raw[head.end():]
    whole = len(body) + body.count(b"\n") == length
    return token, whole and set(body.replace(b"\n", b" ").split()) == {token.encode()}


class Crowd:
    """far: a next hop (hops.Hop) to which an alias of ours, far@example.test, forwards."""

    def __init__(self, server, seed, senders=6, far=None):
        self.server = server
        self.far = far
        self.rcpts = ["alice", "bob"] + ["far"] * (2 if far else 0)
        self.kills = []  # when
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
                    if s.rcpt(f"{rand.choice(self.rcpts)}@example.test")[0] != 250:
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
        self.kills.append(time.monotonic())
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
                token, whole = judged(raw)
                tokens[token] += 1
                if not whole:
                    torn.append(raw[:200])
        return tokens, torn

    def found_far(self):
        """Of each that was taken by the next hop, from when to when it came, and what was torn."""
        times, torn = collections.defaultdict(list), []
        if not self.far:
            return times, torn
        with self.far.lock:
            taken = list(zip(self.far.times, self.far.taken))
        for when, (_, _, raw) in taken:
            token, whole = judged(raw)
            times[token].append(when)
            if not whole:
                torn.append(raw[:200])
        return times, torn

    def judge(self):
        def all_there():
            tokens, _ = self.found()
            times, _ = self.found_far()
            return all(tokens[t] or times[t] for t in list(self.acknowledged))
        wait_for("all acknowledged messages to be delivered", all_there)
        tokens, torn = self.found()
        times, torn_far = self.found_far()
        assert self.count > 0
        assert not torn + torn_far, (torn + torn_far)[:3]
        twice = {t: n for t, n in tokens.items() if n > 1 and t not in self.unsure}
        assert not twice, f"delivered more than once though the answer was read: {twice}"
        self.judge_far(times)
        print(f"{self.count} acknowledged, {len(self.unsure)} unsure, {sum(tokens.values())} delivered, "
              f"{sum(map(len, times.values()))} to the next hop, of these twice "
              f"{sum(len(w) - 1 for w in times.values())} after {len(self.kills)} kills")

    def judge_far(self, times):
        """SMTP cannot tell an answer that was lost from none (RFC 5321, 4.5.3.2.6): where one
        of us was killed between the two there may be a second copy, and only there. The next hop
        is of this process: what has come may wait here until after the kill before it is taken."""
        for token, whens in times.items():
            for (began, _), (_, second) in zip(whens, whens[1:]):
                assert token in self.unsure or any(began - 1 < k < second for k in self.kills), \
                    f"{token} went out twice, and nobody was killed between"
