"""Deliveries to the world: real mail servers, a real DNS with DNSSEC, and what they get wrong.

The deliveries are those of an edge, made by build/tests/kit/send_once.
"""
import hashlib
import re
import subprocess

import pytest

import hops
from conftest import BUILD, PATIENCE, listens, self_signed, wait_for
from test_fetch import Authority as WebAuthority
from test_fetch import Web
from test_world import Sender
from world import DEAD, POSTFIX, REFUSED, US, Dns, FarPostfix, Space, needs_world

pytestmark = needs_world

SEND = BUILD / "tests" / "kit" / "send_once"
MESSAGE = b"Subject: hello\r\nFrom: alice@us.test\r\n\r\nline one\r\n.dot\r\n"


class Result:
    def __init__(self, line):
        self.host, self.tls, dsn, *self.answers = line.split("\t")
        self.dsn = dsn == "1"


def send_all(target, *words, rcpt=None, message=MESSAGE, **settings):
    usual = {"hop": "mx", "tls": "may", "dns": "127.0.0.1", "target": target, "rcpt": rcpt or f"bob@{target}"}
    named = [f"{k}={v}" for k, v in (usual | settings).items()]
    got = subprocess.run([SEND, *named, *words], input=message, capture_output=True, timeout=PATIENCE)
    assert got.returncode == 0, got.stderr.decode()
    return [Result(line) for line in got.stdout.decode().splitlines()]


def send(*args, **settings):
    [result] = send_all(*args, **settings)
    return result


def tlsa(cert, usage=3):
    """The record for the key of a certificate."""
    pem = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"], check=True, capture_output=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=pem.stdout, check=True,
                         capture_output=True)
    return f"{usage} 1 1 {hashlib.sha256(der.stdout).hexdigest()}"


WRONG = "3 1 1 " + "00" * 32
MX = f"@ MX 10 mx\nmx A {POSTFIX}\n"


def delivered(result):
    return all(a.startswith("250 ") for a in result.answers)


def failed_for_now(result):
    return all(a.startswith("000 ") for a in result.answers)


# ---- where mail goes

def test_hosts_are_tried_in_their_order_until_one_takes_the_mail(home):
    zones = {
        "plain.test": MX,
        "none.test": f"@ A {POSTFIX}\n",
        "null.test": "@ MX 0 .\n",
        "refused.test": f"@ MX 10 a\n@ MX 20 mx\na A {REFUSED}\nmx A {POSTFIX}\n",
        "nameless.test": f"@ MX 10 a\n@ MX 20 mx\nmx A {POSTFIX}\n",
        "ours.test": f"@ MX 10 us.test.\n@ MX 20 mx\nmx A {POSTFIX}\n",
        "second.test": f"@ MX 10 mx\n@ MX 20 us.test.\n@ MX 30 c\nmx A {POSTFIX}\nc A {REFUSED}\n",
        "us.test": f"@ A {US}\n",
    }
    users = [f"bob@{z}" for z in zones]
    with Space(), Dns(home / "dns", zones), FarPostfix(home / "postfix", users) as postfix:
        for domain in ("plain.test", "none.test", "refused.test", "nameless.test", "second.test"):
            result = send(domain)
            assert delivered(result), (domain, result.answers)
            assert POSTFIX in result.host
            wait_for("the message", lambda: postfix.messages(f"bob@{domain}"))
            assert b"\n.dot\n" in postfix.messages(f"bob@{domain}")[0].replace(b"\r\n", b"\n")
        for domain, answer in {"null.test": "556 5.1.10", "ours.test": "554 5.4.6",
                               "nowhere.test": "550 5.1.2", "sub.us.test": "550 5.1.2"}.items():
            assert send(domain).answers[0].startswith(answer), domain
        [good, bad] = send("plain.test", "rcpt=nobody@plain.test").answers
        assert good.startswith("250") and bad.startswith("550 5.1.1")


def test_a_dead_host_is_left_for_the_next(home):
    zones = {"dead.test": f"@ MX 10 a\n@ MX 20 mx\na A {DEAD}\nmx A {POSTFIX}\n"}
    with Space(), Dns(home / "dns", zones), FarPostfix(home / "postfix", ["bob@dead.test"]):
        assert delivered(send("dead.test"))


def test_without_a_name_server_mail_waits():
    with Space():
        assert failed_for_now(send("plain.test", dns="127.0.0.1:5"))


@pytest.mark.parametrize("do", [hops.gone, hops.closing, hops.nonsense, hops.endless_line, hops.half_a_line],
                         ids=lambda do: do.__name__)
def test_a_host_that_greets_badly_is_left_for_the_next(home, do):
    zones = {"bad.test": f"@ MX 10 a\n@ MX 20 mx\na A 127.0.0.1\nmx A {POSTFIX}\n"}
    with Space(), Dns(home / "dns", zones), FarPostfix(home / "postfix", ["bob@bad.test"]), \
            hops.Hop("greeting", do, lmtp=False, port=25) as bad:
        assert delivered(send("bad.test"))
        assert bad.misdeeds == 1


def test_mail_comes_from_the_address_that_is_configured(home):
    with Space(), Dns(home / "dns", {"plain.test": MX}), \
            FarPostfix(home / "postfix", ["bob@plain.test"]) as postfix:
        assert delivered(send("plain.test", source=f"2001:db8::7, {US}"))
        wait_for("Postfix to tell", lambda: f"[{US}]" in postfix.log())
        assert failed_for_now(send("plain.test", source="192.0.2.7"))


def test_one_connection_serves_for_several_messages(home):
    with Space(), Dns(home / "dns", {"plain.test": MX}), \
            FarPostfix(home / "postfix", ["bob@plain.test"], self_signed(home, "mx.plain.test")) as postfix:
        results = send_all("plain.test", times=5, reuse=20000)
        assert all(delivered(r) for r in results), [r.answers for r in results]
        assert [r.tls for r in results] == ["TLSv1.3 verified=no"] * 5
        wait_for("five messages", lambda: len(postfix.messages("bob@plain.test")) == 5)
        wait_for("the connection to end", lambda: "mail=5 rcpt=5 bdat=10 quit=1" in postfix.log())


# ---- TLS

def test_dane_is_obeyed_where_dnssec_vouches_for_it(home):
    cert = self_signed(home, "mx.dane.test")
    zones = {
        "dane.test": MX + f"_25._tcp.mx TLSA {tlsa(cert[0])}\n",
        "wrong.test": MX + f"_25._tcp.mx TLSA {WRONG}\n",
        "both.test": MX + f"_25._tcp.mx TLSA {WRONG}\n_25._tcp.mx TLSA {tlsa(cert[0])}\n",
        "useless.test": MX + f"_25._tcp.mx TLSA {tlsa(cert[0], usage=1)}\n",
        "unsigned.test": MX + f"_25._tcp.mx TLSA {WRONG}\n_dane TLSA {WRONG}\n",
        "plainly.test": MX,
        # the records of many names in one place; what is not signed there says nothing
        "alias.test": MX + f"_25._tcp.mx CNAME _dane\n_dane TLSA {tlsa(cert[0])}\n",
        "wrongalias.test": MX + "_25._tcp.mx CNAME _dane.wrong.test.\n",
        "faralias.test": MX + "_25._tcp.mx CNAME _dane.unsigned.test.\n",
    }
    zones["wrong.test"] += f"_dane TLSA {WRONG}\n"
    users = [f"bob@{z}" for z in zones]
    signed = tuple(z for z in zones if z != "unsigned.test")
    with Space(), Dns(home / "dns", zones, signed=signed):
        with FarPostfix(home / "postfix", users, cert) as postfix:
            for domain, how in {"dane.test": "dane", "both.test": "dane", "useless.test": "no",
                                "unsigned.test": "no", "plainly.test": "no", "alias.test": "dane",
                                "faralias.test": "no"}.items():
                result = send(domain)
                assert delivered(result), (domain, result.answers)
                assert result.tls == f"TLSv1.3 verified={how}", domain
            for domain in ("wrong.test", "wrongalias.test"):
                result = send(domain)
                assert failed_for_now(result) and "TLS" in result.answers[0], domain
                assert not postfix.messages(f"bob@{domain}")
            # what somebody has decided not to encrypt at all is not looked at
            assert send("wrong.test", tls="none").tls == ""
        # whose zone promises TLS, and who does not offer it, gets nothing in clear
        with FarPostfix(home / "bare", users) as bare:
            for domain in ("dane.test", "useless.test"):
                assert failed_for_now(send(domain)), domain
            assert delivered(send("unsigned.test"))
            assert not bare.messages("bob@dane.test")


SMART = {"hop": "smtp", "rcpt": "bob@far.test"}


def test_dane_is_obeyed_for_a_host_that_is_configured(home):
    """RFC 7672, 2.2.2: no MX records; the records of its port, behind an alias or of the alias itself."""
    cert = self_signed(home, "good.smart.test")
    good = tlsa(cert[0])
    zones = {
        "smart.test": f"good A {POSTFIX}\nbad A {POSTFIX}\nplain A {POSTFIX}\n"
                      f"_25._tcp.good TLSA {good}\n_25._tcp.bad TLSA {WRONG}\n_26._tcp.plain TLSA {WRONG}\n"
                      f"useless A {POSTFIX}\n_25._tcp.useless TLSA {tlsa(cert[0], usage=1)}\n"
                      # what is behind an alias counts first
                      f"alias CNAME good\n_25._tcp.alias TLSA {WRONG}\nbadalias CNAME bad\n"
                      f"own CNAME plain\n_25._tcp.own TLSA {good}\nbadown CNAME plain\n_25._tcp.badown TLSA {WRONG}\n"
                      f"far CNAME host.unsigned.test.\n_25._tcp.far TLSA {WRONG}\n",
        "unsigned.test": f"host A {POSTFIX}\n_25._tcp.host TLSA {WRONG}\n",
    }
    with Space(), Dns(home / "dns", zones, signed=("smart.test",)):
        with FarPostfix(home / "postfix", ["bob@far.test"], cert) as postfix:
            for host, how in {"good": "dane", "alias": "dane", "own": "dane", "plain": "no", "useless": "no",
                              "far": "no", "host.unsigned.test": "no"}.items():
                target = f"{host if '.' in host else f'{host}.smart.test'}:25"
                result = send(target, **SMART)
                assert delivered(result), (host, result.answers)
                assert result.tls == f"TLSv1.3 verified={how}", host
                assert result.host.startswith(f"{target} ")
            there = wait_for("all of them", lambda: len(postfix.messages("bob@far.test")) == 7)
            for host in ("bad", "badalias", "badown"):
                result = send(f"{host}.smart.test:25", **SMART)
                assert failed_for_now(result) and "TLSA" in result.answers[0], (host, result.answers)
            # where only DANE will do
            for host, ends in {"good": delivered, "alias": delivered, "plain": failed_for_now,
                               "useless": failed_for_now, "bad": failed_for_now}.items():
                result = send(f"{host}.smart.test:25", tls="dane", **SMART)
                assert ends(result), (host, result.answers)
            for target in ("host.unsigned.test:25", f"{POSTFIX}:25"):
                result = send(target, tls="dane", **SMART)
                assert failed_for_now(result) and "has no TLSA records that count" in result.answers[0], target
            # what somebody has decided not to encrypt at all is not looked at
            assert send("bad.smart.test:25", tls="none", **SMART).tls == ""
            assert wait_for("the rest", lambda: len(postfix.messages("bob@far.test")) == 10), there
        with FarPostfix(home / "bare", ["bob@far.test"]) as bare:
            assert failed_for_now(send("good.smart.test:25", **SMART))
            assert delivered(send("host.unsigned.test:25", **SMART))
            assert len(bare.messages("bob@far.test")) <= 1


def test_a_configured_host_may_have_a_certificate_for_its_alias(home):
    """DANE-TA: for the name behind the alias, or for the one that is configured, and no other."""
    authority = Authority(home)
    record = tlsa(authority.cert, usage=2)
    zones = {"smart.test": f"real A {POSTFIX}\nalias CNAME real\nother CNAME real\n_25._tcp.real TLSA {record}\n"}
    cert, key = authority.vouch("alias.smart.test")
    cert.write_bytes(cert.read_bytes() + authority.cert.read_bytes())
    with Space(), Dns(home / "dns", zones, signed=("smart.test",)), \
            FarPostfix(home / "postfix", ["bob@far.test"], (cert, key)):
        assert send("alias.smart.test:25", **SMART).tls == "TLSv1.3 verified=dane"
        for host in ("real", "other"):
            result = send(f"{host}.smart.test:25", **SMART)
            assert failed_for_now(result) and "TLS" in result.answers[0], result.answers


def test_only_dane_will_do_for_a_domain_where_that_is_wanted(home):
    cert = self_signed(home, "mx.dane.test")
    zones = {"dane.test": MX + f"_25._tcp.mx TLSA {tlsa(cert[0])}\n", "signed.test": MX, "unsigned.test": MX}
    with Space(), Dns(home / "dns", zones, signed=("dane.test", "signed.test")), \
            FarPostfix(home / "postfix", [f"bob@{z}" for z in zones], cert):
        assert send("dane.test", tls="dane").tls == "TLSv1.3 verified=dane"
        for domain in ("signed.test", "unsigned.test", f"[{POSTFIX}]"):
            result = send(domain, tls="dane", rcpt="bob@signed.test")
            assert failed_for_now(result) and "has no TLSA records that count" in result.answers[0], domain


def test_a_zone_whose_signatures_are_broken_gets_nothing(home):
    zones = {"bogus.test": MX, "good.test": MX}
    with Space():
        dns = Dns(home / "dns", zones, signed=("bogus.test", "good.test"))
        whole = dns.sign

        def sign(name, file):
            signed = whole(name, file)
            if name == "bogus.test":
                signed.write_text(signed.read_text().replace(POSTFIX, REFUSED).replace(
                    "MX\t10", "MX\t11"))
            return signed

        dns.sign = sign
        with dns, FarPostfix(home / "postfix", ["bob@good.test", "bob@bogus.test"]):
            assert delivered(send("good.test"))
            result = send("bogus.test")
            assert failed_for_now(result) and "4.4.3" in result.answers[0], result.answers


class Authority:
    """Vouches for certificates."""

    def __init__(self, directory):
        self.dir = directory / "authority"
        self.dir.mkdir()
        self.cert = self.dir / "ca.crt"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-days", "30", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")

    def openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.dir)

    def vouch(self, name):
        (self.dir / "ext").write_text(f"subjectAltName=DNS:{name}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                     "-CAcreateserial", "-days", "30", "-extfile", "ext", "-out", f"{name}.crt")
        return self.dir / f"{name}.crt", self.dir / f"{name}.key"


def test_a_host_must_prove_who_it_is_where_that_is_wanted(home):
    authority = Authority(home)
    zones = {"known.test": MX, "other.test": MX}
    users = [f"bob@{z}" for z in zones]
    with Space(), Dns(home / "dns", zones), \
            FarPostfix(home / "postfix", users, authority.vouch("mx.known.test")) as postfix:
        known = send("known.test", tls="verify", authorities=authority.cert)
        assert delivered(known) and known.tls == "TLSv1.3 verified=pkix"
        assert failed_for_now(send("other.test", tls="verify", authorities=authority.cert))
        assert failed_for_now(send("known.test", tls="verify"))
        assert delivered(send("other.test", tls="must", authorities=authority.cert))
        wait_for("the message", lambda: postfix.messages("bob@known.test"))
        assert len(postfix.messages("bob@known.test")) == 1


POLICY = "version: STSv1\nmode: {}\nmx: {}\nmax_age: 86400\n"


def test_an_mta_sts_policy_is_obeyed(home):
    authority = Authority(home)
    record = '_mta-sts TXT "v=STSv1; id=20260101000000"\n'
    zones = {"good.test": MX + record, "self.test": MX + record, "none.test": MX}
    users = [f"bob@{z}" for z in zones]
    policy = home / "policy"
    how = {"policy": policy, "authorities": authority.cert}
    with Space(), Dns(home / "dns", zones), \
            FarPostfix(home / "postfix", users, authority.vouch("mx.good.test")):
        policy.write_text(POLICY.format("enforce", "*.good.test"))
        good = send("good.test", **how)
        assert delivered(good) and good.tls == "TLSv1.3 verified=sts"
        # its hosts must be among those of the policy, and the certificate theirs
        other = send("self.test", **how)
        assert failed_for_now(other) and "MTA-STS" in other.answers[0]
        policy.write_text(POLICY.format("enforce", "*.self.test"))
        assert failed_for_now(send("self.test", **how))
        policy.write_text(POLICY.format("testing", "*.self.test"))
        assert send("self.test", **how).tls == "TLSv1.3 verified=no"
        policy.write_text("<html>")
        assert send("self.test", **how).tls == "TLSv1.3 verified=no"
        # no record, no question; nobody to ask, no policy
        policy.write_text(POLICY.format("enforce", "elsewhere.test"))
        assert send("none.test", **how).tls == "TLSv1.3 verified=no"
        assert send("self.test").tls == "TLSv1.3 verified=no"


def test_a_whole_server_fetches_policies_and_obeys_them(home):
    """The fetch role gets them from a web server, the edge from the fetch role."""
    authority = WebAuthority(home)
    record = f'_mta-sts TXT "v=STSv1; id=1"\nmta-sts A {US}\n'
    zones = {"good.test": MX + record, "strict.test": MX + record}
    names = [f"mta-sts.{z}" for z in zones]
    settings = (f'delivery: {{ relay = "mx"; connect-timeout = "20s"; authorities = "{authority.cert}";\n'
                f'  source = "{US}"; }};\n'
                f'fetch: {{ ca-file = "{authority.cert}"; private = true; }};\n')
    with Space(), Dns(home / "dns", zones), \
            FarPostfix(home / "postfix", [f"bob@{z}" for z in zones], authority.pair("mx.good.test")) as postfix:
        web = Web(authority, US, 443, [names])
        web.policy("good.test", POLICY.format("enforce", "mx.good.test"))
        web.policy("strict.test", POLICY.format("enforce", "mx.strict.test"))
        server = Sender(home)
        text = server.config.read_text()
        server.config.write_text(re.sub(r"^delivery: .*$", lambda _: settings, text, count=1, flags=re.M))
        try:
            server.start()
            # nobody waits for this role, and mail waits for it 20 s and then goes out without it
            server.wait_log(r"log=role-started .*key=fetch")
            server.submit("bob@good.test", text="to-good")
            server.submit("bob@strict.test", text="to-strict")
            wait_for("the message", lambda: postfix.messages("bob@good.test"))
            server.wait_log(r"log=delivered.*verified=sts")
            # the same Postfix has no certificate for this one's host
            server.wait_log(r"log=deferred.*strict.*TLS")
            assert not postfix.messages("bob@strict.test")
            wait_for("Postfix to tell", lambda: f"[{US}]" in postfix.log())
        finally:
            server.stop()
            web.stop()


# ---- a smarthost

DOVECOT = """\
base_dir = {top}/run
state_dir = {top}/state
log_path = {top}/log
protocols =
ssl = no
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
auth_mechanisms = {mechanisms}
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = {top}/users
}}
userdb {{
  driver = static
  args = uid=1 gid=1 home=/nonexistent
}}
service auth {{
  unix_listener {top}/auth {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


class Passwords:
    """Dovecot's SASL, for Postfix to ask."""

    def __init__(self, directory, mechanisms):
        self.top, self.mechanisms = directory, mechanisms

    def __enter__(self):
        self.top.mkdir()
        self.top.chmod(0o755)
        (self.top / "users").write_text("relay@us.test:{PLAIN}open sesame\n")
        (self.top / "conf").write_text(DOVECOT.format(top=self.top, mechanisms=self.mechanisms))
        self.process = subprocess.Popen(["dovecot", "-F", "-c", self.top / "conf"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=open(self.top / "stderr", "wb"))
        wait_for("Dovecot to listen", lambda: listens(self.top / "auth"))
        return self

    def settings(self):
        return {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": self.top / "auth",
                "smtpd_tls_auth_only": "yes", "mynetworks": "192.0.2.1/32", "smtpd_relay_restrictions":
                "permit_sasl_authenticated,reject_unauth_destination",
                "smtpd_recipient_restrictions": "permit_sasl_authenticated,reject"}

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(PATIENCE)


@hops.needs_dovecot
@pytest.mark.parametrize("mechanisms", ["plain", "login", "login plain"])
def test_a_smarthost_gets_a_login_inside_tls(home, mechanisms):
    with Space(), Passwords(home / "passwords", mechanisms) as passwords, \
            FarPostfix(home / "postfix", ["bob@far.test"], self_signed(home, "smart.test"),
                       **passwords.settings()) as postfix:
        target, how = f"{POSTFIX}:25", {"hop": "smtp", "rcpt": "bob@far.test", "tls": "must"}
        good = send(target, login="relay@us.test:open sesame", times=1, **how)
        assert delivered(good) and good.tls.startswith("TLSv1.") and good.dsn
        wait_for("Postfix to tell", lambda: "sasl_username=relay@us.test" in postfix.log())
        wrong = send(target, login="relay@us.test:guess", **how)
        assert failed_for_now(wrong) and "AUTH was answered with 535" in wrong.answers[0]
        assert send(target, **how).answers[0].startswith("554 ")
        # not in clear, whatever is offered there
        clear = send(target, login="relay@us.test:open sesame", **how | {"tls": "none"})
        assert failed_for_now(clear) and "not encrypted" in clear.answers[0]
