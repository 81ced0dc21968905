"""What a peer may say. Each function checks one part of a reply; what fails it is no clear answer: InDoubt.

Everything is checked that the gateway stores, shows to a device or decides by: identity, characters, length, range, and
whether the reply fits the request. `Peer.rejected` logs and counts each failure by peer, field and reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from autogrocery.gateway.core.quote import Price

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
    from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
    from autogrocery.gateway.core.order import Robot
    from autogrocery.kit.rpc.client import Peer

MAX_SKU_CHARS: Final = 64
MAX_NAME_CHARS: Final = 200  # of a product, which may have no name
MAX_ID_CHARS: Final = 100  # of a robot or an assignment, as in a webhook
MAX_CURSOR_CHARS: Final = 200  # a device sends it back, and no longer one is accepted there
MIN_SECONDS, MAX_SECONDS, BILLION = -62_135_596_800, 253_402_300_799, 1_000_000_000
MAX_LINES: Final = 1_000  # of a list in a reply, as in a webhook
MAX_COUNT: Final = 1_000_000_000  # units of one SKU
MAX_PRICE_CENTS: Final = 10**12  # a hundred lines of 999 at that price are still a bigint
CLASSES: Final = frozenset({"bread", "dairy", "meat", "produce", "party"})
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def is_text(text: str, max_chars: int) -> bool:
    """Return whether `text` is 1..`max_chars` characters that can be stored and shown on one line."""
    return 0 < len(text) <= max_chars and (text.isprintable() or CONTROL.search(text) is None)


def check_instant(peer: Peer, field: str, at: Timestamp) -> None:
    """Raise InDoubt for a Timestamp outside of the years 1 to 9999, which the contract of protobuf excludes."""
    if not (MIN_SECONDS <= at.seconds <= MAX_SECONDS and 0 <= at.nanos < BILLION):
        raise peer.rejected(field, "out of range")


def check_order_id(peer: Peer, call: str, asked: str, answered: str) -> None:
    """Raise InDoubt if the reply is about another order."""
    if answered != asked:
        raise peer.rejected(f"{call}.order_id", "another order")


def read_hold(
    peer: Peer, asked: Mapping[str, int], items: Sequence[inv.Item], *, allow_partial: bool
) -> dict[str, int]:
    """Return what is held by SKU: all that was asked for, or less of it if `allow_partial`."""
    granted = {item.sku: item.quantity for item in items}
    if len(granted) != len(items):
        raise peer.rejected("reserve_items.items.sku", "duplicate")
    granted = {sku: quantity for sku, quantity in granted.items() if quantity}
    if not granted:
        raise peer.rejected("reserve_items.items", "empty")
    if not granted.keys() <= asked.keys():
        raise peer.rejected("reserve_items.items.sku", "not in the request")
    if any(not 0 < quantity <= asked[sku] for sku, quantity in granted.items()):
        raise peer.rejected("reserve_items.items.quantity", "out of range")
    if granted != asked and not allow_partial:
        raise peer.rejected("reserve_items.items.quantity", "not what was requested")
    return granted


def check_shortages(peer: Peer, asked: Mapping[str, int], shortages: Sequence[inv.Shortage]) -> None:
    """Raise InDoubt unless each shortage is of a requested SKU, once, and has less than was requested."""
    if len({short.sku for short in shortages}) != len(shortages):
        raise peer.rejected("reserve_items.shortages.sku", "duplicate")
    for short in shortages:
        if short.sku not in asked:
            raise peer.rejected("reserve_items.shortages.sku", "not in the request")
        if short.requested != asked[short.sku]:
            raise peer.rejected("reserve_items.shortages.requested", "not what was requested")
        if not 0 <= short.available < short.requested:
            raise peer.rejected("reserve_items.shortages.available", "out of range")


def check_robots(peer: Peer, robots: Sequence[Robot]) -> None:
    """Raise InDoubt unless each assignment has a robot of a known class and an id of its own."""
    if len(robots) > MAX_LINES:
        raise peer.rejected("assign_robots.assignments", "too many")
    if len({robot.assignment_id for robot in robots}) != len(robots):
        raise peer.rejected("assign_robots.assignments.assignment_id", "duplicate")
    for robot in robots:
        if robot.robot_class not in CLASSES:
            raise peer.rejected("assign_robots.assignments.robot_class", "unknown")
        if not is_text(robot.robot_id, MAX_ID_CHARS):
            raise peer.rejected("assign_robots.assignments.robot_id", "malformed")
        if not is_text(robot.assignment_id, MAX_ID_CHARS):
            raise peer.rejected("assign_robots.assignments.assignment_id", "malformed")


def check_shares(peer: Peer, asked: Mapping[str, int], assignments: Iterable[inv.Assignment]) -> None:
    """Raise InDoubt if assignments that name their items name others than the order's, or more of them."""
    left = dict(asked)
    for assignment in assignments:
        for item in assignment.items:
            if item.sku not in left:
                raise peer.rejected("assign_robots.assignments.items.sku", "not in the request")
            left[item.sku] -= item.quantity
            if item.quantity < 1 or left[item.sku] < 0:
                raise peer.rejected("assign_robots.assignments.items.quantity", "out of range")


def read_picked(peer: Peer, items: Sequence[inv.PickedItem]) -> dict[str, int]:
    """Return what was picked, by SKU; whether that fits the order is decided where the order is known."""
    picked = {item.sku: item.picked for item in items}
    _check_skus(peer, "get_order", picked, len(items))
    if any(not 0 <= count <= MAX_COUNT for count in picked.values()):
        raise peer.rejected("get_order.items.picked", "out of range")
    return picked


def read_received(peer: Peer, items: Sequence[inv.RestockedItem]) -> dict[str, tuple[int, int]]:
    """Return the totals (received, damaged) by SKU; `damaged` is part of `received`."""
    counts = {item.sku: (item.received, item.damaged) for item in items}
    _check_skus(peer, "get_restock", counts, len(items))
    if any(not 0 <= damaged <= received <= MAX_COUNT for received, damaged in counts.values()):
        raise peer.rejected("get_restock.items.received", "out of range")
    return counts


def read_levels(peer: Peer, asked: Sequence[str], items: Sequence[inv.StockLevel]) -> dict[str, int]:
    """Return what is available, by SKU."""
    levels = {level.sku: level.available for level in items}
    if len(levels) != len(items):
        raise peer.rejected("check_availability.items.sku", "duplicate")
    if not levels.keys() <= set(asked):
        raise peer.rejected("check_availability.items.sku", "not in the request")
    if any(available < 0 for available in levels.values()):
        raise peer.rejected("check_availability.items.available", "out of range")
    return levels


def read_prices(peer: Peer, asked: Mapping[str, int], reply: pri.QuoteResponse, currency: str) -> dict[str, Price]:
    """Return the price of each known SKU of a quote that answers the question and agrees with itself."""
    prices: dict[str, Price] = {}
    total_cents = 0
    for line in reply.lines:
        sku, name, quantity = line.sku, line.name, line.quantity
        unit_price_cents, line_total_cents = line.unit_price_cents, line.line_total_cents
        if sku not in asked:
            raise peer.rejected("quote.lines.sku", "not in the request")
        if sku in prices:
            raise peer.rejected("quote.lines.sku", "duplicate")
        if quantity != asked[sku]:
            raise peer.rejected("quote.lines.quantity", "not what was requested")
        if not 0 <= unit_price_cents <= MAX_PRICE_CENTS:
            raise peer.rejected("quote.lines.unit_price_cents", "out of range")
        if line_total_cents != unit_price_cents * quantity:
            raise peer.rejected("quote.lines.line_total_cents", "not price times quantity")
        if len(name) > MAX_NAME_CHARS or not (name.isprintable() or is_text(name, MAX_NAME_CHARS)):
            raise peer.rejected("quote.lines.name", "malformed")
        prices[sku] = Price(name, unit_price_cents)
        total_cents += line_total_cents
    if reply.total_cents != total_cents:
        raise peer.rejected("quote.total_cents", "not the sum of the lines")
    if prices:
        _check_currency(peer, "quote.currency", reply.currency, currency)
    _check_unknown(peer, asked, prices, reply.unknown_skus)
    return prices


def _check_unknown(
    peer: Peer, asked: Mapping[str, int], prices: Mapping[str, Price], unknown_skus: Sequence[str]
) -> None:
    """Raise InDoubt unless each requested SKU has either a price or a place among the unknown ones."""
    unknown = set(unknown_skus)
    if len(unknown) != len(unknown_skus):
        raise peer.rejected("quote.unknown_skus", "duplicate")
    if not unknown <= asked.keys():
        raise peer.rejected("quote.unknown_skus", "not in the request")
    if unknown & prices.keys():
        raise peer.rejected("quote.unknown_skus", "priced too")
    if len(prices) + len(unknown) != len(asked):
        raise peer.rejected("quote.lines", "incomplete")


def check_products(peer: Peer, reply: pri.ListProductsResponse, *, cursor: str, limit: int, currency: str) -> None:
    """Raise InDoubt unless the reply is a page after `cursor`, of at most `limit` products that can be shown."""
    products = reply.products
    if len(products) > limit:
        raise peer.rejected("list_products.products", "too many")
    if len({product.sku for product in products}) != len(products):
        raise peer.rejected("list_products.products.sku", "duplicate")
    for product in products:
        if not is_text(product.sku, MAX_SKU_CHARS):
            raise peer.rejected("list_products.products.sku", "malformed")
        if product.name and not is_text(product.name, MAX_NAME_CHARS):
            raise peer.rejected("list_products.products.name", "malformed")
        if product.aisle_type not in CLASSES:
            raise peer.rejected("list_products.products.aisle_type", "unknown")
        if not 0 <= product.unit_price_cents <= MAX_PRICE_CENTS:
            raise peer.rejected("list_products.products.unit_price_cents", "out of range")
        _check_currency(peer, "list_products.products.currency", product.currency, currency)
    if reply.next_cursor and not is_text(reply.next_cursor, MAX_CURSOR_CHARS):
        raise peer.rejected("list_products.next_cursor", "malformed")
    if reply.next_cursor and reply.next_cursor == cursor:  # a client that follows it never ends
        raise peer.rejected("list_products.next_cursor", "the page's own")


def _check_currency(peer: Peer, field: str, answered: str, currency: str) -> None:
    if answered != currency:
        raise peer.rejected(field, "not the mart's" if answered else "missing")


def _check_skus(peer: Peer, call: str, skus: Iterable[str], count: int) -> None:
    """Raise InDoubt unless there are `count` different SKUs, no more than MAX_LINES, that can be SKUs."""
    if count > MAX_LINES:
        raise peer.rejected(f"{call}.items", "too many")
    known = list(skus)
    if len(known) != count:
        raise peer.rejected(f"{call}.items.sku", "duplicate")
    if not all(is_text(sku, MAX_SKU_CHARS) for sku in known):
        raise peer.rejected(f"{call}.items.sku", "malformed")
