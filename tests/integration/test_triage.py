"""What the DNS says about strangers: real blocklists (rbldnsd) and names of addresses (nsd)."""
import re
import socket
import time

import pytest

from conftest import Talk, free_port, wait_for
from name_servers import Nsd, Rbldnsd, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")

LISTED, CLEAN = "127.0.0.66", "127.0.0.67"
GOOD_ZONE = f":127.0.0.2:listed\n127.0.0.2\n{LISTED}\n"


@pytest.fixture
def name_servers(home):
    made = []

    def make(kind, zones):
        made.append(kind(home, zones))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def guarded(make_server, servers, dnsbl="", more="", guard="", **options):
    """A server that asks these name servers, and means it."""
    if "lookup-wait" not in guard:
        guard += ' lookup-wait = "60s";'
    # Each is asked three times, and then it counts as dead, after seven seconds. One that waits for
    # its turn is not: as if there were several it is asked for longer.
    ports = ", ".join(f"127.0.0.1:{s if isinstance(s, int) else s.port}" for s in 4 * servers)
    return make_server(settings=(
        f'dns: {{ servers = "{ports}"; }};\n'
        f'guard: {{ mode = "enforce"; lookups = true; {guard} }};\n'
        f"dnsbl = ( {dnsbl} );\n" + more), **options)


def rcpt(talk, sender="sender@client.example"):
    talk.hello()
    assert talk.ask(f"MAIL FROM:<{sender}>").startswith(b"250")
    return talk.ask("RCPT TO:<alice@example.test>")


def deliver(server, source, **more):
    talk = server.talk(source)
    assert rcpt(talk, **more).startswith(b"250"), server.log()
    assert talk.ask("DATA").startswith(b"354")
    assert talk.ask("Subject: x\r\n\r\ny\r\n.").startswith(b"250")
    assert talk.ask("QUIT").startswith(b"221")
    talk.close()



def test_who_is_listed_hears_so_at_rcpt_with_a_code(make_server, name_servers):
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", GOOD_ZONE)})
    server = guarded(make_server, [rbl], '{ zone = "bl.example"; weight = 100; }')
    talk = server.talk(LISTED)
    said = rcpt(talk)
    assert re.fullmatch(rb"554 5\.7\.1 .*\[B[0-9A-HJKMNP-TV-Z]{6}\]\r\n", said), said
    assert talk.ask("RCPT TO:<bob@example.test>").startswith(b"554")
    talk.close()
    deliver(server, CLEAN)


def test_an_allow_list_weighs_against_a_blocklist(make_server, name_servers):
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", GOOD_ZONE), "wl.example": ("ip4set", GOOD_ZONE)})
    server = guarded(make_server, [rbl], '{ zone = "bl.example"; weight = 100; },'
                                         '{ zone = "wl.example"; weight = 50; allows = true; }')
    deliver(server, LISTED)


def test_only_answers_that_count_count(make_server, name_servers):
    zone = f":127.0.0.2:x\n127.0.0.2\n{LISTED} :127.0.0.9:other\n"
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", zone)})
    server = guarded(make_server, [rbl], '{ zone = "bl.example"; answers = "127.0.0.2-4"; }')
    deliver(server, LISTED)


def test_a_zone_that_lists_the_world_refuses_nobody(make_server, name_servers):
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", ":127.0.0.2:all\n127.0.0.0/8\n")})
    server = guarded(make_server, [rbl], '{ zone = "bl.example"; }')
    server.wait_log(r"log=dns-zone .*bl\.example.*lists 127\.0\.0\.1")
    deliver(server, LISTED)


def test_a_zone_that_is_dead_refuses_nobody(make_server, name_servers):
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", GOOD_ZONE)})
    server = guarded(make_server, [rbl], '{ zone = "dead.example"; }, { zone = "bl.example"; weight = 50; }')
    server.wait_log(r"log=dns-zone .*dead\.example.*does not answer")
    deliver(server, LISTED)


def test_a_zone_that_answers_with_an_error_refuses_nobody(make_server, name_servers):
    zone = ":127.255.255.254:you may not ask\n127.0.0.0/8\n"
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", zone)})
    server = guarded(make_server, [rbl], '{ zone = "bl.example"; }')
    server.wait_log(r"log=dns-zone .*bl\.example.*error code")
    deliver(server, LISTED)


def test_an_error_for_a_client_makes_the_zone_ill(make_server, name_servers):
    zone = GOOD_ZONE + f"{CLEAN} :127.255.255.255:over quota\n"
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", zone)})
    server = guarded(make_server, [rbl], '{ zone = "bl.example"; }')
    talk = server.talk(LISTED)
    assert rcpt(talk).startswith(b"554")
    talk.close()
    deliver(server, CLEAN)
    server.wait_log(r"log=dns-zone .*bl\.example.*error code")


def test_an_ipv6_client_is_asked_for_by_its_nibbles(make_server, name_servers):
    six = ":127.0.0.2:listed\n2001:db8:1:2:3:4:5:6/128\n"
    rbl = name_servers(Rbldnsd, {"bl.example": [("ip4set", GOOD_ZONE), ("ip6trie", six)]})
    server = guarded(make_server, [rbl], '{ zone = "bl.example"; }', 'proxy-from = [ "127.0.0.1" ];',
                     start=False)
    port = free_port()
    server.config.write_text(server.config.read_text().replace(
        "listen = (", f'listen = ( {{ address = "127.0.0.1:{port}"; proxy = true; }},', 1))
    server.start()
    for address, code in (("2001:db8:1:2:3:4:5:6", b"554"), ("2001:db8:1:2:3:4:5:7", b"250")):
        talk = Talk(port)
        talk.send(f"PROXY TCP6 {address} 2001:db8::25 40000 25\r\n")
        assert rcpt(talk).startswith(code), address
        talk.close()


def reverse(names):
    """Two zones: 127.in-addr.arpa with these names, and client.example with their addresses."""
    ptr = "".join(f"{last}.0.0 PTR {name}.\n" for last, name in names.items())
    return {"127.in-addr.arpa": ptr, "client.example": "good A 127.0.0.70\n@ A 127.0.0.99\n"}


TALKATIVE = "smtp: { junk = 10000; };\n"  # it may be a while until a name is known


def look_up(server, client, says):
    """Nobody waits for a name that no list is about: it counts for what comes after its answer."""
    talk = server.talk(client).hello()

    def known():
        assert talk.ask("NOOP").startswith(b"250")
        return says in server.cli("explain", client)
    wait_for(f"{says} of {client}", known)
    talk.close()


def test_a_sender_without_a_name_and_with_a_helo_that_does_not_resolve_is_served(make_server, name_servers):
    nsd = name_servers(Nsd, reverse({70: "good.client.example"}))
    server = guarded(make_server, [nsd], more=TALKATIVE)
    look_up(server, "127.0.0.71", "no-ptr")
    deliver(server, "127.0.0.71")
    server.wait_log(r"peer=127\.0\.0\.71.*no-ptr")
    deliver(server, "127.0.0.70")
    assert not re.search(r"peer=127\.0\.0\.70.*(no-ptr|ptr-forged)", server.log())


def test_a_name_that_does_not_have_the_address_is_forged_and_served(make_server, name_servers):
    nsd = name_servers(Nsd, reverse({72: "good.client.example", 73: "nowhere.client.example"}))
    server = guarded(make_server, [nsd], more=TALKATIVE)
    for client in ("127.0.0.72", "127.0.0.73"):
        look_up(server, client, "ptr-forged")
        deliver(server, client)
        server.wait_log(rf"peer={re.escape(client)}.*ptr-forged")


def test_names_of_addresses_can_be_denied(make_server, name_servers, home):
    nsd = name_servers(Nsd, reverse({70: "good.client.example", 72: "good.client.example"}))
    (home / "names").write_text("good.client.example no such clients\n")
    server = guarded(make_server, [nsd], more=f'access = ( {{ file = "{home}/names"; of = "ptr"; }} );\n')
    talk = server.talk("127.0.0.70")
    said = rcpt(talk)
    assert re.fullmatch(rb"554 5\.7\.1 .*\[N\w{6}\]\r\n", said), said
    talk.close()
    deliver(server, "127.0.0.72")  # it only says so


def test_two_name_servers_are_asked_in_turn(make_server, name_servers):
    """rbldnsd refuses to speak of names of addresses: then the other one is asked."""
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", GOOD_ZONE)})
    nsd = name_servers(Nsd, reverse({70: "good.client.example"}))
    server = guarded(make_server, [rbl, nsd], '{ zone = "bl.example"; }')
    deliver(server, "127.0.0.70")
    assert not re.search(r"peer=127\.0\.0\.70.*(no-ptr|dns-failed)", server.log())
    talk = server.talk(LISTED)
    assert rcpt(talk).startswith(b"554")
    talk.close()


def test_silence_is_not_waited_for_longer_than_was_said(make_server, home):
    # a zone that is silent is soon waited for no more, and a name is as long as a list is about names
    (home / "names").write_text("nobody.client.example\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        server = guarded(make_server, [nobody.getsockname()[1]], '{ zone = "bl.example"; }',
                         more=f'access = ( {{ file = "{home}/names"; of = "ptr"; }} );\n',
                         guard='lookup-wait = "500ms";')
        began = time.monotonic()
        deliver(server, CLEAN)
        assert time.monotonic() - began >= 0.4


def test_a_listed_client_is_refused_though_nobody_knows_its_name(make_server, name_servers):
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", GOOD_ZONE)})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        server = guarded(make_server, [rbl, nobody.getsockname()[1]], '{ zone = "bl.example"; }',
                         guard='lookup-wait = "5s";')
        talk = server.talk(LISTED)
        said = rcpt(talk)
        assert re.match(rb"554 5\.7\.1 .*\[B", said), said
        talk.close()
        deliver(server, CLEAN)


def test_only_observed_listings_refuse_nobody(make_server, name_servers):
    rbl = name_servers(Rbldnsd, {"bl.example": ("ip4set", GOOD_ZONE)})
    server = guarded(make_server, [rbl], '{ zone = "bl.example"; }', guard='observe = [ "dnsbl" ];')
    deliver(server, LISTED)
    server.wait_log(r"log=would-refuse .*dnsbl")
