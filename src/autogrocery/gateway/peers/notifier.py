"""The notifier as a child process: it sends receipts and alerts, at a lower priority than this process's requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.kit.messages.mail_address import parse_sender
from autogrocery.kit.messages.quiet_hours import parse_quiet_hours
from autogrocery.kit.messages.sms_url import parse_sms_url
from autogrocery.kit.messages.smtp_url import parse_smtp_url
from autogrocery.kit.process.child import running_child
from autogrocery.kit.process.interpreter import inherited_environ, module_command
from autogrocery.kit.security.transport import local_address

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from autogrocery.contracts.notifier_settings import MessageSettings

NICE: Final = 10
# What it has no use for: the secrets of tokens and webhooks, and the socket where this process reports its own state.
WITHHELD: Final = frozenset({"JWT_SECRET", "ROBOT_JWT_SECRET", "WEBHOOK_SECRET", "NOTIFY_SOCKET"})


def check_message_settings(settings: MessageSettings) -> None:
    """Raise SettingsError, naming the variable, if the notifier could not start with these settings."""
    parse_sender("RECEIPT_FROM", settings.receipt_from)
    parse_quiet_hours(settings.alert_quiet_hours, settings.store_timezone)
    if settings.smtp_url:
        parse_smtp_url(settings.smtp_url)
    if settings.sms_url:
        parse_sms_url(settings.sms_url)
    if settings.notifier_http_addr:
        local_address("NOTIFIER_HTTP_ADDR", settings.notifier_http_addr)


def running_notifier(environ: Mapping[str, str]) -> AbstractAsyncContextManager[None]:
    """Keep a notifier running while the context lasts; its settings are those of `environ`, never arguments."""
    given = {name: value for name, value in environ.items() if name not in WITHHELD}
    return running_child("notifier", module_command("autogrocery", "notifier"), inherited_environ() | given, nice=NICE)
