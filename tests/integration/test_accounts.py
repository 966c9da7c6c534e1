"""Who guesses passwords, and who only has an old one: on a real server, from any address there is.

Rules and whole attacks are in tests/unit/test_accounts*.c, in virtual time; here it is shown that what they
judge is what happens: through edge and auth, over the death of auth, a reload and an upgrade.
"""
import base64
import json

import pytest

from conftest import Server, Talk, free_port, wait_for

SETTINGS = """
auth: { delay = "0s"; delay-max = "1s"; without-tls = true; guarded-at = 4; campaign-at = 5; tell-owner = false;
        traps = [ "oracle" ]; };
guard: { mode = "enforce"; lookups = false; connect-rate = 0; ban-at = 100000; ban-history-at = 100000;
         late-at = 100000; delay-at = 100000; };
firewall: { enabled = false; };
proxy-from = [ "127.0.0.0/8" ];
"""


class Client(Talk):
    def __init__(self, server, address, helo):
        super().__init__(server.submission)
        self.send(f"PROXY TCP4 {address} 203.0.113.1 40000 587\r\n")
        assert self.reply().startswith(b"220")
        assert self.ask(f"EHLO {helo}").startswith(b"250")


def log_in(server, address, user, password, helo="laptop.example"):
    """The code of the answer; 0: the connection was refused."""
    plain = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    try:
        client = Client(server, address, helo)
    except (AssertionError, ConnectionError):
        return 0
    answer = client.ask(f"AUTH PLAIN {plain}")
    client.close()
    return int(answer[:3] or 0)


def parts(server, user):
    found = {}
    for line in server.cli("explain", user, "--json").splitlines():
        row = json.loads(line)
        found.setdefault(row["part"], row)
    return found


def rows(server, *words):
    return [json.loads(line) for line in server.cli(*words, "--json").splitlines()]


@pytest.fixture
def server(home):
    ports = free_port(), free_port()
    listen = (f'listen = ( {{ address = "127.0.0.1:{ports[0]}"; service = "smtp"; }},'
              f' {{ address = "127.0.0.1:{ports[1]}"; service = "submission"; proxy = true; }} );')
    made = Server(home, listen=listen, settings=SETTINGS)
    made.port, made.submission = ports
    made.start()
    for user in ("alice", "bob"):
        made.cli("user", "passwd", f"{user}@example.test", "--password", f"secret of {user}")
    yield made
    if made.process and made.process.poll() is None:
        made.stop()


def guess(server, n, helo, user="alice@example.test", first=0):
    return [log_in(server, f"11.{i}.0.9", user, f"guess {i}", helo(i)) for i in range(first, first + n)]


def test_an_account_that_is_guessed_at_lets_its_owner_in(server):
    assert log_in(server, "192.0.2.7", "alice@example.test", "secret of alice") == 235
    assert guess(server, 6, lambda i: f"bot{i}.example") == [535] * 6
    told = parts(server, "alice@example.test")
    assert told["verdict"]["guarded"] and told["verdict"]["lift"] == "holdfast user unguard alice@example.test"
    assert told["diagnosis"]["is"] == "guesser"
    assert told["history"]["known-devices"] == 1 and told["history"]["different-wrong-passwords"] == 6
    # from where she is known, and from where she never was
    assert log_in(server, "192.0.2.7", "alice@example.test", "secret of alice") == 235
    assert log_in(server, "198.51.100.7", "alice@example.test", "secret of alice", "hotel.example") == 235
    # the memory is nobody's who can die
    server.kill_role("auth")
    wait_for("another auth", lambda: log_in(server, "192.0.2.7", "alice@example.test", "secret of alice") == 235)
    told = parts(server, "alice@example.test")
    assert told["verdict"]["guarded"] and told["history"]["known-devices"] == 2
    server.cli("reload")
    assert parts(server, "alice@example.test")["verdict"]["guarded"]
    server.cli("upgrade")
    server.wait_log(r"the old program's roles have all ended")
    told = parts(server, "alice@example.test")
    assert told["verdict"]["guarded"] and told["history"]["known-devices"] == 2
    wait_for("watch to have met the new auth",
             lambda: server.cli("user", "unguard", "alice@example.test", check=False).returncode == 0)
    assert not parts(server, "alice@example.test")["verdict"]["guarded"]
    # a name without its domain is found as well
    assert parts(server, "alice")["history"]["logins"] >= 4


def test_guessers_with_the_same_program_are_one_campaign(server):
    # its own user, with whom nobody else would be hindered
    assert guess(server, 12, lambda i: "ADMIN", user="admin@example.test")[:5] == [535] * 5
    campaigns = rows(server, "campaigns")
    assert len(campaigns) == 1
    assert campaigns[0]["by"] == "the same program" and campaigns[0]["tries"] == "admin@example.test"
    assert campaigns[0]["refused-unseen"] >= 5
    # its members are refused at first sight; the owner of another account is not
    assert log_in(server, "11.77.0.9", "nobody@example.test", "x", "ADMIN") == 535
    assert rows(server, "campaigns")[0]["refused-unseen"] >= 6
    assert log_in(server, "192.0.2.7", "bob@example.test", "secret of bob") == 235


def test_a_trap_is_refused_without_a_look(server):
    assert log_in(server, "11.1.0.9", "oracle@example.test", "x") == 535
    server.wait_log(r"reason=trap")


def test_an_old_password_is_never_more_than_wrong(server):
    assert log_in(server, "192.0.2.7", "bob@example.test", "secret of bob", "phone.example") == 235
    server.cli("user", "passwd", "bob@example.test", "--password", "a new one")
    for _ in range(30):
        assert log_in(server, "192.0.2.7", "bob@example.test", "secret of bob", "phone.example") == 535
    assert log_in(server, "192.0.2.7", "bob@example.test", "a new one", "tablet.example") == 235
    told = parts(server, "bob@example.test")
    assert not told["verdict"]["guarded"]
    assert told["history"]["different-wrong-passwords"] == 1 and told["history"]["failures"] >= 30
    assert parts(server, "192.0.2.7")["diagnosis"]["is"] == "old-password"
