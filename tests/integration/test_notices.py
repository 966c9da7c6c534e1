"""Notices about deliveries, whatever the far end answers: read by Python's email and by flufl.bounce."""
import email
import email.policy
import random

import pytest

from conftest import wait_for
from test_dkim import sender, submit  # noqa: F401  (a fixture)

flufl = pytest.importorskip("flufl.bounce", reason="python3-flufl.bounce is not installed")

HEAD = "From: alice@example.test\r\nTo: x@far.test\r\nSubject: {0}\r\nMessage-ID: <{0}@example.test>\r\n\r\nbody\r\n"

HOSTILE = {
    "a field": "550 5.1.1 no\tAction: delivered Status: 2.0.0",
    "a part": "550 5.1.1 no --holdfast-0123456789abcdef0123456789abcdef--",
    "controls": "550 5.1.1 \x1b[31m red \x07\x08\x7f \x0b\x0c",
    "other bytes": "550 5.1.1 \u00fc \u202e evil \u2028 \u0085 end",
    "markup": "550 5.1.1 <script>alert(1)</script> =?utf-8?q?=0AFrom:_x?= %s%n",
    "quotes": "550 5.1.1 \"unclosed (comment [ literal \\",
    "no words": "550",
    "a code that lies": "550 2.0.0 delivered",
    "long": "550 5.7.1 " + "x" * 400,
    "many words": "550 5.7.1 " + "y " * 200,
    "several lines": "550-5.1.1 one\r\n550-5.1.1 --boundary\r\n550 5.1.1 Action: relayed",
}


def as_bytes(text):
    """As the hop says it: one character of Latin-1 for each byte of UTF-8."""
    return text.encode().decode("latin-1")


def notice_about(server, subject):
    def find():
        for raw in server.messages("alice"):
            parsed = email.message_from_bytes(raw, policy=email.policy.default)
            if parsed["In-Reply-To"] == f"<{subject}@example.test>":
                return raw, parsed
    return wait_for(f"a notice about {subject}", find)


def check(raw, notice, rcpt):
    """Exactly three parts, one recipient, and nothing that our own words do not say."""
    assert not notice.defects and notice.get_content_type() == "multipart/report"
    assert notice.get_param("report-type") == "delivery-status"
    text, status, original = notice.iter_parts()
    assert not [p for p in notice.walk() if p.defects]
    message, *groups = status.get_payload()
    [group] = [g for g in groups if len(g)]
    assert message["Reporting-MTA"] == "dns; mx.example.test"
    assert group.get_all("Final-Recipient") == [f"rfc822; {rcpt}"]
    assert group.get_all("Action") == ["failed"]
    [code] = group.get_all("Status")
    assert code.startswith("5.")
    assert original.get_content_type() in ("message/rfc822", "text/rfc822-headers")
    assert flufl.all_failures(notice) == (set(), {rcpt.encode()})
    for line in raw.splitlines():
        assert len(line) <= 998
    assert not any(b < 32 and b not in b"\r\n\t" for b in raw) and 0x7f not in raw
    return text.get_content()


@pytest.mark.parametrize("name", HOSTILE)
def test_an_answer_cannot_forge_anything(sender, name):  # noqa: F811
    rcpt = "bob@far.test"
    sender.hop.refuse_rcpt = {rcpt: [as_bytes(HOSTILE[name])]}
    submit(sender, HEAD.format("one").encode(), rcpt)
    text = check(*notice_about(sender, "one"), rcpt)
    assert "could not be delivered" in text and rcpt in text


def test_random_answers_are_harmless(sender):  # noqa: F811
    """Many at once; the seed is fixed, so that what fails can be found again."""
    dice = random.Random(20261121)
    signs = "ab \t:;-=<>()\"\\.@%\x01\x1b\x7f\u00e9\u202e\U0001f600"
    for i in range(40):
        rcpt = f"bob{i}@far.test"
        words = "".join(dice.choice(signs) for _ in range(dice.randrange(300)))
        sender.hop.refuse_rcpt[rcpt] = [as_bytes(f"55{dice.randrange(5)} {words}")]
    for i in range(40):
        submit(sender, HEAD.format(f"n{i}").encode(), f"bob{i}@far.test")
    for i in range(40):
        check(*notice_about(sender, f"n{i}"), f"bob{i}@far.test")
