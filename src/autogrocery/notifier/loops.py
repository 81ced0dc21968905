"""The notifier's loops: one for each outbox. Several notifiers share the work: rows are claimed with SKIP LOCKED."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from autogrocery.kit.pg.outbox import Outbox
from autogrocery.kit.process import clock
from autogrocery.kit.process.loops import Loop
from autogrocery.notifier.actions.send_alert import send_alert
from autogrocery.notifier.actions.send_receipt import send_receipt
from autogrocery.notifier.core.pace import BATCH, Pace
from autogrocery.notifier.peers import mail as mails
from autogrocery.notifier.store import alerts, receipts

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db, Row
    from autogrocery.notifier.actions.send_alert import AlertLimits
    from autogrocery.notifier.peers.mail import Mail
    from autogrocery.notifier.peers.sms import Sms

GIVE_UP_S: Final = 24 * 3600.0
LEASE_S: Final = 30.0
AT_ONCE: Final = 8  # mails or SMS under way, so also the number of connections
BEGIN_WITHIN_S: Final = LEASE_S - mails.DEADLINE_S - 1.0  # so that what has begun ends before the lease

_outbox = partial(
    Outbox,
    give_up_after_s=GIVE_UP_S,
    batch=BATCH,
    at_once=AT_ONCE,
    lease_s=LEASE_S,
    begin_within_s=BEGIN_WITHIN_S,
)


def notifier_loops(db: Db, mail: Mail, sms: Sms, store_id: str, limits: AlertLimits) -> list[Loop]:
    """Return the relays of receipts and alerts."""
    return [
        _paced("receipts", receipt_outbox(db, mail, store_id)),
        _paced("alerts", alert_outbox(db, sms, store_id, limits)),
    ]


def receipt_outbox(db: Db, mail: Mail, store_id: str) -> Outbox:
    """Return the outbox of receipts; one that is a day late is given up."""

    async def deliver(row: Row) -> str | None:
        return await send_receipt(mail, receipts.completed_order(row), row["email"], store_id)

    return _outbox(db, receipts.TABLE, receipts.KEY, deliver, read=receipts.READ, types=receipts.KEY_TYPES)


def alert_outbox(db: Db, sms: Sms, store_id: str, limits: AlertLimits) -> Outbox:
    """Return the outbox of alerts; one that is a day late, quiet hours included, is given up."""

    async def deliver(row: Row) -> str | None:
        alert = alerts.claimed_alert(row)
        return await send_alert(db, sms, alert, store_id=store_id, limits=limits, at=clock.now())

    return _outbox(db, alerts.TABLE, alerts.KEY, deliver, read=alerts.READ, types=alerts.KEY_TYPES)


def _paced(name: str, outbox: Outbox) -> Loop:
    pace = Pace()

    async def relay() -> bool:
        began_s = time.process_time()
        try:
            claimed = await outbox.relay()
        except Exception:
            pace.after_failure()
            raise
        pace.after_batch(claimed, time.process_time() - began_s)
        return False

    return Loop(name, lambda: pace.wait_s, relay)
