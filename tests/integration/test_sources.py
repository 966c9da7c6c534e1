"""Who gets mail here, read from files that others wrote: lists, aliases, Postfix' tables."""
import signal
import smtplib

import pytest

from conftest import PATIENCE, wait_for
from test_clients import MESSAGE


def answer(server, address):
    with server.smtp() as s:
        s.ehlo("client.example")
        s.mail("sender@client.example")
        return s.rcpt(address)[0]


def wait_answer(server, address, code):
    wait_for(f"{code} for {address}", lambda: answer(server, address) == code)


@pytest.fixture
def files(home):
    texts = {
        "users": "# people\ncarol@example.test\n\ndave@lists.test\n",
        "domains": "lists.test\n",
        "aliases": "staff@example.test: carol@example.test,\n    alice@example.test\nroot: carol@example.test\n",
        "virtual": "# Postfix' virtual(5), as source\nsales@example.test   bob@example.test\n"
                   "info@example.test\n  alice@example.test, bob@example.test\n",
    }
    for name, text in texts.items():
        (home / name).write_text(text)
    return (f'sources = ( {{ kind = "addresses"; file = "{home}/users"; }},\n'
            f'  {{ kind = "domains"; file = "{home}/domains"; }},\n'
            f'  {{ kind = "aliases"; file = "{home}/aliases"; domain = "example.test"; }},\n'
            f'  {{ kind = "aliases"; file = "texthash:{home}/virtual"; }} );')


def test_files_say_who_gets_mail(make_server, files):
    server = make_server(settings=files)
    for known in ("carol@example.test", "dave@lists.test", "staff@example.test", "root@example.test",
                  "sales@example.test", "info+today@example.test"):
        assert answer(server, known) == 250, known
    assert answer(server, "nobody@lists.test") == 550
    assert answer(server, "carol@elsewhere.test") == 554
    with server.smtp() as s:
        s.sendmail("sender@client.example", ["staff@example.test", "info@example.test", "alice@example.test"],
                   MESSAGE)
    for user, count in (("alice", 1), ("bob", 1), ("carol", 1)):
        server.wait_messages(user, count)


def test_a_changed_file_counts_after_a_reload(make_server, files, home):
    server = make_server(settings=files)
    assert answer(server, "erin@example.test") == 550
    (home / "users").write_text("erin@example.test\n")
    server.process.send_signal(signal.SIGHUP)
    wait_answer(server, "erin@example.test", 250)
    wait_answer(server, "carol@example.test", 550)


def test_a_broken_file_leaves_the_old_users_and_names_the_line(make_server, files, home):
    server = make_server(settings=files)
    (home / "users").write_text("carol@example.test\nnot an address at all\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_log(r"log=reload-failed.*users:2")
    assert answer(server, "dave@lists.test") == 250


def test_a_missing_file_stops_the_start_and_is_named(make_server, files, home):
    (home / "users").unlink()
    server = make_server(start=False, settings=files)
    server.start(wait=False)
    assert server.process.wait(PATIENCE) == 78
    assert f"{home}/users" in server.log()


def test_an_alias_may_not_lead_round_in_a_circle(make_server, home):
    (home / "aliases").write_text("a@example.test: b@example.test\nb@example.test: a@example.test, alice@example.test\n")
    server = make_server(settings=f'sources = ( {{ kind = "aliases"; file = "{home}/aliases"; }} );')
    with server.smtp() as s:
        s.sendmail("sender@client.example", ["a@example.test"], MESSAGE)
    server.wait_messages("alice", 1)
    assert server.process.poll() is None
    with pytest.raises(smtplib.SMTPRecipientsRefused), server.smtp() as s:
        s.sendmail("sender@client.example", ["c@example.test"], MESSAGE)
