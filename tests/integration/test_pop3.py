"""POP3 from the Maildirs that we deliver to: with real clients, while mail comes and others look."""
import contextlib
import email
import json
import os
import pathlib
import poplib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

from conftest import PATIENCE, ROLE_IDS, Server, free_port, wait_for
from test_powercut import PowerFs, needs_powerfs

HOST = "127.0.0.1"
HOWS = pytest.mark.parametrize("how", ["plain", "stls", "tls"])
USERS = [f"u{n}" for n in range(50)]


def make_server(home, users, settings="", dir=None):
    p = {"smtp": free_port(), "pop3": free_port(), "pop3s": free_port()}
    server = Server(home, tls=True, users=users, dir=dir,
                    settings='auth: { delay = "0s"; };\n' + settings, listen=f"""listen = (
      {{ address = "{HOST}:{p['smtp']}"; service = "smtp"; }},
      {{ address = "{HOST}:{p['pop3']}"; service = "pop3"; tls = "starttls"; }},
      {{ address = "{HOST}:{p['pop3s']}"; service = "pop3"; tls = "implicit"; }} );""")
    server.port, server.ports = p["smtp"], p
    return server


def judge(server):
    if server.process.poll() is None:
        server.stop()
    for line in server.log().splitlines():
        assert "AddressSanitizer" not in line and "runtime error" not in line, line


@pytest.fixture(scope="module")
def house():
    """One server for most tests; each has a user of its own."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    home.chmod(0o755)
    server = make_server(home, USERS)
    server.free = iter(USERS)
    try:
        yield server.start()
        judge(server)
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def user(house):
    return next(house.free)


@pytest.fixture
def own(home):
    """A server that may be killed."""
    server = make_server(home, ["alice", "bob"])
    yield server.start()
    judge(server)


def trusting(server):
    context = ssl.create_default_context(cafile=server.cert)
    context.check_hostname = False
    return context


def connect(server, how="plain"):
    if how == "tls":
        return poplib.POP3_SSL(HOST, server.ports["pop3s"], timeout=PATIENCE, context=trusting(server))
    client = poplib.POP3(HOST, server.ports["pop3"], timeout=PATIENCE)
    if how == "stls":
        client.stls(trusting(server))
    return client


def log_in(server, user, how="plain"):
    client = connect(server, how)
    client.user(f"{user}@example.test")
    client.pass_(server.password)
    return client


def body(n, more=b""):
    return (b"From: a@client.example\r\nSubject: %d\r\n\r\n" % n +
            b"line of %d\r\n.\r\n..two dots\r\n.hidden\r\n\r\n" % n + more + b"end\r\n")


def deliver(server, user, *numbers, more=b""):
    have = len(server.messages(user))
    with server.smtp() as s:
        for n in numbers:
            s.sendmail("a@client.example", [f"{user}@example.test"], body(n, more))
    server.wait_messages(user, have + len(numbers))


def wait_noted(server):
    """A message that is in the Maildir, but not yet noted as delivered, is delivered again by the next store."""
    wait_for("the queue to be empty",  # watch may not have met this store yet
             lambda: server.cli("mailq", check=False).stdout == "Mail queue is empty\n")


def put(server, user, folder="new", owner=ROLE_IDS["store"], **files):
    """Files that others have put there."""
    box = server.maildir(user)
    # with those above it: a domain of root's would take no mail for any other user
    for part in (box.parent, box, box / "new", box / "cur", box / "tmp"):
        part.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.chown(part, owner, owner)
    for name, content in files.items():
        (box / folder / name).write_bytes(content)


def number_of(lines):
    return int(email.message_from_bytes(b"\n".join(lines))["Subject"])


def numbers_in(client):
    return {number_of(client.retr(i + 1)[1]): i + 1 for i in range(client.stat()[0])}


def text_of(lines):
    """What was sent: behind the fields that we put in front."""
    whole = b"".join(line + b"\r\n" for line in lines)
    return whole[whole.index(b"From: a@"):]


def uids(client):
    return [line.split()[1] for line in client.uidl()[1]]


# ---- what it is for

@HOWS
def test_mail_is_read_and_deleted_while_other_mail_is_delivered(house, user, how):
    deliver(house, user, 1, 2, 3)
    client = log_in(house, user, how)
    count, size = client.stat()
    rows = [tuple(map(int, row.split())) for row in client.list()[1]]
    assert count == len(rows) == 3 and sum(r[1] for r in rows) == size
    assert len(set(uids(client))) == 3
    at = numbers_in(client)
    assert sorted(at) == [1, 2, 3]
    for number, i in at.items():
        reply, lines, octets = client.retr(i)
        assert text_of(lines) == body(number)
        # what LIST says is what comes: poplib counts doubled dots once
        assert rows[i - 1][1] == sum(len(line) + 2 for line in lines)
        assert str(rows[i - 1][1]).encode() in reply
    header = client.top(1, 1)[1]
    assert header[-1].startswith(b"line of") and header[-2] == b""
    deliver(house, user, 4)
    client.dele(at[1])
    client.dele(at[3])
    assert client.stat()[0] == 1
    with pytest.raises(poplib.error_proto, match="No such message"):
        client.retr(at[1])
    kept = uids(client)
    assert client.quit().startswith(b"+OK")
    house.wait_messages(user, 2)
    client = log_in(house, user, how)
    assert sorted(numbers_in(client)) == [2, 4]
    assert kept[0] in uids(client)
    client.quit()


def test_what_is_deleted_without_quit_stays_and_rset_takes_it_back(house, user):
    deliver(house, user, 1, 2)
    client = log_in(house, user)
    client.dele(1)
    client.dele(2)
    assert client.stat() == (0, 0)
    client.rset()
    assert client.stat()[0] == 2
    client.dele(1)
    client.close()  # hangs up
    assert len(house.messages(user)) == 2
    client = wait_for("the box to be free", lambda: try_log_in(house, user))
    assert client.stat()[0] == 2
    client.quit()


def try_log_in(server, user):
    with contextlib.suppress(poplib.error_proto, OSError):
        return log_in(server, user)


def test_one_session_at_a_time(house, user):
    deliver(house, user, 1)
    first = log_in(house, user)
    second = connect(house)
    second.user(f"{user}@example.test")
    with pytest.raises(poplib.error_proto, match=r"-ERR \[IN-USE\]"):
        second.pass_(house.password)
    first.quit()
    second.user(f"{user}@example.test")
    second.pass_(house.password)
    assert second.stat()[0] == 1
    second.quit()


def test_the_mailbox_is_free_once_quit_is_answered(house, user):
    for _ in range(100):  # whichever worker has the next one
        log_in(house, user).quit()


def test_a_new_user_has_an_empty_mailbox(house, user):
    client = log_in(house, user)
    assert client.stat() == (0, 0) and client.list()[1] == [] and client.uidl()[1] == []
    client.quit()


# ---- programs

def run(*words, env=None, input=None):
    got = subprocess.run([str(w) for w in words], capture_output=True, timeout=PATIENCE, input=input,
                         env={**os.environ, **(env or {})})
    assert got.returncode == 0, got.stdout + got.stderr
    return got.stdout


@HOWS
def test_curl(house, user, how):
    deliver(house, user, 1, 2)
    more = {"plain": ["-u"], "stls": ["--ssl-reqd", "-k", "-u"], "tls": ["-k", "-u"]}[how]
    where = f"pop3s://{HOST}:{house.ports['pop3s']}" if how == "tls" else f"pop3://{HOST}:{house.ports['pop3']}"
    who = [*more, f"{user}@example.test:{house.password}"]
    assert run("curl", "-sS", *who, f"{where}/").count(b"\r\n") == 2
    got = {n: run("curl", "-sS", *who, f"{where}/{n}") for n in (1, 2)}
    assert sorted(g[g.index(b"From: a@"):] for g in got.values()) == [body(1), body(2)]
    run("curl", "-sS", *who, "-X", "DELE", "-I", f"{where}/1")
    assert len(house.messages(user)) == 1


@HOWS
def test_fetchmail(house, user, how, tmp_path):
    if not shutil.which("fetchmail"):
        pytest.skip("fetchmail is not installed")
    deliver(house, user, 1, 2, 3)
    tls = {"plain": 'sslproto ""', "stls": "sslproto tls1.2+ no sslcertck", "tls": "ssl no sslcertck"}[how]
    port = house.ports["pop3s" if how == "tls" else "pop3"]
    rc, out = tmp_path / "rc", tmp_path / "got"
    rc.write_text(f'poll {HOST} protocol pop3 port {port} uidl\n'
                  f' user "{user}@example.test" password "{house.password}" {tls} keep\n'
                  f' mda "cat >> {out}"\n')
    rc.chmod(0o600)
    env = {"HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path)}
    # its own: root has one pid file for the whole machine
    words = ["fetchmail", "-f", rc, "--nobounce", "--pidfile", tmp_path / "pid"]
    run(*words, env=env)
    assert sorted(map(int, re.findall(rb"^Subject: (\d+)", out.read_bytes(), re.M))) == [1, 2, 3]
    deliver(house, user, 4)
    run(*words, env=env)  # only what it has not seen
    assert sorted(map(int, re.findall(rb"^Subject: (\d+)", out.read_bytes(), re.M))) == [1, 2, 3, 4]
    rc.write_text(rc.read_text().replace(" keep", " fetchall no keep"))
    run(*words, env=env)
    assert house.messages(user) == []


# ---- Maildirs that others have filled

def test_ten_thousand_messages(house, user):
    put(house, user, **{f"{1600000000 + n}.M{n}P1.other": body(n) for n in range(10000)})
    client = log_in(house, user)
    assert client.stat() == (10000, sum(len(body(n)) for n in range(10000)))
    rows = client.list()[1]
    assert len(rows) == 10000 and rows[9999].split() == [b"10000", b"%d" % len(body(9999))]
    assert len(set(uids(client))) == 10000
    for n in (0, 4999, 9999):
        assert number_of(client.retr(n + 1)[1]) == n
    for n in range(1, 10001, 2):
        client.dele(n)
    client.quit()
    assert len(list((house.maildir(user) / "new").iterdir())) == 5000
    client = log_in(house, user)
    assert client.stat()[0] == 5000 and number_of(client.retr(5000)[1]) == 9999
    client.quit()


def test_a_uidl_survives_moves_flags_and_a_restart(own):
    deliver(own, "alice", 1, 2, 3)
    client = log_in(own, "alice")
    before = uids(client)
    box = own.maildir("alice")
    for path in (box / "new").iterdir():
        path.rename(box / "cur" / f"{path.name}:2,S")
    assert number_of(client.retr(2)[1]) in (1, 2, 3)  # found where it is now
    client.quit()
    own.stop()
    own.start()
    client = log_in(own, "alice")
    assert uids(client) == before
    client.dele(2)
    for path in (box / "cur").iterdir():
        path.rename(box / "cur" / path.name.replace(":2,S", ":2,RS"))
    client.quit()
    client = log_in(own, "alice")
    assert uids(client) == [before[0], before[2]]
    client.quit()


def test_what_vanishes_meanwhile_is_missed_and_no_more(house, user):
    deliver(house, user, 1, 2, 3)
    client = log_in(house, user)
    at = numbers_in(client)
    for path in (house.maildir(user) / "new").iterdir():
        if b"Subject: 2\n" in path.read_bytes():
            path.unlink()
    with pytest.raises(poplib.error_proto, match="not there any more"):
        client.retr(at[2])
    assert number_of(client.retr(at[3])[1]) == 3
    client.dele(at[2])
    client.dele(at[1])
    assert client.quit().startswith(b"+OK")
    assert len(house.messages(user)) == 1


def restless(box, stop):
    """Another reader: moves what is new, and changes flags all the time."""
    while not stop.is_set():
        for path in (box / "new").iterdir():
            with contextlib.suppress(FileNotFoundError):
                path.rename(box / "cur" / f"{path.name}:2,")
        for path in (box / "cur").iterdir():
            name, flags = path.name.split(":2,")
            with contextlib.suppress(FileNotFoundError):
                path.rename(box / "cur" / f"{name}:2,{'' if flags else 'S'}")


def test_another_reader_and_deliveries_at_the_same_time(house, user):
    put(house, user, **{f"{1600000000 + n}.M{n}P1.other": body(n) for n in range(300)})
    stop = threading.Event()
    reader = threading.Thread(target=restless, args=(house.maildir(user), stop))
    client = log_in(house, user)
    reader.start()
    try:
        for n in range(300):
            assert number_of(client.retr(n + 1)[1]) == n
        with house.smtp() as s:
            for n in range(300, 310):
                s.sendmail("a@client.example", [f"{user}@example.test"], body(n))
        for n in range(1, 301, 2):
            client.dele(n)
        assert client.quit().startswith(b"+OK")
    finally:
        stop.set()
        reader.join()
    left = wait_for("all mail", lambda: len(house.messages(user)) == 160 and house.messages(user))
    assert sorted(int(email.message_from_bytes(m)["Subject"]) for m in left) == [*range(1, 300, 2), *range(300, 310)]


def test_garbage_in_the_maildir_harms_nobody(house, user):
    long = "1" + "x" * 250
    names = ["with space", "\udcff\x01", ",S=9", ":2,S", "-", "99999999999999999999999.a", long,
             "1.a,S=999999999999999999999,W=-5", "2.b,W=0"]
    put(house, user, **{name: body(n) for n, name in enumerate(names)})
    box = house.maildir(user)
    (box / "new" / "directory").mkdir()
    os.symlink("/etc/passwd", box / "new" / "link")
    os.mkfifo(box / "new" / "pipe")
    (box / "new" / ".hidden").write_bytes(b"x")
    (box / "new" / "empty").write_bytes(b"")
    client = log_in(house, user)
    assert client.stat()[0] == len(names) + 1
    found = uids(client)
    assert len(set(found)) == len(names) + 1
    assert all(re.fullmatch(rb"[\x21-\x7e]{1,70}", u) for u in found)
    numbers = []
    for i in range(len(names) + 1):
        lines = client.retr(i + 1)[1]
        numbers += [number_of(lines)] if lines else []
        client.dele(i + 1)
    assert sorted(numbers) == list(range(len(names)))
    client.quit()
    assert sorted(p.name for p in (box / "new").iterdir()) == [".hidden", "directory", "link", "pipe"]


def test_odd_bytes_come_as_they_are(house, user):
    raw = b"Subject: 1\n\n\n.\n.\rx\n\x00\xff\n" + b"y" * 70000 + b"\nlast\r"
    put(house, user, **{"1.odd": raw})
    t = Talk(house)
    t.sock.sendall(b"USER %s@example.test\r\nPASS %s\r\nRETR 1\r\nQUIT\r\n"
                   % (user.encode(), house.password.encode()))
    said = t.file.read()
    text = said[said.index(b"octets\r\n") + 8:said.rindex(b".\r\n+OK Bye")]
    assert text == b"Subject: 1\r\n\r\n\r\n..\r\n..\rx\r\n\x00\xff\r\n" + b"y" * 70000 + b"\r\nlast\r\n"
    t.close()


# ---- a client that is slow, and others meanwhile

def test_who_does_not_read_makes_nobody_wait(house, user):
    other = next(house.free)
    deliver(house, other, 1)
    put(house, user, **{"1.big": b"Subject: 7\n\n" + (b"x" * 70 + b"\n") * 400000})
    with socket.create_connection((HOST, house.ports["pop3"]), PATIENCE) as s:
        s.sendall(b"USER %s@example.test\r\nPASS %s\r\nRETR 1\r\nQUIT\r\n"
                  % (user.encode(), house.password.encode()))
        with s.makefile("rb") as f:
            assert [f.readline()[:3] for _ in range(4)] == [b"+OK"] * 4
            for _ in range(5):
                client = log_in(house, other)
                assert number_of(client.retr(1)[1]) == 1
                client.quit()
            lines = iter(f.readline, b".\r\n")
            assert sum(len(line) for line in lines) == 400000 * 72 + 14
            assert f.readline().startswith(b"+OK") and f.readline() == b""


# ---- the dialogue

class Talk:
    def __init__(self, server, source=HOST):
        self.sock = socket.create_connection((HOST, server.ports["pop3"]), PATIENCE, (source, 0))
        self.file = self.sock.makefile("rb")
        self.greeting = self.line()

    def line(self):
        try:
            return self.file.readline()
        except ConnectionResetError:
            return b""

    def ask(self, text):
        self.sock.sendall(text + b"\r\n")
        return self.line()

    def many(self, text):
        assert self.ask(text).startswith(b"+OK")
        return list(iter(lambda: self.line().rstrip(b"\r\n"), b"."))

    def close(self):
        self.file.close()
        self.sock.close()


def test_who_is_kicked_in_the_middle_of_a_message_finds_no_word_of_ours_in_it(house, user):
    put(house, user, **{f"1.{user}.big": b"Subject: big\r\n\r\n" + b"no word of yours\r\n" * 2_000_000})
    client = log_in(house, user)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # whatever the machine's are
    client.sock.sendall(b"RETR 1\r\n")
    assert client.file.readline().startswith(b"+OK")

    def mine():
        rows = map(json.loads, house.cli("sessions", "--json").splitlines())
        return [row for row in rows if row.get("user") == f"{user}@example.test" and row["state"] != "leaves"]

    house.cli("kick", wait_for("the session to be shown", mine)[0]["session"])
    wait_for("the session to end", lambda: not mine())
    heard = b""
    with contextlib.suppress(ConnectionError):  # ours ends soon, however far it got
        while more := client.file.read1(1 << 20):
            heard += more
    client.close()
    assert b"-ERR" not in heard and not heard.endswith(b"\r\n.\r\n"), heard[-200:]


def test_pipelined_commands_are_all_answered(house, user):
    deliver(house, user, 1, 2)
    t = Talk(house)
    t.sock.sendall(b"CAPA\r\nUSER %s@example.test\r\nPASS %s\r\nSTAT\r\nUIDL 2\r\nRETR 1\r\nRETR 2\r\n"
                   b"TOP 1 0\r\nDELE 1\r\nNOOP\r\nQUIT\r\n" % (user.encode(), house.password.encode()))
    said = t.file.read()
    assert said.count(b"\r\n.\r\n") == 4 and b"-ERR" not in said
    assert said.endswith(b"+OK OK\r\n+OK OK\r\n+OK Bye\r\n")
    assert len(house.messages(user)) == 1
    t.close()


def test_capabilities(house, user):
    t = Talk(house)
    before = t.many(b"CAPA")
    assert {b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"USER", b"STLS",
            b"UTF8 USER"} <= set(before)
    assert any(c.startswith(b"SASL PLAIN") for c in before)
    assert t.ask(b"UTF8").startswith(b"+OK")
    assert t.ask(b"APOP a 00000000000000000000000000000000").startswith(b"-ERR")
    assert t.ask(b"STAT").startswith(b"-ERR")
    assert t.ask(b"USER %s@example.test" % user.encode()).startswith(b"+OK")
    assert t.ask(b"PASS %s" % house.password.encode()).startswith(b"+OK")
    after = t.many(b"CAPA")
    assert b"USER" not in after and b"STLS" not in after and b"UIDL" in after
    assert t.ask(b"QUIT").startswith(b"+OK")
    t.close()


def test_sasl_with_and_without_an_initial_response(house, user):
    import base64
    plain = base64.b64encode(b"\0%s@example.test\0%s" % (user.encode(), house.password.encode()))
    t = Talk(house)
    assert t.ask(b"AUTH PLAIN " + plain).startswith(b"+OK")
    assert t.ask(b"QUIT").startswith(b"+OK")
    t.close()
    t = Talk(house)
    assert t.ask(b"AUTH PLAIN") == b"+ \r\n"
    assert t.ask(b"*").startswith(b"-ERR")
    assert t.ask(b"AUTH PLAIN") == b"+ \r\n"
    assert t.ask(plain).startswith(b"+OK")
    assert t.ask(b"QUIT").startswith(b"+OK")
    t.close()


def test_a_wrong_password_is_told_with_a_code(house, user):
    client = connect(house)
    client.user(f"{user}@example.test")
    with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\]"):
        client.pass_("wrong")
    client.user(f"{user}@example.test")
    client.pass_(house.password)
    client.quit()


def test_what_is_sent_behind_stls_in_the_clear_ends_the_session(house):
    t = Talk(house)
    t.sock.sendall(b"STLS\r\nUSER mallory@example.test\r\n")
    assert t.line().startswith(b"-ERR")
    assert t.line() == b""
    t.close()


BAD = {
    "NUL": b"USER a\0b\r\n" * 30,
    "bare LF": b"USER a\nPASS b\n" * 2000 + b"\r\n",
    "binary": bytes(range(256)) * 400 + b"\r\n",
    "a name of 12 KB": b"USER " + b"a" * 12000 + b"\r\nPASS b\r\n",
    "a password of 12 KB": b"USER a\r\nPASS " + b"b" * 12000 + b"\r\n",
    "a line of 2 MB": b"x" * 2000000 + b"\r\n",
    "numbers": b"USER a\r\n" * 200,
    "the web": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "base64 that is none": b"AUTH PLAIN !!!!\r\n" * 30,
    "a long exchange": b"AUTH PLAIN\r\n" + b"QUFB" * 4000 + b"\r\n",
}


@pytest.mark.parametrize("what", BAD, ids=str)
def test_bad_input_is_refused_and_harms_nobody(house, user, what):
    t = Talk(house)
    with contextlib.suppress(ConnectionError):
        t.sock.sendall(BAD[what])
        t.sock.shutdown(socket.SHUT_WR)
        said = t.file.read()
        assert b"-ERR" in said and len(said) < 65536
    t.close()
    log_in(house, user).quit()
    assert "trouble" not in house.log() and "died" not in house.log()


BAD_NUMBERS = [b"RETR", b"RETR 0", b"RETR 2", b"RETR -1", b"RETR 1 1", b"RETR 4294967297", b"RETR 99999999999999999999",
               b"TOP 1", b"TOP 1 -1", b"TOP 1 x", b"DELE 0", b"DELE 2", b"LIST 0", b"LIST 2", b"UIDL x", b"RETR 0x1"]


def test_numbers_that_are_none_are_refused(house, user):
    deliver(house, user, 1)
    for part in (BAD_NUMBERS[:8], BAD_NUMBERS[8:]):
        t = Talk(house)
        assert t.ask(b"USER %s@example.test" % user.encode()).startswith(b"+OK")
        assert t.ask(b"PASS %s" % house.password.encode()).startswith(b"+OK")
        for command in part:
            assert t.ask(command).startswith(b"-ERR"), command
        assert t.ask(b"STAT").startswith(b"+OK 1 ")
        assert t.ask(b"QUIT").startswith(b"+OK")
        t.close()
    assert len(house.messages(user)) == 1


def test_who_is_refused_at_connect_hears_it_in_pop3(home):
    server = make_server(home, ["alice"], 'guard: { mode = "enforce"; };').start()
    server.cli("ban", "127.0.0.9", "--for", "1h", "--force")

    def refused():
        t = Talk(server, "127.0.0.9")
        t.close()
        return t.greeting if t.greeting.startswith(b"-ERR") else None
    assert re.fullmatch(rb"-ERR \[SYS/PERM\] Refused by policy \[O[0-9A-Z]{6}\]\r\n",
                        wait_for("the ban to hold", refused))
    log_in(server, "alice").quit()
    judge(server)


# ---- when parts of us die

def test_a_dead_edge_lets_go_of_its_box(own):
    deliver(own, "alice", 1)
    client = log_in(own, "alice")
    client.dele(1)
    own.kill_role("edge")
    again = wait_for("the box to be free", lambda: try_log_in(own, "alice"))
    assert again.stat()[0] == 1
    again.quit()


def test_a_session_outlives_the_store(own):
    deliver(own, "alice", 1, 2, 3)
    wait_noted(own)
    client = log_in(own, "alice")
    at = numbers_in(client)
    box = own.maildir("alice")
    own.kill_role("store")
    assert number_of(client.retr(at[3])[1]) == 3  # of its successor
    put(own, "alice", **{"1.earlier": body(0)})  # numbers stay those of this session
    own.kill_role("store")
    assert number_of(client.retr(at[2])[1]) == 2
    client.dele(at[1])
    client.dele(at[3])
    own.kill_role("store")
    assert client.quit().startswith(b"+OK")
    assert len(list((box / "new").iterdir())) == 2
    again = wait_for("the edge that has it to know the store", lambda: try_log_in(own, "alice"))
    assert sorted(numbers_in(again)) == [0, 2]
    again.quit()


def test_logins_go_on_over_a_restart_of_auth_and_of_the_store_and_an_upgrade(own):
    """What auth vouches for, the store believes: both keep the key, whoever of them is replaced."""
    deliver(own, "alice", 1)

    def reads(when):
        client = wait_for(f"a login {when}", lambda: try_log_in(own, "alice"))
        assert client.stat()[0] == 1
        return client

    reads("at first").quit()
    own.kill_role("auth")
    reads("with another auth").quit()
    own.kill_role("store")
    reads("with another store").quit()
    own.cli("upgrade")
    own.wait_log(r"the old program's roles have all ended")
    reads("with the new program").quit()
    own.kill_role("auth")
    reads("with another auth of the new program").quit()
    assert "log=link-broken" not in own.log()


def test_a_crash_at_quit_loses_nothing_and_keeps_no_promise_half(own):
    """Kill the store at many moments around QUIT: only what was marked may go, and +OK means gone."""
    for round in range(6):
        have = len(own.messages("bob"))
        for path in (own.maildir("bob") / "new").iterdir() if have else ():
            path.unlink()
        deliver(own, "bob", *range(20))
        wait_noted(own)
        client = wait_for("a session", lambda: try_log_in(own, "bob"))
        at = numbers_in(client)
        for n in range(10):
            client.dele(at[n])
        killer = threading.Timer(0.0004 * round, own.kill_role, ["store"])
        killer.start()
        try:
            said = client.quit()
        except (poplib.error_proto, OSError) as e:
            said = e.args[0] if isinstance(e.args[0], bytes) else b""
        killer.join()
        left = {int(email.message_from_bytes(m)["Subject"]) for m in own.messages("bob")}
        assert left >= set(range(10, 20))
        if said.startswith(b"+OK"):
            assert left == set(range(10, 20))
        own.wait_ready()


@needs_powerfs
@pytest.mark.parametrize("seed", range(3))
def test_what_quit_has_removed_stays_removed_when_the_power_is_cut(home, seed):
    disk = PowerFs(home, seed)
    try:
        server = make_server(home, ["alice"], dir=disk.mount / "data").start()
        deliver(server, "alice", *range(20))
        wait_noted(server)
        client = log_in(server, "alice")
        at = numbers_in(client)
        for n in range(10):
            client.dele(at[n])
        assert client.quit().startswith(b"+OK")
        disk.cut()
        server.kill_everything()
    finally:
        disk.close()
    server.dir = disk.after / "data"
    server.config.write_text(server.config.read_text().replace(str(disk.mount), str(disk.after)))
    server.start()
    client = log_in(server, "alice")
    assert sorted(numbers_in(client)) == list(range(10, 20))
    client.quit()
    judge(server)
