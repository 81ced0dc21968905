"""The battery's table for restocks: the states, the steps, and for each pair of them the expected answer and row.

A state's name is the row's status, then inventory's state where the gateway does not know it yet: `taken` (accepted),
`shelved` (put away), `refused`. `unpriced`: the call to pricing is in doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.submit_restock import submit_restock
from autogrocery.gateway.core.order import WebhookDelivery
from autogrocery.gateway.core.restock import RESTOCK_TERMINAL, Restock, RestockFact
from autogrocery.gateway.store import restocks
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from tests.harness.fake_peers import RestockState
from tests.harness.truck_actions import BREAD, TruckActions
from tests.proofs.battery.environment import clear_faults, failing_call, outcome_of
from tests.proofs.battery.table import SAME, Cell, Impossible, expect, unanswered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

DOWN: Final = grpc.StatusCode.UNAVAILABLE
SOME: Final = {"milk": (7, 1)}
ALL: Final = {"milk": (19, 1), "bread": (5, 0)}
REFUSAL: Final = "no room"


def id_of(truck: TruckActions) -> UUID:
    return truck.id_of(truck.manifest())


def row_state(row: Restock | None) -> str:
    """Return the row's status and what it owes: `ANNOUNCED owes RESTOCK`."""
    if row is None:
        return "nothing"
    return f"{row.status} owes {row.intent}" if row.intent else row.status.value


async def nothing(_depot: TruckActions) -> None:
    return


async def announced(truck: TruckActions) -> None:
    with failing_call(truck.gateway.fake_inventory, "RestockItems", DOWN):
        await truck.restock(truck.manifest())


async def announced_taken(truck: TruckActions) -> None:
    with failing_call(truck.gateway.fake_inventory, "RestockItems", DOWN, after_effect=True):
        await truck.restock(truck.manifest())


async def announced_shelved(truck: TruckActions) -> None:
    await announced_taken(truck)
    truck.gateway.fake_inventory.put_away(str(id_of(truck)), ALL)


async def announced_refused(truck: TruckActions) -> None:
    truck.gateway.fake_inventory.refuse_restocks = REFUSAL
    await announced_taken(truck)
    clear_faults(truck.gateway)


async def receiving(truck: TruckActions) -> None:
    await truck.restock(truck.manifest())


async def receiving_unpriced(truck: TruckActions) -> None:
    truck.gateway.fake_pricing.abort_with = DOWN
    await receiving(truck)
    clear_faults(truck.gateway)


async def receiving_some(truck: TruckActions) -> None:
    await receiving(truck)
    truck.gateway.fake_inventory.put_away(str(id_of(truck)), SOME, done=False)
    await truck.update(id_of(truck), RestockFact.ACCEPTED, SOME)


async def receiving_shelved(truck: TruckActions) -> None:
    await receiving(truck)
    truck.gateway.fake_inventory.put_away(str(id_of(truck)), ALL)


async def received(truck: TruckActions) -> None:
    await receiving_shelved(truck)
    await truck.update(id_of(truck), RestockFact.SHELVED, ALL)


async def received_unpriced(truck: TruckActions) -> None:
    await receiving_unpriced(truck)
    truck.gateway.fake_inventory.put_away(str(id_of(truck)), ALL)
    await truck.update(id_of(truck), RestockFact.SHELVED, ALL)


async def rejected(truck: TruckActions) -> None:
    truck.gateway.fake_inventory.refuse_restocks = REFUSAL
    await outcome_of(truck.restock(truck.manifest()))
    clear_faults(truck.gateway)


async def rejected_late(truck: TruckActions) -> None:
    await receiving(truck)
    truck.gateway.fake_inventory.restocks[str(id_of(truck))] = RestockState.REJECTED
    await truck.update(id_of(truck), RestockFact.REFUSED, {})


STATES: Final[dict[str, Callable[[TruckActions], Awaitable[None]]]] = {
    make.__name__: make
    for make in (
        nothing,
        announced,
        announced_taken,
        announced_shelved,
        announced_refused,
        receiving,
        receiving_unpriced,
        receiving_some,
        receiving_shelved,
        received,
        received_unpriced,
        rejected,
        rejected_late,
    )
}
ROW_STATES: Final = {"announced": "ANNOUNCED owes RESTOCK", "nothing": "nothing"}


def expected_row_state(state: str) -> str:
    first = state.partition("_")[0]
    return ROW_STATES.get(first, f"{first.upper()}{' owes PRICE' if state.endswith('unpriced') else ''}")


async def restock(truck: TruckActions) -> str:
    return await truck.restock(truck.manifest())


async def restock_refused(truck: TruckActions) -> str:
    """Restock while inventory refuses every delivery that it does not know yet."""
    truck.gateway.fake_inventory.refuse_restocks = REFUSAL
    return await restock(truck)


async def restock_another(truck: TruckActions) -> str:
    """Announce other goods under the same manifest_no."""
    return await truck.restock(truck.manifest("m-1", BREAD))


async def sweeping(truck: TruckActions) -> str:
    gateway = truck.gateway
    return row_state(
        await submit_restock(gateway.db, gateway.inventory, gateway.pricing, gateway.metrics, id_of(truck))
    )


async def reconciling(truck: TruckActions) -> str:
    await reconcile_restock(truck.gateway.db, truck.gateway.inventory, truck.gateway.metrics, id_of(truck))
    return "done"


async def webhook_some(truck: TruckActions) -> str:
    return await _webhook(truck, RestockFact.ACCEPTED, SOME, RestockState.RECEIVING)


async def webhook_all(truck: TruckActions) -> str:
    return await _webhook(truck, RestockFact.SHELVED, ALL, RestockState.RECEIVED)


async def webhook_rejected(truck: TruckActions) -> str:
    return await _webhook(truck, RestockFact.REFUSED, {}, RestockState.REJECTED)


async def _webhook(truck: TruckActions, fact: RestockFact, counts: dict[str, tuple[int, int]], state: int) -> str:
    """Send inventory's webhook: true for a restock that has not ended, outdated for one that has."""
    fake_inventory, oid = truck.gateway.fake_inventory, str(id_of(truck))
    row = await restocks.get(truck.gateway.db, id_of(truck))
    if (
        row is not None
        and row.status not in RESTOCK_TERMINAL
        and fake_inventory.restocks[oid] == RestockState.RECEIVING
    ):
        fake_inventory.received[oid], fake_inventory.restocks[oid] = (
            fake_inventory.received.get(oid, {}) | counts,
            state,
        )
    applied, status = await truck.update(id_of(truck), fact, counts, WebhookDelivery(f"msg-{fact}", bytes(32)))
    return f"{'applied' if applied else 'known'} {status}"


STEPS: Final[dict[str, tuple[Callable[[TruckActions], Awaitable[str]], str]]] = {
    "restock": (restock, "restock submit_restock"),
    "restock_refused": (restock_refused, "restock submit_restock"),
    "restock_another": (restock_another, "restock"),
    "sweeping": (sweeping, "submit_restock"),
    "reconciling": (reconciling, "reconcile_restock update_restock"),
    "webhook_some": (webhook_some, "update_restock"),
    "webhook_all": (webhook_all, "update_restock"),
    "webhook_rejected": (webhook_rejected, "update_restock"),
}


async def answer_of(step: str, truck: TruckActions) -> str:
    """Run a step and return its answer: what it returns, a status code with a problem code, or `in doubt`."""
    try:
        return await STEPS[step][0](truck)
    except Refused as refusal:
        return f"{refusal.status} {refusal.code}"
    except Unavailable as error:
        return f"503 {error.code}"
    except InDoubt:
        return "in doubt"


ANNOUNCED, UNPRICED = "ANNOUNCED owes RESTOCK", "RECEIVING owes PRICE"
ANNOUNCED_IN_DOUBT: Final = unanswered("RestockItems", "202 in_doubt", ANNOUNCED)
MADE: Final = expect(
    "201 RECEIVING",
    "RECEIVING",
    {**ANNOUNCED_IN_DOUBT, **unanswered("UpdateStockMetrics", "201 RECEIVING", UNPRICED)},
    "200 RECEIVING",
)
ACCEPTED_BEFORE: Final = expect(
    "200 RECEIVING", "RECEIVING", {**ANNOUNCED_IN_DOUBT, **unanswered("UpdateStockMetrics", "200 RECEIVING", UNPRICED)}
)
REFUSED: Final = expect("409 restock_refused", "REJECTED", ANNOUNCED_IN_DOUBT)
KNOWN: Final[dict[str, Cell | Impossible]] = {
    "receiving receiving_unpriced receiving_some receiving_shelved": expect("200 RECEIVING"),
    "received received_unpriced": expect("200 RECEIVED"),
    "rejected": expect("409 restock_refused"),
    "rejected_late": expect("200 REJECTED"),
    "announced_refused": REFUSED,
    "announced_taken announced_shelved": ACCEPTED_BEFORE,
}
PRICES: Final = unanswered("UpdateStockMetrics", "in doubt", UNPRICED)
OWED: Final = expect("RECEIVING", "RECEIVING", {**unanswered("RestockItems", "in doubt"), **PRICES})
GETS_ORDER: Final = unanswered("GetRestock", "in doubt")
FALSE_WEBHOOK: Final = Impossible(
    "a signed webhook that contradicts inventory's own state: excluded by docs/PROTOCOL.md#what-a-peer-promises, K5"
)
TAKEN: Final = "announced_taken announced_shelved"


def _webhook_cells(status: str, applied_from_some: str) -> dict[str, Cell | Impossible]:
    """Return the cells of a webhook that reports `status`."""
    unpriced = status if status == "REJECTED" else f"{status} owes PRICE"
    known, owing = f"known {status}", f"{status} owes PRICE"
    shelved = FALSE_WEBHOOK if status == "REJECTED" else expect(f"applied {status}", unpriced, again=known)
    return {
        "nothing": expect("404 order_not_found"),
        "announced announced_refused": FALSE_WEBHOOK,
        "announced_taken": expect(f"applied {status}", unpriced, again=known),
        "announced_shelved": shelved,
        "receiving": expect(f"applied {status}", status, again=known),
        "receiving_shelved": FALSE_WEBHOOK
        if shelved is FALSE_WEBHOOK
        else expect(f"applied {status}", status, again=known),
        "receiving_unpriced": expect(f"applied {status}", owing, again=known),
        "receiving_some": expect(applied_from_some, status, again=known),
        "received received_unpriced": expect("known RECEIVED"),
        "rejected rejected_late": expect("known REJECTED"),
    }


ROWS: Final[dict[str, dict[str, Cell | Impossible]]] = {
    "restock": {**KNOWN, "nothing": MADE, "announced": ACCEPTED_BEFORE},
    "restock_refused": {**KNOWN, "nothing announced": REFUSED},
    "restock_another": {"nothing": MADE, "*": expect("422 manifest_mismatch")},
    "sweeping": {
        "nothing": expect("nothing"),
        f"announced {TAKEN}": OWED,
        "announced_refused": expect("REJECTED", "REJECTED", unanswered("RestockItems", "in doubt")),
        "receiving_unpriced": expect("RECEIVING", "RECEIVING", unanswered("UpdateStockMetrics", "in doubt")),
        "received_unpriced": expect("RECEIVED", "RECEIVED", unanswered("UpdateStockMetrics", "in doubt")),
        "receiving receiving_some receiving_shelved": expect("RECEIVING"),
        "received": expect("RECEIVED"),
        "rejected rejected_late": expect("REJECTED"),
    },
    "reconciling": {
        f"nothing announced {TAKEN} announced_refused": Impossible(
            "it was claimed as RECEIVING, from where no transition leads here"
        ),
        "receiving receiving_unpriced receiving_some received received_unpriced rejected rejected_late": expect(
            "done", calls=GETS_ORDER
        ),
        "receiving_shelved": expect("done", "RECEIVED", GETS_ORDER),
    },
    "webhook_some": _webhook_cells("RECEIVING", "known RECEIVING"),
    "webhook_all": _webhook_cells("RECEIVED", "applied RECEIVED"),
    "webhook_rejected": _webhook_cells("REJECTED", "applied REJECTED"),
}
TABLE: Final = {
    step: {
        state: next(
            (cell for states, cell in column.items() if state in states.split()), column.get("*", FALSE_WEBHOOK)
        )
        for state in STATES
    }
    for step, column in ROWS.items()
}
CELLS: Final = [
    (step, state) for step, column in TABLE.items() for state, cell in column.items() if isinstance(cell, Cell)
]


def cell_of(step: str, state: str) -> Cell:
    found = TABLE[step][state]
    assert isinstance(found, Cell)
    return found


def row_after(state: str, becomes: str) -> str:
    return expected_row_state(state) if becomes == SAME else becomes
