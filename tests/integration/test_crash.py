"""kill -9 at random instants under load: nothing acknowledged is lost, nothing is torn."""
import os

import hops
from crash import Crowd


def rounds_of(make_server, rounds, seed, victims, **options):
    server = make_server(**options)
    crowd = Crowd(server, seed)
    try:
        for _ in range(rounds):
            crowd.kill_at_a_random_instant(victims)
        crowd.finish()
    finally:
        crowd.stop()
    crowd.judge()


def rounds():
    return int(os.environ.get("HOLDFAST_CRASH_ROUNDS", "20")) // 4 or 1


def test_the_store_is_killed(make_server):
    rounds_of(make_server, rounds(), 1, ["store"])


def test_the_edges_are_killed(make_server):
    rounds_of(make_server, rounds(), 2, ["edge"])


def test_store_and_edges_are_killed(make_server):
    rounds_of(make_server, rounds(), 3, ["store", "edge"])


def test_everything_is_killed(make_server):
    rounds_of(make_server, rounds(), 4, ["everything"])


def test_mail_goes_out_while_store_and_edges_are_killed(make_server):
    with hops.Hop(lmtp=False) as far:
        settings = 'queue: { retry-first = "1s"; retry-max = "5s"; };'
        server = make_server(settings=settings, deliver=f'relay = "{far.target}";')
        server.cli("alias", "add", "far@example.test", "someone@far.example")
        server.wait_known("far@example.test")
        crowd = Crowd(server, 5, far=far)
        try:
            for number in range(2 * rounds()):
                crowd.kill_at_a_random_instant([["store"], ["edge"], ["everything"]][number % 3])
            crowd.finish()
        finally:
            crowd.stop()
        crowd.judge()
        assert sum(map(len, crowd.found_far()[0].values())) > 10
