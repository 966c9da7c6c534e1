"""Logging in with tokens: made by another implementation (PyJWT), keys from a real issuer."""
import base64
import concurrent.futures
import json
import os
import re
import signal
import smtplib
import subprocess
import time

import pytest

from conftest import PATIENCE, wait_for
from test_auth import HOST, make_submission  # noqa: F401  (a fixture)
from test_fetch import Authority, Web

jwt = pytest.importorskip("jwt")
algorithms = pytest.importorskip("jwt.algorithms")
pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402

ISSUER_AT = "127.77.46.2"
ISSUER = "https://id.example.test"
USER = "alice@example.test"

MAKERS = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class Issuer:
    def __init__(self, home):
        self.home = home
        self.authority = Authority(home)
        # the role that reads it is somebody else
        os.chmod(self.authority.cert, 0o644)
        self.web = Web(self.authority, ISSUER_AT, 0, [(ISSUER_AT,)])
        self.keys = {}
        for algorithm, make in MAKERS.items():
            self.add(algorithm, make())

    def add(self, algorithm, key, name=None):
        self.keys[name or algorithm.lower()] = (algorithm, key)
        self.web.page(ISSUER_AT, "/keys", self.key_set(), kind="application/json")

    def key_set(self):
        keys = []
        for name, (algorithm, key) in self.keys.items():
            made = algorithms.get_default_algorithms()[algorithm].to_jwk(key.public_key())
            keys.append({**(json.loads(made) if isinstance(made, str) else made), "kid": name, "use": "sig",
                         "alg": algorithm})
        return json.dumps({"keys": keys})

    def token(self, name="rs256", key=None, headers=None, **claims):
        algorithm, own = self.keys.get(name, ("RS256", key))
        said = {"iss": ISSUER, "aud": "mail", "exp": int(time.time()) + 300, "email": USER, **claims}
        said = {k: v for k, v in said.items() if v is not None}
        return jwt.encode(said, key or own, algorithm, headers={"kid": name, **(headers or {})})

    def settings(self, **more):
        words = {"issuer": ISSUER, "audience": "mail", **more}
        entry = " ".join(f'{k} = "{v}";' for k, v in words.items())
        return f'mechanisms = "plain oauthbearer xoauth2"; oauth = ( {{ {entry} }} );'

    @property
    def at(self):
        return f"https://{ISSUER_AT}:{self.web.port}"


@pytest.fixture
def issuer(home):
    i = Issuer(home)
    yield i
    i.web.stop()


@pytest.fixture
def make_oauth(make_submission, issuer):  # noqa: F811
    def make(**more):
        server = make_submission(issuer.settings(**more))
        return server

    return make


@pytest.fixture
def with_authority(issuer, monkeypatch):
    """The servers of these tests know our authority from their configuration."""
    import conftest
    plain = conftest.Server.start

    def start(self, wait=True):
        text = self.config.read_text()
        if "fetch:" not in text:
            self.config.write_text(f'{text}\nfetch: {{ ca-file = "{issuer.authority.cert}"; }};\n')
        return plain(self, wait)

    monkeypatch.setattr(conftest.Server, "start", start)


def say(server, mechanism, message):
    """The codes of a whole exchange, and what the server said before it refused."""
    with smtplib.SMTP(HOST, server.submission, "client.test", timeout=PATIENCE) as s:
        s.ehlo("client.test")
        code, text = s.docmd("AUTH", f"{mechanism} {base64.b64encode(message.encode()).decode()}")
        if code != 334:
            return code, None
        words = json.loads(base64.b64decode(text))
        return s.docmd("AQ==")[0], words


def bearer(server, token, user=USER):
    return say(server, "OAUTHBEARER", f"n,a={user},\x01host={HOST}\x01port=587\x01auth=Bearer {token}\x01\x01")


def xoauth2(server, token, user=USER):
    return say(server, "XOAUTH2", f"user={user}\x01auth=Bearer {token}\x01\x01")


def test_tokens_of_each_kind_log_in(make_oauth, with_authority, issuer):
    server = make_oauth(keys=f"{issuer.at}/keys")
    for name in issuer.keys:
        assert bearer(server, issuer.token(name)) == (235, None), name
        assert xoauth2(server, issuer.token(name)) == (235, None), name
    # fetched once, and kept
    assert [a[2] for a in issuer.web.asked] == ["/keys"]


def test_what_is_wrong_with_a_token_refuses_it_in_the_same_words(make_oauth, with_authority, issuer):
    server = make_oauth(keys=f"{issuer.at}/keys")
    stranger = rsa.generate_private_key(65537, 2048)
    public = json.loads(issuer.key_set())["keys"][0]
    wrong = {
        "expired": issuer.token(exp=int(time.time()) - 3600),
        "without an end": issuer.token(exp=None),
        "not yet": issuer.token(nbf=int(time.time()) + 3600),
        "for somebody else": issuer.token(aud="web"),
        "for nobody": issuer.token(aud=None),
        "from somebody else": issuer.token(iss="https://evil.example.test"),
        "of another user": issuer.token(email="bob@example.test"),
        "signed by a stranger": issuer.token(key=stranger),
        "with the name of another key": issuer.token("rs256", headers={"kid": "es256"}),
        "unsigned": jwt.encode({"iss": ISSUER, "aud": "mail", "exp": int(time.time()) + 300, "email": USER},
                               None, "none"),
        "with the public key as its secret": jwt.encode(
            {"iss": ISSUER, "aud": "mail", "exp": int(time.time()) + 300, "email": USER}, public["n"], "HS256"),
        "cut": issuer.token()[:-10],
        "no token": "rubbish",
    }
    for what, token in wrong.items():
        assert bearer(server, token) == (535, {"status": "invalid_token"}), what
    code, words = xoauth2(server, wrong["expired"])
    assert code == 535 and words["status"] == "401"
    server.wait_log("reason=expired")
    # nobody finds a token in the log
    assert issuer.token("rs256").split(".")[0] not in server.log()


def test_an_issuer_that_is_down_is_not_the_clients_fault(make_oauth, with_authority, issuer):
    server = make_oauth(keys=f"{issuer.at}/keys")
    issuer.web.pages.clear()
    assert bearer(server, issuer.token())[0] == 454
    server.wait_log("fetch-failed.*keys")


def test_a_fetch_role_that_is_killed_comes_back(make_oauth, with_authority, issuer):
    server = make_oauth(keys=f"{issuer.at}/keys")
    killed = server.kill_role("fetch")
    wait_for("another one", lambda: set(server.pids("fetch")) - set(killed))
    wait_for("a login", lambda: bearer(server, issuer.token())[0] == 235)


def test_keys_from_a_file_need_no_web(make_submission, issuer, home):  # noqa: F811
    file = home / "keys"
    file.mkdir()
    (file / "set.json").write_text(issuer.key_set())
    server = make_submission(issuer.settings(keys=file / "set.json"))
    assert bearer(server, issuer.token("es256")) == (235, None)
    issuer.add("EdDSA", ed25519.Ed25519PrivateKey.generate(), "new")
    assert bearer(server, issuer.token("new"))[0] == 535
    (file / "next.json").write_text(issuer.key_set())
    (file / "next.json").rename(file / "set.json")
    wait_for("the new key", lambda: bearer(server, issuer.token("new"))[0] == 235)
    assert not issuer.web.asked


def test_a_token_that_says_nothing_is_shown_to_its_issuer_with_our_login(make_oauth, with_authority, issuer):
    server = make_oauth(introspect=f"{issuer.at}/ask", login="idp")
    server.cli("relay", "passwd", "idp", "--user", "mail", "--password-stdin", input="s3cret\n")
    issuer.web.page(ISSUER_AT, "/ask", json.dumps({"active": True, "aud": "mail", "email": USER}),
                    kind="application/json")
    assert bearer(server, "opaque-1") == (235, None)
    method, _, _, fields, body = issuer.web.asked[0]
    assert method == "POST" and "token=opaque-1" in body
    assert base64.b64decode(fields["Authorization"].split()[1]) == b"mail:s3cret"
    issuer.web.page(ISSUER_AT, "/ask", json.dumps({"active": False}), kind="application/json")
    assert bearer(server, "opaque-2")[0] == 535


def test_a_reload_that_reorders_issuers_shows_no_token_to_another(make_submission, with_authority, issuer):  # noqa: F811
    """Also while fetch has not heard of it: which of the two orders it knows must not matter."""
    other = "https://other.example.test"
    entries = [f'{{ issuer = "{name}"; audience = "mail"; introspect = "{issuer.at}/ask-{path}"; }}'
               for name, path in ((ISSUER, "id"), (other, "other"))]

    def order(*entries):
        return f'oauth = ( {", ".join(entries)} );'

    server = make_submission(f'mechanisms = "oauthbearer"; {order(*entries)}')
    text = server.config.read_text()
    server.config.write_text(text.replace('silence = "30s"', 'silence = "60s"'))
    server.cli("reload")
    for path in ("id", "other"):
        issuer.web.page(ISSUER_AT, f"/ask-{path}", json.dumps({"active": True, "aud": "mail", "email": USER}),
                        kind="application/json")
    tokens = {"id": issuer.token(iss=ISSUER), "other": issuer.token(iss=other)}
    for name, token in tokens.items():
        assert bearer(server, token) == (235, None), name
    pid, = server.pids("fetch")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        os.kill(pid, signal.SIGSTOP)
        try:
            server.config.write_text(server.config.read_text().replace(order(*entries), order(*reversed(entries))))
            server.cli("reload")
            answers = [pool.submit(bearer, server, token) for token in tokens.values()]
            # the supervisor's news and auth's question both wait for it
            wait_for("auth to have asked", lambda: unread_links(pid) >= 2)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert [a.result(PATIENCE) for a in answers] == [(235, None)] * 2
    shown = [(a[2], next(n for n, t in tokens.items() if t in a[4])) for a in issuer.web.asked]
    assert sorted(shown) == sorted([("/ask-id", "id"), ("/ask-other", "other")] * 2)


def unread_links(pid):
    """On how many sockets something waits to be read by that process."""
    lines = subprocess.run(["ss", "-xpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    return sum(f"pid={pid}," in line and int(line.split()[2]) > 0 for line in lines)
