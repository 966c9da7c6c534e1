"""What is fetched over HTTPS, from real servers: the good, the bad and the slow."""
import contextlib
import http.server
import json
import os
import pathlib
import socket
import ssl
import subprocess
import threading
import urllib.parse

import pytest

from conftest import BUILD, PATIENCE, ROLE_IDS, wait_for

FETCH = BUILD / "tests" / "kit" / "fetch_once"

# of these tests and this worker alone, so that the port of all web servers is free there
HOST = f"127.77.47.{1 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw')) % 250}"

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mx.good.test\r\nmax_age: 86400\r\n"


def openssl(*words, **more):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, **more)


class Authority:
    """A certificate authority, and certificates of it."""

    def __init__(self, directory):
        self.dir = directory
        self.cert = directory / "ca.crt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "30", "-subj", "/CN=test authority", "-keyout", directory / "ca.key", "-out", self.cert)

    def pair(self, *names, days=30):
        name = names[0].replace("*", "any")
        request, cert, key = (self.dir / f"{name}.{end}" for end in ("csr", "crt", "key"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={names[0]}", "-keyout", key, "-out", request)
        kinds = ",".join(f"IP:{n}" if n[0].isdigit() else f"DNS:{n}" for n in names)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.dir / "ca.key",
                "-CAcreateserial", "-days", days, "-out", cert, "-extfile", "/dev/stdin",
                input=f"subjectAltName={kinds}\n".encode())
        return cert, key


class Web:
    """An HTTPS server. pages: (host, path) -> function of the handler. One certificate for each name."""

    def __init__(self, authority, address, port, certificates):
        self.pages, self.asked, self.slow = {}, [], threading.Event()
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                host = self.headers["Host"].rsplit(":", 1)[0]
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                web.asked.append((self.command, host, self.path, dict(self.headers), body))
                page = web.pages.get((host, self.path))
                if page:
                    page(self)
                else:
                    self.send_error(404)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, port), Handler, bind_and_activate=False)
        self.server.allow_reuse_address = True
        self.server.daemon_threads = True
        self.server.server_bind()
        self.server.server_activate()
        self.port = self.server.server_address[1]
        contexts = {}
        for names in certificates:
            cert, key = names if isinstance(names[0], os.PathLike) else authority.pair(*names)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            for name in names:
                contexts[str(name)] = context
        first = next(iter(contexts.values()))

        def by_name(sock, name, _):
            sock.context = contexts.get(name, first)

        first.sni_callback = by_name
        plain = self.server.get_request

        def get_request():
            sock, peer = plain()
            sock.settimeout(PATIENCE)
            return first.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), peer

        self.server.get_request = get_request
        self.server.handle_error = lambda *_: None
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def page(self, host, path, body, kind="text/plain", status=200, **fields):
        def answer(handler):
            handler.send_response(status)
            handler.send_header("Content-Type", kind)
            handler.send_header("Content-Length", str(len(body)))
            for name, value in fields.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body.encode())
        self.pages[host, path] = answer

    def policy(self, domain, body=POLICY, **more):
        self.page(f"mta-sts.{domain}", "/.well-known/mta-sts.txt", body, **more)

    def stop(self):
        self.slow.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(PATIENCE)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def web(authority):
    try:
        w = Web(authority, HOST, 443, [("mta-sts.good.test", "mta-sts.other.test"), ("wrong.test",)])
    except PermissionError:
        pytest.skip("MTA-STS has port 443, which only root may open here")
    yield w
    w.stop()


def fetch(tmp_path, authority, *questions, settings="", hosts="", private=True):
    config, names = tmp_path / "fetch.conf", tmp_path / "hosts"
    config.write_text(f'hostname = "mx.test";\ndir = "{tmp_path}";\n'
                      f'fetch: {{ ca-file = "{authority.cert}"; private = {str(private).lower()}; }};\n'
                      'dns: { servers = "127.0.0.1:9"; };\n' + settings)
    names.write_text(hosts)
    # what would lead another program astray
    env = {**os.environ, "https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9",
           "all_proxy": "socks5://127.0.0.1:9", "SSL_CERT_FILE": "/dev/null"}
    # it ends itself when nothing comes any more; of hundreds of answers each may come late
    done = subprocess.run([FETCH, config, names, *map(str, questions)], capture_output=True, env=env,
                          timeout=10 * PATIENCE)
    assert done.returncode == 0, done.stderr
    entries = split(done.stdout.decode())
    return {int(number): (ok == "yes", int(keep), body) for number, ok, keep, body in entries}


def split(text):
    """Lines of four fields; what has no tabs belongs to the body of the one before."""
    entries = []
    for line in text.split("\n"):
        fields = line.split("\t", 3)
        if len(fields) == 4:
            entries.append(fields)
        elif entries and line:
            entries[-1][3] += "\n" + line
    return entries


HOSTS = "".join(f"{HOST} mta-sts.{d}.test\n" for d in ("good", "other", "wrong", "unknown"))


def test_a_policy_is_fetched_over_https_without_a_proxy(web, authority, tmp_path):
    web.policy("good.test", kind="text/plain; charset=utf-8")
    got = fetch(tmp_path, authority, "sts", "Good.test", hosts=HOSTS)
    assert got == {1: (True, 0, POLICY.rstrip("\n"))}
    method, host, path, fields, body = web.asked[0]
    assert (method, host, path, body) == ("GET", "mta-sts.good.test", "/.well-known/mta-sts.txt", "")
    assert "Authorization" not in fields


def test_a_redirect_is_not_followed(web, authority, tmp_path):
    web.policy("good.test", status=301, Location="https://mta-sts.other.test/.well-known/mta-sts.txt")
    web.policy("other.test")
    got = fetch(tmp_path, authority, "sts", "good.test", hosts=HOSTS)
    assert got == {1: (False, 0, "it sends us elsewhere, where we do not go")}
    assert len(web.asked) == 1


def test_what_is_no_policy_is_refused(web, authority, tmp_path):
    web.policy("good.test", kind="text/html")
    got = fetch(tmp_path, authority, "sts", "good.test", "sts", "other.test", hosts=HOSTS)
    assert got == {1: (False, 0, "the answer is of another media type"),
                   2: (False, 0, "the answer is 404")}


@pytest.mark.parametrize("announced", [True, False])
def test_too_much_is_cut_off(web, authority, tmp_path, announced):
    def endless(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/plain")
        if announced:
            handler.send_header("Content-Length", str(10 << 20))
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(10 << 10):
                handler.wfile.write(b"x" * 1024)
        handler.close_connection = True

    web.pages["mta-sts.good.test", "/.well-known/mta-sts.txt"] = endless
    got = fetch(tmp_path, authority, "sts", "good.test", hosts=HOSTS)
    assert got == {1: (False, 0, "the answer is too large")}


def test_a_header_without_end_is_cut_off(web, authority, tmp_path):
    def endless(handler):
        handler.send_response(200)
        handler.flush_headers()
        with contextlib.suppress(OSError):
            for i in range(10000):
                handler.wfile.write(f"X-{i}: {'y' * 100}\r\n".encode())
            handler.wfile.write(b"\r\n")
        handler.close_connection = True

    web.pages["mta-sts.good.test", "/.well-known/mta-sts.txt"] = endless
    got = fetch(tmp_path, authority, "sts", "good.test", hosts=HOSTS)
    assert got == {1: (False, 0, "the answer is too large")}


@pytest.mark.parametrize("domain, why", [("wrong.test", "name"), ("unknown.test", "name")])
def test_a_certificate_of_another_name_is_refused(web, authority, tmp_path, domain, why):
    web.policy(domain)
    ok, _, body = fetch(tmp_path, authority, "sts", domain, hosts=HOSTS)[1]
    assert not ok and why in body and not web.asked


def test_a_certificate_of_nobody_we_know_is_refused(web, authority, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    web.policy("good.test")
    ok, _, body = fetch(tmp_path, Authority(other), "sts", "good.test", hosts=HOSTS)[1]
    assert not ok and "certificate" in body and not web.asked


def test_policies_do_not_come_from_our_own_network(web, authority, tmp_path):
    web.policy("good.test")
    hosts = f"{HOST} mta-sts.good.test\n10.1.2.3 mta-sts.other.test\nfe80::1 mta-sts.wrong.test\n"
    got = fetch(tmp_path, authority, *(w for d in ("good", "other", "wrong") for w in ("sts", f"{d}.test")),
                hosts=hosts, private=False)
    assert {why for _, _, why in got.values()} == {"all its addresses are private ones (fetch.private)"}
    assert len(got) == 3 and not web.asked


def test_what_failed_is_not_tried_again_at_once(web, authority, tmp_path):
    """Nine that fail: the first eight are under way when the ninth comes, the same name as the first."""
    got = fetch(tmp_path, authority, *("sts", "good.test") * 9, hosts=HOSTS)
    whys = [why for _, _, why in got.values()]
    assert whys.count("it failed a moment ago, and is not tried again yet") == 1
    assert len(web.asked) == 8


def test_more_than_may_wait_are_refused(web, authority, tmp_path):
    web.policy("good.test")
    got = fetch(tmp_path, authority, *("sts", "good.test") * 300, hosts=HOSTS)
    refused = [body for ok, _, body in got.values() if not ok]
    assert len(got) == 300 and len(refused) == 300 - 8 - 256
    assert set(refused) == {"too much is waiting to be fetched"}


def test_one_that_is_silent_is_given_up(authority, tmp_path):
    """Keys are waited for ten seconds; the clock of the other questions goes on."""
    with socket.create_server((HOST, 0)) as silent:
        settings = ('auth: { mechanisms = "oauthbearer"; oauth = ( { issuer = "i"; audience = "a";\n'
                    f'  keys = "https://{HOST}:{silent.getsockname()[1]}/keys"; }} ); }};\n')
        ok, _, body = fetch(tmp_path, authority, "keys", "i", settings=settings)[1]
    assert not ok and "timed out" in body.lower()


@pytest.fixture
def issuer(authority):
    w = Web(authority, HOST, 0, [(HOST, "id.test")])
    yield w
    w.stop()


def issuer_settings(issuer, login=""):
    return ('auth: { mechanisms = "oauthbearer"; oauth = ( { issuer = "i"; audience = "a";\n'
            f'  keys = "https://{HOST}:{issuer.port}/keys"; login = "{login}";\n'
            f'  introspect = "https://id.test:{issuer.port}/ask?x=1"; }} ); }};\n')


def test_keys_are_fetched_from_the_configured_address_and_kept_as_they_say(issuer, authority, tmp_path):
    issuer.page(HOST, "/keys", '{"keys":[]}', kind="application/json", Cache_Control="public, max-age=1800")
    got = fetch(tmp_path, authority, "keys", "i", "keys", "j", settings=issuer_settings(issuer), private=False)
    assert got == {1: (True, 1800, '{"keys":[]}'), 2: (False, 0, "there is no such issuer")}


def test_a_token_is_shown_with_a_login(issuer, authority, tmp_path):
    issuer.page("id.test", "/ask?x=1", json.dumps({"active": True}), kind="application/json")
    got = fetch(tmp_path, authority, "introspect", "i", "mail", "s3cret", "a+b/c=&d", hosts=f"{HOST} id.test\n",
                settings=issuer_settings(issuer), private=False)
    assert got == {1: (True, 0, '{"active": true}')}
    method, _, _, fields, body = issuer.asked[0]
    assert method == "POST"
    assert fields["Authorization"] == "Basic bWFpbDpzM2NyZXQ="
    assert fields["Content-Type"] == "application/x-www-form-urlencoded"
    assert urllib.parse.parse_qs(body) == {"token": ["a+b/c=&d"], "token_type_hint": ["access_token"]}


def test_the_role_is_there_closed_in_and_comes_back(make_server):
    server = make_server()
    pid, = wait_for("the fetch role", lambda: server.pids("fetch"))
    server.wait_fetch()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    if os.geteuid() == 0:
        assert f"Uid:\t{ROLE_IDS['fetch']}\t" in status
    server.kill_role("fetch")
    wait_for("another one", lambda: set(server.pids("fetch")) - {pid})


def test_there_is_none_where_nothing_is_to_be_fetched_until_a_reload_wants_it(make_server):
    server = make_server(settings="delivery: { mta-sts = false; };")
    assert not server.pids("fetch")
    server.config.write_text(server.config.read_text().replace("mta-sts = false", "mta-sts = true"))
    server.cli("reload")
    wait_for("the fetch role", lambda: server.pids("fetch"))
