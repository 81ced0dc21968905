"""The battery's table for restocks: states that life makes, steps that meet them, and what each cell says and becomes.

A state's name says what the row is, then what inventory has of it where that is not plain: `taken` (accepted, unheard),
`shelved` (put away, unheard), `refused` (refused, unheard); `unpriced`: pricing gave no clear answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.take_in import take_in
from autogrocery.gateway.core.restock import RESTOCK_TERMINAL, Restock, RestockFact
from autogrocery.gateway.store import restocks
from autogrocery.gateway.store.moves import Delivery
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from tests.harness.fake_depot import BREAD, Depot
from tests.harness.fake_peers import RestockState
from tests.proofs.battery.stage import attempt, calm, clumsy
from tests.proofs.battery.table import SAME, Cell, Never, doubt, says

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

DOWN: Final = grpc.StatusCode.UNAVAILABLE
SOME: Final = {"milk": (7, 1)}
ALL: Final = {"milk": (19, 1), "bread": (5, 0)}
REFUSAL: Final = "no room"


def id_of(depot: Depot) -> UUID:
    return depot.id_of(depot.manifest())


def word(row: Restock | None) -> str:
    """The row in a word: `ANNOUNCED owes RESTOCK`."""
    if row is None:
        return "nothing"
    return f"{row.status} owes {row.intent}" if row.intent else row.status.value


async def nothing(_depot: Depot) -> None:
    return


async def announced(depot: Depot) -> None:
    with clumsy(depot.house.shelf, "RestockItems", DOWN):
        await depot.restock(depot.manifest())


async def announced_taken(depot: Depot) -> None:
    with clumsy(depot.house.shelf, "RestockItems", DOWN, after_effect=True):
        await depot.restock(depot.manifest())


async def announced_shelved(depot: Depot) -> None:
    await announced_taken(depot)
    depot.house.shelf.put_away(str(id_of(depot)), ALL)


async def announced_refused(depot: Depot) -> None:
    depot.house.shelf.refuse_restocks = REFUSAL
    await announced_taken(depot)
    calm(depot.house)


async def receiving(depot: Depot) -> None:
    await depot.restock(depot.manifest())


async def receiving_unpriced(depot: Depot) -> None:
    depot.house.prices.trouble = DOWN
    await receiving(depot)
    calm(depot.house)


async def receiving_some(depot: Depot) -> None:
    await receiving(depot)
    depot.house.shelf.put_away(str(id_of(depot)), SOME, done=False)
    await depot.update(id_of(depot), RestockFact.ACCEPTED, SOME)


async def receiving_shelved(depot: Depot) -> None:
    await receiving(depot)
    depot.house.shelf.put_away(str(id_of(depot)), ALL)


async def received(depot: Depot) -> None:
    await receiving_shelved(depot)
    await depot.update(id_of(depot), RestockFact.SHELVED, ALL)


async def received_unpriced(depot: Depot) -> None:
    await receiving_unpriced(depot)
    depot.house.shelf.put_away(str(id_of(depot)), ALL)
    await depot.update(id_of(depot), RestockFact.SHELVED, ALL)


async def rejected(depot: Depot) -> None:
    depot.house.shelf.refuse_restocks = REFUSAL
    await attempt(depot.restock(depot.manifest()))
    calm(depot.house)


async def rejected_late(depot: Depot) -> None:
    await receiving(depot)
    depot.house.shelf.restocks[str(id_of(depot))] = RestockState.REJECTED
    await depot.update(id_of(depot), RestockFact.REFUSED, {})


MAKERS: Final[dict[str, Callable[[Depot], Awaitable[None]]]] = {
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
WORDS: Final = {"announced": "ANNOUNCED owes RESTOCK", "nothing": "nothing"}


def word_of_state(state: str) -> str:
    first = state.partition("_")[0]
    return WORDS.get(first, f"{first.upper()}{' owes PRICE' if state.endswith('unpriced') else ''}")


async def restock(depot: Depot) -> str:
    return await depot.restock(depot.manifest())


async def restock_refused(depot: Depot) -> str:
    """Inventory refuses whatever it does not know yet."""
    depot.house.shelf.refuse_restocks = REFUSAL
    return await restock(depot)


async def restock_another(depot: Depot) -> str:
    """Other goods under the same manifest_no."""
    return await depot.restock(depot.manifest("m-1", BREAD))


async def sweeping(depot: Depot) -> str:
    house = depot.house
    return word(await take_in(house.db, house.inventory, house.pricing, house.metrics, id_of(depot)))


async def reconciling(depot: Depot) -> str:
    await reconcile_restock(depot.house.db, depot.house.inventory, depot.house.metrics, id_of(depot))
    return "done"


async def webhook_some(depot: Depot) -> str:
    return await _webhook(depot, RestockFact.ACCEPTED, SOME, RestockState.RECEIVING)


async def webhook_all(depot: Depot) -> str:
    return await _webhook(depot, RestockFact.SHELVED, ALL, RestockState.RECEIVED)


async def webhook_rejected(depot: Depot) -> str:
    return await _webhook(depot, RestockFact.REFUSED, {}, RestockState.REJECTED)


async def _webhook(depot: Depot, fact: RestockFact, counts: dict[str, tuple[int, int]], state: int) -> str:
    """Inventory tells what is true of a living restock; of one that has ended it tells an old story."""
    shelf, oid = depot.house.shelf, str(id_of(depot))
    row = await restocks.get(depot.house.db, id_of(depot))
    if row is not None and row.status not in RESTOCK_TERMINAL and shelf.restocks[oid] == RestockState.RECEIVING:
        shelf.received[oid], shelf.restocks[oid] = shelf.received.get(oid, {}) | counts, state
    applied, status = await depot.update(id_of(depot), fact, counts, Delivery(f"msg-{fact}", bytes(32)))
    return f"{'applied' if applied else 'known'} {status}"


STEPS: Final[dict[str, tuple[Callable[[Depot], Awaitable[str]], str]]] = {
    "restock": (restock, "restock take_in"),
    "restock_refused": (restock_refused, "restock take_in"),
    "restock_another": (restock_another, "restock"),
    "sweeping": (sweeping, "take_in"),
    "reconciling": (reconciling, "reconcile_restock update_restock"),
    "webhook_some": (webhook_some, "update_restock"),
    "webhook_all": (webhook_all, "update_restock"),
    "webhook_rejected": (webhook_rejected, "update_restock"),
}


async def said(step: str, depot: Depot) -> str:
    """Run a step; its answer in words."""
    try:
        return await STEPS[step][0](depot)
    except Refused as refusal:
        return f"{refusal.status} {refusal.code}"
    except Unavailable as trouble:
        return f"503 {trouble.code}"
    except InDoubt:
        return "in doubt"


ANNOUNCED, UNPRICED = "ANNOUNCED owes RESTOCK", "RECEIVING owes PRICE"
LATER: Final = doubt("RestockItems", "202 in_doubt", ANNOUNCED)
MADE: Final = says(
    "201 RECEIVING", "RECEIVING", {**LATER, **doubt("UpdateStockMetrics", "201 RECEIVING", UNPRICED)}, "200 RECEIVING"
)
MADE_BEFORE: Final = says(
    "200 RECEIVING", "RECEIVING", {**LATER, **doubt("UpdateStockMetrics", "200 RECEIVING", UNPRICED)}
)
REFUSED: Final = says("409 restock_refused", "REJECTED", LATER)
KNOWN: Final[dict[str, Cell | Never]] = {
    "receiving receiving_unpriced receiving_some receiving_shelved": says("200 RECEIVING"),
    "received received_unpriced": says("200 RECEIVED"),
    "rejected": says("409 restock_refused"),
    "rejected_late": says("200 REJECTED"),
    "announced_refused": REFUSED,
    "announced_taken announced_shelved": MADE_BEFORE,
}
PRICES: Final = doubt("UpdateStockMetrics", "in doubt", UNPRICED)
OWED: Final = says("RECEIVING", "RECEIVING", {**doubt("RestockItems", "in doubt"), **PRICES})
LOOKS: Final = doubt("GetRestock", "in doubt")
LIE: Final = Never(
    "inventory would be telling of a restock that it has not, or has otherwise: a signed lie, which K5 excludes"
)
TAKEN: Final = "announced_taken announced_shelved"


def _told(status: str, applied_from_some: str) -> dict[str, Cell | Never]:
    """The cells of a webhook."""
    unpriced = status if status == "REJECTED" else f"{status} owes PRICE"
    known, owing = f"known {status}", f"{status} owes PRICE"
    shelved = LIE if status == "REJECTED" else says(f"applied {status}", unpriced, again=known)
    return {
        "nothing": says("404 order_not_found"),
        "announced announced_refused": LIE,
        "announced_taken": says(f"applied {status}", unpriced, again=known),
        "announced_shelved": shelved,
        "receiving": says(f"applied {status}", status, again=known),
        "receiving_shelved": LIE if shelved is LIE else says(f"applied {status}", status, again=known),
        "receiving_unpriced": says(f"applied {status}", owing, again=known),
        "receiving_some": says(applied_from_some, status, again=known),
        "received received_unpriced": says("known RECEIVED"),
        "rejected rejected_late": says("known REJECTED"),
    }


ROWS: Final[dict[str, dict[str, Cell | Never]]] = {
    "restock": {**KNOWN, "nothing": MADE, "announced": MADE_BEFORE},
    "restock_refused": {**KNOWN, "nothing announced": REFUSED},
    "restock_another": {"nothing": MADE, "*": says("422 manifest_mismatch")},
    "sweeping": {
        "nothing": says("nothing"),
        f"announced {TAKEN}": OWED,
        "announced_refused": says("REJECTED", "REJECTED", doubt("RestockItems", "in doubt")),
        "receiving_unpriced": says("RECEIVING", "RECEIVING", doubt("UpdateStockMetrics", "in doubt")),
        "received_unpriced": says("RECEIVED", "RECEIVED", doubt("UpdateStockMetrics", "in doubt")),
        "receiving receiving_some receiving_shelved": says("RECEIVING"),
        "received": says("RECEIVED"),
        "rejected rejected_late": says("REJECTED"),
    },
    "reconciling": {
        f"nothing announced {TAKEN} announced_refused": Never("claimed as RECEIVING, from where no way leads here"),
        "receiving receiving_unpriced receiving_some received received_unpriced rejected rejected_late": says(
            "done", calls=LOOKS
        ),
        "receiving_shelved": says("done", "RECEIVED", LOOKS),
    },
    "webhook_some": _told("RECEIVING", "known RECEIVING"),
    "webhook_all": _told("RECEIVED", "applied RECEIVED"),
    "webhook_rejected": _told("REJECTED", "applied REJECTED"),
}
TABLE: Final = {
    step: {
        state: next((cell for states, cell in column.items() if state in states.split()), column.get("*", LIE))
        for state in MAKERS
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
    return word_of_state(state) if becomes == SAME else becomes
