"""An SMTP server on this machine, and a mailbox that keeps what it receives."""

from __future__ import annotations

from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller

from autogrocery.lab.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

START_TIMEOUT_S = 20.0


class Mailbox:
    """A handler of `serve_smtp`: keeps each message and answers `reply`; a reply other than 250 is given instead of
    keeping the message, or after keeping it if `keeps_rejected`."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.message_ids: list[str] = []
        self._contents: list[str] = []
        self.reply = "250 OK"
        self.keeps_rejected = False

    def message_ids_with(self, text: str) -> set[str]:
        """Return the Message-IDs of the messages that contain a text, in a header or in the body."""
        return {name for name, content in zip(self.message_ids, self._contents, strict=True) if text in content}

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        if self.reply.startswith("250") or self.keeps_rejected:
            message = message_from_bytes(envelope.content, policy=default)
            self.messages.append(message)
            self.message_ids.append(str(message["Message-ID"]))
            self._contents.append(envelope.content.decode())
        return self.reply


class ClosingController(Controller):
    """A server that, when it stops, also closes the connections that its clients keep open."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._opened: list[Any] = []

    def factory(self) -> Any:
        self._opened.append(super().factory())
        return self._opened[-1]

    def cancel_tasks(self, stop_loop: bool = True) -> None:  # noqa: FBT002 - as Controller declares it
        for one in self._opened:
            if one.transport is not None:
                one.transport.abort()
        self.loop.call_soon(super().cancel_tasks, stop_loop)


@contextmanager
def serve_smtp(handler: object, host: str = "127.0.0.1", port: int = 0, **options: Any) -> Iterator[str]:
    """Serve SMTP with the hooks of `handler` (`handle_DATA` and its like), in a thread; yields `host:port`.

    `port` 0 is any free one; `options` go to `aiosmtpd.controller.Controller`.
    """
    port = port or free_ports(1)[0]
    server = ClosingController(handler, hostname=host, port=port, ready_timeout=START_TIMEOUT_S, **options)
    server.start()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop()
