"""SMTP connections that are used again: what a server may do to them, and what a mail goes through nevertheless."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogrocery.kit.errors import Invalid, Unavailable
from autogrocery.kit.messages.mail_address import parse_mail_address
from autogrocery.notifier.core.receipt_mail import ReceiptMail
from autogrocery.notifier.peers import mail as mails
from autogrocery.notifier.peers.smtp import MAX_REPLY_BYTES
from tests.harness.notifier import SENDER, mail_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from autogrocery.notifier.peers.mail import SmtpMail

DEADLINE_S = 1.0


def make_mail(text: str = "hello", to: str = "kitchen@home.example", name: str = "1") -> ReceiptMail:
    content = f"From: {SENDER}\r\nMessage-ID: <{name}@mart.example>\r\n\r\n{text}\r\n"
    return ReceiptMail(name, SENDER, parse_mail_address(to), content.encode())


class Server:
    """An SMTP server in this loop. `reply` may replace the reply to a command, or to the end of a mail (`.`)."""

    def __init__(self, offers: tuple[str, ...] = ("PIPELINING", "SMTPUTF8"), closes_after: int = 1_000) -> None:
        self.offers = offers
        self.closes_after = closes_after
        self.connections = 0
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self.reply: Callable[[str], bytes | None] = lambda _command: None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            writer.write(self.reply("") or b"220 here\r\n")
            taken = 0
            while line := await reader.readline():
                command = line.decode().rstrip("\r\n")
                self.commands.append(command)
                answer = self.reply(command) or self._usual(command)
                writer.write(answer)
                if answer.startswith(b"354"):
                    content = await self._content(reader)
                    answer = self.reply(".") or b"250 taken\r\n"
                    if answer.startswith(b"250"):
                        self.mails.append(content)
                    writer.write(answer)
                    taken += 1
                if taken >= self.closes_after or answer.startswith((b"221", b"421")):
                    return
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _usual(self, command: str) -> bytes:
        verb = command.split(" ", maxsplit=1)[0].split(":", maxsplit=1)[0].upper()
        if verb == "EHLO":
            lines = ("here", *self.offers)
            return b"".join(f"250{'-' if line != lines[-1] else ' '}{line}\r\n".encode() for line in lines)
        return {"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}.get(verb, b"250 OK\r\n")

    async def _content(self, reader: asyncio.StreamReader) -> bytes:
        lines = []
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[SmtpMail]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    mail = mail_to(f"smtp://127.0.0.1:{listener.sockets[0].getsockname()[1]}", deadline_s=DEADLINE_S)
    try:
        yield mail
    finally:
        mail.close()
        listener.close()
        await asyncio.sleep(0.02)  # until the server's ends are closed too


@pytest.mark.parametrize("offers", [("PIPELINING",), ("SIZE 1000",)])
async def test_many_mails_go_over_one_connection(offers: tuple[str, ...]) -> None:
    server = Server(offers)
    async with serving(server) as mail:
        for number in range(20):
            await mail.send(make_mail(name=str(number)))
    assert (server.connections, len(server.mails)) == (1, 20)
    assert [message_from_bytes(one)["Message-ID"] for one in server.mails] == [f"<{n}@mart.example>" for n in range(20)]


async def test_concurrent_mails_have_connections_of_their_own_and_share_them_later() -> None:
    server = Server()
    async with serving(server) as mail:
        for _ in range(3):
            await asyncio.gather(*(mail.send(make_mail()) for _ in range(4)))
    assert (server.connections, len(server.mails)) == (4, 12)


async def test_a_connection_is_replaced_after_so_many_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mails, "MAX_MAILS", 3)
    server = Server()
    async with serving(server) as mail:
        for _ in range(7):
            await mail.send(make_mail())
    assert (server.connections, len(server.mails)) == (3, 7)


async def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mails, "MAX_IDLE_S", 0.05)
    server = Server()
    async with serving(server) as mail:
        await mail.send(make_mail())
        await asyncio.sleep(0.2)
        assert server.commands[-1] == "QUIT"
        await mail.send(make_mail())
    assert server.connections == 2


@pytest.mark.parametrize("offers", [("PIPELINING",), ("SIZE 1000",)])
@pytest.mark.parametrize("closes_after", [1, 3])
async def test_a_server_that_closes_after_some_mails_loses_none(offers: tuple[str, ...], closes_after: int) -> None:
    server = Server(offers, closes_after)
    async with serving(server) as mail:
        for number in range(9):
            await mail.send(make_mail(name=str(number)))
    assert (server.connections, len(server.mails)) == (9 // closes_after, 9)


@pytest.mark.parametrize("offers", [("PIPELINING",), ("SIZE 1000",)])
async def test_421_to_a_used_connection_is_followed_by_a_new_one_at_once(offers: tuple[str, ...]) -> None:
    server = Server(offers)
    async with serving(server) as mail:
        await mail.send(make_mail())
        tired = [b"421 tired\r\n"]
        server.reply = lambda command: tired.pop() if command.startswith("MAIL") and tired else None
        await mail.send(make_mail())
    assert (server.connections, len(server.mails)) == (2, 2)


@pytest.mark.parametrize("offers", [("PIPELINING",), ("SIZE 1000",)])
@pytest.mark.parametrize("where", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("code", [421, 451, 550])
async def test_a_refused_mail_is_deferred_or_refused_and_the_next_one_is_sent(
    offers: tuple[str, ...], where: str, code: int
) -> None:
    server = Server(offers)
    async with serving(server) as mail:
        refusals = [f"{code} no\r\n".encode()]
        server.reply = lambda command: refusals.pop() if command.startswith(where) and refusals else None
        refused = Invalid if code >= 500 and where != "MAIL" else Unavailable
        with pytest.raises(refused):
            await mail.send(make_mail("first"))
        await mail.send(make_mail("second"))
    assert [message_from_bytes(one).get_payload() for one in server.mails] == ["second\r\n"]
    assert server.connections == (1 if code != 421 and where in {"DATA", "."} else server.connections)


async def test_a_bad_recipient_keeps_the_connection_if_the_server_does_not_want_its_mail() -> None:
    server = Server(("SIZE 1000",))
    async with serving(server) as mail:
        server.reply = lambda command: b"550 no\r\n" if "bad@" in command else None
        for to in ("a@home.example", "bad@home.example", "b@home.example"):
            try:
                await mail.send(make_mail(to=to))
            except Invalid:
                assert to == "bad@home.example"
    assert (server.connections, len(server.mails)) == (1, 2)


REPLIES = {
    "no code": b"hello\r\n",
    "letters": b"2a0 hello\r\n",
    "endless line": b"250 " + b"x" * (MAX_REPLY_BYTES + 9),
    "endless reply": b"250-x\r\n" * (MAX_REPLY_BYTES // 2),
    "many replies": b"250 x\r\n" * 99,
    "nothing": b"\r\n",
}


@pytest.mark.parametrize("where", ["", "EHLO", "MAIL", "DATA", "."])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_a_server_that_breaks_the_protocol_defers_the_mail(reply: bytes, where: str) -> None:
    server = Server()
    server.reply = lambda command: reply if command.startswith(where) and (where or not command) else None
    async with serving(server) as mail:
        if reply.startswith(b"250 x\r\n") and where in {"EHLO", "."}:
            return  # the first of the replies is a good one
        with pytest.raises(Unavailable):
            await mail.send(make_mail())
    assert server.mails == [] or where == "."  # what this server took, its client does not know


async def test_a_server_that_answers_nothing_is_given_up_in_time() -> None:
    server = Server()
    server.reply = lambda command: b"250-x\r\n" if command.startswith("MAIL") else None
    async with serving(server) as mail:
        with pytest.raises(Unavailable):
            await mail.send(make_mail())


async def test_starttls_with_a_reply_put_in_by_an_attacker_sends_nothing() -> None:
    server = Server(("STARTTLS",))
    server.reply = lambda command: b"220 go on\r\n250 mine\r\n" if command == "STARTTLS" else None
    async with serving(server) as mail:
        with pytest.raises(Unavailable):
            await mail.send(make_mail())
    assert not any(command.startswith("MAIL") for command in server.commands)


async def test_an_old_server_is_greeted_by_helo() -> None:
    server = Server()
    server.reply = lambda command: b"500 what\r\n" if command.startswith("EHLO") else None
    async with serving(server) as mail:
        await mail.send(make_mail())
    assert len(server.mails) == 1


LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=90), max_size=8)


@settings(max_examples=60, deadline=None)
@given(LINES | st.lists(st.sampled_from([".", "..", "", ".x", "QUIT", "MAIL FROM:<a@b>"]), max_size=8))
def test_any_line_arrives_as_it_is_and_ends_no_mail(lines: list[str]) -> None:
    async def send() -> list[bytes]:
        server = Server()
        async with serving(server) as mail:
            await mail.send(make_mail("\r\n".join(lines)))
            await mail.send(make_mail("next"))
        assert not any(command == "QUIT" for command in server.commands[:-1])
        return server.mails

    first, second = asyncio.run(send())
    assert first == make_mail("\r\n".join(lines)).content
    assert second == make_mail("next").content


def test_folder_is_made_private(tmp_path: Any) -> None:
    mail = mails.FolderMail(tmp_path / "home" / "receipts", SENDER)
    asyncio.run(mail.send(make_mail(name="a")))
    (file,) = (tmp_path / "home" / "receipts").iterdir()
    assert (file.name, file.read_bytes()) == ("a.eml", make_mail(name="a").content)
    assert (tmp_path / "home" / "receipts").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cant_be_written_defers_the_mail(tmp_path: Any) -> None:
    (tmp_path / "receipts").write_text("a file")
    with pytest.raises(Unavailable, match="mail_not_written"):
        asyncio.run(mails.FolderMail(tmp_path / "receipts", SENDER).send(make_mail()))
