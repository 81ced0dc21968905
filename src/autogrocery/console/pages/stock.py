"""Shelves, robots and trucks: what inventory tells."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nicegui import ui
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import Response

from autogrocery.console.core.text import age, card, day_clock, empty, esc, money, pill, table, tile
from autogrocery.console.pages.forms import field, search_form, select_field
from autogrocery.console.pages.shell import Console, enter

if TYPE_CHECKING:
    from autogrocery.contracts.ops.deliveries import DeliveryPage, TruckPage
    from autogrocery.contracts.ops.robots import RobotPage, RobotRow
    from autogrocery.contracts.ops.stock import StockDetail, StockPage

AISLES = ("", "bread", "dairy", "meat", "produce", "party")
DASH = "\N{EN DASH}"


def register(console: Console) -> None:
    """Add the pages."""

    @ui.page("/shelves")
    async def shelves(request: Request) -> Response | None:
        view = enter(console, request, "/shelves")
        if isinstance(view, Response):
            return view
        view.frame("Shelves")
        asked = {
            name: value
            for name in ("q", "aisle", "low", "cursor")
            if (value := request.query_params.get(name, "").strip())
        }
        form = search_form(
            "/shelves",
            field("q", "SKU or name", asked, "search"),
            select_field("aisle", "Aisle", asked, AISLES),
            field("low", "At most, units", asked, "number"),
        )
        ui.html(form, sanitize=False).classes("part")
        key = f"stock?{urlencode(sorted(asked.items()))}"
        await view.live(key, lambda: view.api.stock(asked), [("rows", lambda page: products(page, asked))])
        return None

    @ui.page("/shelves/{sku}")
    async def product(request: Request, sku: str) -> Response | None:
        view = enter(console, request, "/shelves")
        if isinstance(view, Response):
            return view
        view.frame(f"Product {sku}")
        await view.live(f"stock/{sku}", lambda: view.api.product(sku), [("product", lots)])
        return None

    @ui.page("/robots")
    async def robots(request: Request) -> Response | None:
        view = enter(console, request, "/robots")
        if isinstance(view, Response):
            return view
        view.frame("Robots")
        await view.live("robots", view.api.robots, [("floor", floor)])
        return None

    @ui.page("/trucks")
    async def trucks(request: Request) -> Response | None:
        view = enter(console, request, "/trucks")
        if isinstance(view, Response):
            return view
        view.frame("Trucks")
        await view.live("deliveries", lambda: view.api.deliveries({}), [("deliveries", deliveries)])
        await view.live("trucks", view.api.trucks, [("trucks", truck_rows)])
        return None


def products(page: StockPage, asked: dict[str, str]) -> str:
    """Return the products as a table with a bar of their units."""
    most = max((one.on_hand + one.held + one.allocated for one in page.data), default=0) or 1
    rows = (
        (
            f'<a href="/shelves/{esc(one.sku)}">{esc(one.name)}</a> <span class="note">{esc(one.sku)}</span>',
            esc(one.aisle_type),
            _bar(one.on_hand, one.held, one.allocated, most),
            f"{one.on_hand:,}",
            f"{one.held:,}",
            f"{one.allocated:,}",
            f"{one.incoming:,}",
            day_clock(one.next_expiry),
            money(one.unit_price_cents, page.currency),
        )
        for one in page.data
    )
    head = ("Product", "Aisle", "Units", "#On hand", "#Held", "#Allocated", "#Incoming", "Next expiry (UTC)", "#Price")
    legend = (
        '<p class="legend"><span><i class="c-now"></i>on hand</span><span><i class="c-previewed"></i>held</span>'
        '<span><i class="c-processing"></i>allocated</span></p>'
    )
    more = ""
    if page.next_cursor:
        query = esc(urlencode({**asked, "cursor": page.next_cursor}))
        more = f'<p class="more"><a href="/shelves?{query}">More products</a></p>'
    return card("Stock", legend + table("Stock", head, rows, "No product matches.") + more, "by SKU")


def _bar(on_hand: int, held: int, allocated: int, most: int) -> str:
    at, parts = 0.0, []
    for kind, units in (("c-now", on_hand), ("c-previewed", held), ("c-processing", allocated)):
        parts.append(f'<rect class="{kind}" x="{at:.1f}" width="{100 * units / most:.1f}" height="10"/>')
        at += 100 * units / most
    return f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'


def lots(found: StockDetail) -> str:
    """Return a product with its lots."""
    one = found.product
    figures = "".join(
        tile(name, f"{units:,}")
        for name, units in (
            ("On hand", one.on_hand),
            ("Held", one.held),
            ("Allocated", one.allocated),
            ("Incoming", one.incoming),
        )
    )
    rows = (
        (
            f"<code>{esc(lot.lot)}</code>",
            pill("recalled" if lot.recalled_at else "expired" if lot.expired else "on sale"),
            f"{lot.on_shelf:,}",
            f"{lot.received:,}",
            day_clock(lot.received_at),
            day_clock(lot.expiry_at),
        )
        for lot in found.lots
    )
    head = ("Lot", "State", "#On the shelf", "#Received", "Received (UTC)", "Expires (UTC)")
    body = table("Lots", head, rows, "No lot is on the shelf.")
    return (
        f'<h2>{esc(one.name)} <span class="note">{esc(one.aisle_type)}, {money(one.unit_price_cents, found.currency)}'
        f'</span></h2><div class="tiles">{figures}</div>{card("Lots", body, "earliest expiry first")}'
    )


def floor(page: RobotPage) -> str:
    """Return the robots, each in its aisle."""
    if not page.data:
        return card("Floor", empty("No robot has reported yet."))
    now = datetime.now(UTC)
    ordered = sorted(page.data, key=lambda one: (one.robot_class, one.robot_id))
    aisles = []
    for name, group in groupby(ordered, key=lambda one: one.robot_class):
        some = list(group)
        busy = sum(bool(one.tasks) for one in some)
        robots = "".join(_robot(one, now) for one in some)
        note = f"{busy} of {len(some)} at work, {sum(one.queue for one in some)} waiting"
        aisles.append(
            f'<section class="aisle"><div class="card-head"><h2>{esc(name)}</h2><p class="note">{note}</p></div>'
            f"<ul>{robots}</ul></section>"
        )
    return f'<div class="floor">{"".join(aisles)}</div>'


def _robot(one: RobotRow, now: datetime) -> str:
    task = one.tasks[0] if one.tasks else None
    word = f"{task.kind}s" if task else "idle" if one.live else "away"
    kind = "busy" if task else "" if one.live else "bad"
    work = f'<a href="/orders/{task.order_id}"><code>{str(task.order_id)[:8]}</code></a>' if task else ""
    return (
        f'<li class="robot {kind}"><b>{esc(one.robot_id)}</b>{pill(word, kind)}'
        f'<span class="note">{one.queue} waiting, seen {age(one.last_seen_at, now)} ago {work}</span></li>'
    )


def deliveries(page: DeliveryPage) -> str:
    """Return deliveries at inventory."""
    rows = (
        (
            f"<code>{str(one.order_id)[:8]}</code>",
            pill(one.state),
            esc(one.supplier_id),
            f"{one.units:,}",
            f"{one.received:,}",
            f"{one.damaged:,}",
            f"{one.putaways_done} of {one.putaways}",
            day_clock(one.entered_at),
        )
        for one in page.data
    )
    head = ("Delivery", "State", "Supplier", "#Announced", "#Received", "#Damaged", "#Put away", "Entered (UTC)")
    return card("Deliveries", table("Deliveries", head, rows, "No delivery has come yet."), "newest first")


def truck_rows(page: TruckPage) -> str:
    """Return the trucks."""
    rows = (
        (
            esc(one.truck_id),
            pill("disabled", "bad") if one.disabled else pill("enabled", "good"),
            esc(one.supplier_name or one.supplier_id),
            f"{one.restocks_open:,}",
            f"{one.restocks_ended:,}",
            day_clock(one.last_restock_at),
        )
        for one in page.data
    )
    head = ("Truck", "Account", "Supplier", "#Open", "#Ended", "Last delivery (UTC)")
    return card("Trucks", table("Trucks", head, rows, "No truck is registered: autogrocery truck add."))
