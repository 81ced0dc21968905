"""The mail sink speaks SMTP to a real client, counts messages and keeps none."""

from __future__ import annotations

import asyncio
import socket
import time
from email.message import EmailMessage

import aiosmtplib
import pytest

from bench.mail_sink import MAX_BUFFERED, MailSink, SinkCommand, open_mail_sink

WHOLE_SESSION = (
    b"EHLO client\r\nMAIL FROM:<a@devices.example> BODY=8BITMIME\r\nRCPT TO:<b@devices.example>\r\nDATA\r\n"
    b"Message-ID: <one@devices.example>\r\n\r\n..a line that begins with a dot\r\n.\r\n"
    b"MAIL FROM:<a@devices.example>\r\nRCPT TO:<b@devices.example>\r\nDATA\r\n.\r\nQUIT\r\n"
)


def message(name: str, to: str = "kiosk@devices.example") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = "shop@devices.example", to, f"<{name}@devices.example>"
    mail.set_content("A receipt.\n.\n\nThe line above is one dot.\n")
    return mail


def port_of(sink: MailSink) -> int:
    return int(sink.url.rpartition(":")[2])


async def send(sink: MailSink, *mails: EmailMessage) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port_of(sink)) as client:
        for mail in mails:
            await client.send_message(mail)


async def replies_to(sink: MailSink, sent: bytes) -> list[bytes]:
    """Return the lines that the sink answers to bytes that are sent at once, until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sink))
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            return (await reader.read()).splitlines()
    finally:
        writer.close()


async def test_messages_of_a_real_client_are_counted_and_a_repeated_one_once() -> None:
    async with open_mail_sink() as sink:
        await send(sink, message("one"), message("two"), message("one"))
        await send(sink, message("three", "gewürze@bücher.example"))  # needs SMTPUTF8
        counts = await sink.counts()
        assert (counts.messages, counts.distinct, counts.refused) == (4, 3, 0)
        assert await sink.command(SinkCommand(forget=True)) == await sink.counts()
        assert (await sink.counts()).messages == 0


async def test_pipelined_session_is_answered_in_order_and_closed() -> None:
    async with open_mail_sink() as sink:
        replies = await replies_to(sink, WHOLE_SESSION)
        counts = await sink.counts()
    codes = [reply[:4].decode() for reply in replies]
    assert codes == [
        *("220 ", "250-", "250-", "250-", "250 "),
        *("250 ", "250 ", "354 ", "250 "),
        *("250 ", "250 ", "354 ", "250 ", "221 "),
    ]
    assert (counts.messages, counts.distinct) == (2, 2)


async def test_refused_messages_are_not_counted_as_arrived() -> None:
    async with open_mail_sink() as sink:
        await sink.command(SinkCommand(refuse=451))
        with pytest.raises(aiosmtplib.SMTPDataError, match="451"):
            await send(sink, message("one"))
        assert (await sink.counts()).refused == 1
        await sink.command(SinkCommand(refuse=0))
        await send(sink, message("one"))
        counts = await sink.counts()
    assert (counts.messages, counts.distinct) == (1, 1)


async def test_slow_sink_delays_only_the_reply_to_a_message() -> None:
    async with open_mail_sink() as sink:
        await sink.command(SinkCommand(delay_s=0.5))
        began = time.perf_counter()
        await asyncio.gather(*(send(sink, message(f"mail-{number}")) for number in range(8)))
        took_s = time.perf_counter() - began
        assert (await sink.counts()).distinct == 8
    assert 0.5 <= took_s < 3.0  # the delays of eight connections pass at the same time


async def test_commands_out_of_order_and_endless_input_are_refused() -> None:
    async with open_mail_sink() as sink:
        replies = await replies_to(sink, b"DATA\r\nVRFY x\r\nQUIT\r\n")
        assert [reply[:3] for reply in replies] == [b"220", b"503", b"500", b"221"]
        with (
            socket.create_connection(("127.0.0.1", port_of(sink)), timeout=10) as client,
            pytest.raises(ConnectionError),
        ):
            await asyncio.to_thread(client.sendall, b"x" * 64 * MAX_BUFFERED)  # more than the kernel buffers
        assert (await sink.counts()).messages == 0
