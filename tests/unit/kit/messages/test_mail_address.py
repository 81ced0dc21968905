"""Mail addresses: each is refused, or carried by a mail's header unchanged."""

from __future__ import annotations

from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autogrocery.kit.messages.mail_address import MAX_BYTES, parse_mail_address

LONGEST = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 61}"
ACCEPTED = {
    "anna@example.com": "anna@example.com",
    "Anna.B+receipts@Example.COM": "Anna.B+receipts@Example.COM",
    "o'neil!#$%&*/=?^_`{|}~-@example.com": "o'neil!#$%&*/=?^_`{|}~-@example.com",
    "root@localhost": "root@localhost",
    "a@3com.example": "a@3com.example",
    LONGEST: LONGEST,
    "anna@bücher.example": "anna@xn--bcher-kva.example",
    "anna@BÜCHER.Example": "anna@xn--bcher-kva.example",
    "anna@bu\u0308cher.example": "anna@xn--bcher-kva.example",
    "anna@straße.example": "anna@xn--strae-oqa.example",
    "anna@日本。jp": "anna@xn--wgv71a.jp",
    "anna@xn--bcher-kva.example": "anna@xn--bcher-kva.example",
    "jörg@example.com": "jörg@example.com",
    "jo\u0308rg@example.com": "jörg@example.com",
    "用户@例子.广告": "用户@xn--fsqu00a.xn--4rr70v",
}
REFUSED = [
    "",
    "anna",
    "@",
    "anna@",
    "@example.com",
    "anna@example.com,",
    "anna@example.com;",
    "anna@example.com, b@example.com",
    "anna@b@example.com",
    "<anna@example.com>",
    "Anna <anna@example.com>",
    "anna@example.com (Anna)",
    "anna(x)@example.com",
    "mailto:anna@example.com",
    ".anna@example.com",
    "anna.@example.com",
    "an..na@example.com",
    '"anna b"@example.com',
    '"anna"@example.com',
    "anna b@example.com",
    " anna@example.com",
    "anna@example.com ",
    "anna@example.com\n",
    "anna@exa mple.com",
    "anna@example.com\r\nBcc: all@example.com",
    "an\tna@example.com",
    "an\0na@example.com",
    "an\x7fna@example.com",
    "an\x85na@example.com",
    "an\u00a0na@example.com",
    "an\u2028na@example.com",
    "an\u200bna@example.com",
    "\u202eanna@example.com",
    "\ud800anna@example.com",
    "anna@\ud800.example",
    "anna\\@example.com",
    "anna@example..com",
    "anna@.example.com",
    "anna@example.com.",
    "anna@example。",
    "anna@-example.com",
    "anna@example-.com",
    "anna@exa_mple.com",
    "anna@[127.0.0.1]",
    "anna@127.0.0.1",
    "anna@example.1",
    "anna@xn--zzzzzzzz.com",
    "anna@bü_cher.example",
    "anna\uff20example.com",
    "anna@exam\uff20ple.com",
    "a" * 65 + "@example.com",
    "ö" * 33 + "@example.com",
    f"a@{'b' * 64}.example",
    f"a@{'ü' * 60}.example",
    "a" + LONGEST,
    LONGEST + "d",
    f"{'a' * 60}@{'.'.join(['ü' * 20] * 8)}",
]


@pytest.mark.parametrize(("text", "stored"), ACCEPTED.items())
def test_address_is_stored_as_it_is_sent(text: str, stored: str) -> None:
    address = parse_mail_address(text)
    assert str(address) == stored
    assert parse_mail_address(stored) == address
    assert address.needs_smtputf8 is not address.local.isascii()


@pytest.mark.parametrize("text", REFUSED)
def test_text_that_is_not_one_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"@|bytes"):
        parse_mail_address(text)


PIECES = st.one_of(
    st.sampled_from([*'@.,;<>()[]\\" \r\n\t-_:', "anna", "example.com", "xn--", "ü", "\u0308", "\u200d", "\u202e"]),
    st.text(st.characters(exclude_categories=()), max_size=3),
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=12).map("".join),
    st.tuples(st.lists(PIECES, max_size=6), st.lists(PIECES, max_size=6)).map(lambda two: "@".join(map("".join, two))),
)


@settings(max_examples=1_500, deadline=None)
@given(TEXTS)
@example(LONGEST)
@example("用户@例子.广告")
def test_accepted_address_is_the_whole_header(text: str) -> None:
    try:
        address = parse_mail_address(text)
    except ValueError:
        return
    assert len(str(address).encode()) <= MAX_BYTES
    policy = SMTPUTF8 if address.needs_smtputf8 else SMTP
    mail = EmailMessage(policy=policy)
    mail["To"] = Address(username=address.local, domain=address.domain)
    mail.set_content("hello")
    raw = bytes(mail)
    parsed: Any = message_from_bytes(raw, policy=policy)
    assert f"To: {address}\r\n".encode() in raw.replace(b"To:\r\n ", b"To: ")
    assert sorted(parsed.keys()) == ["Content-Transfer-Encoding", "Content-Type", "MIME-Version", "To"]
    if not address.needs_smtputf8:
        assert [one.addr_spec for one in parsed["To"].addresses] == [str(address)]
        assert not parsed["To"].defects
