"""The search of orders, and one order whole."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec
from nicegui import app, ui
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import Response

from autogrocery.client.problems import Problem, Unanswered
from autogrocery.console.core.lanes import draw, events_of
from autogrocery.console.core.text import card, clock, day_clock, duration, empty, esc, money, pill, table
from autogrocery.console.pages.acting import act_on
from autogrocery.console.pages.forms import field, search_form, select_field
from autogrocery.console.pages.shell import Console, enter
from autogrocery.console.peers.sessions import COOKIE

if TYPE_CHECKING:
    from autogrocery.contracts.ops.orders import OrderBundle, OrderRows, OutboxDelivery

FILTERS = ("q", "status", "device", "sku", "cause", "since", "until", "attention", "cursor")
STATUSES = ("", "PREVIEWED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED")


def register(console: Console) -> None:
    """Add the pages and the download."""

    @ui.page("/orders")
    async def search(request: Request) -> Response | None:
        view = enter(console, request, "/orders")
        if isinstance(view, Response):
            return view
        view.frame("Orders")
        asked = {name: value for name in FILTERS if (value := request.query_params.get(name, "").strip())}
        ui.html(_form(asked), sanitize=False).classes("part")
        key = f"orders?{urlencode(sorted(asked.items()))}"
        await view.live(key, lambda: view.api.orders(asked), [("rows", lambda page: rows(page, asked))])
        return None

    @ui.page("/orders/{order_id}")
    async def order(request: Request, order_id: str) -> Response | None:
        view = enter(console, request, "/orders")
        if isinstance(view, Response):
            return view
        view.frame(f"Order {order_id[:8]}")

        async def clicked(action: str) -> None:
            await act_on(view, "order", order_id, action)

        await view.live(
            f"order/{order_id}",
            lambda: view.api.order(order_id),
            [("head", head), ("timeline", timeline), ("details", details)],
            clicked,
        )
        return None

    @app.get("/orders/{order_id}/bundle.json")
    async def bundle(request: Request, order_id: str) -> Response:
        session = console.sessions.find(request.cookies.get(COOKIE))
        if session is None:
            return Response("log in first", status_code=401, media_type="text/plain")
        try:
            found = await session.api.order(order_id)
        except Problem as refusal:
            return Response(refusal.detail, status_code=refusal.status, media_type="text/plain")
        except Unanswered:
            return Response("the gateway does not answer", status_code=503, media_type="text/plain")
        name = {"Content-Disposition": f'attachment; filename="order-{found.order.order_id}.json"'}
        return Response(msgspec.json.format(msgspec.json.encode(found)), media_type="application/json", headers=name)


def _form(asked: dict[str, str]) -> str:
    return search_form(
        "/orders",
        field("q", "Order id or device", asked, "search"),
        select_field("status", "Status", asked, STATUSES),
        field("device", "Device", asked),
        field("sku", "SKU", asked),
        field("cause", "Cause", asked),
        field("since", "Since", asked, hint="2026-01-31T00:00:00Z"),
        field("until", "Until", asked, hint="2026-02-01T00:00:00Z"),
    )


def rows(page: OrderRows, asked: dict[str, str]) -> str:
    """Return the page of orders."""
    found = table(
        "Orders",
        ("Order", "Status", "Device", "#Total", "#Items", "Created (UTC)", "Cause"),
        (
            (
                f'<a href="/orders/{one.order_id}"><code>{str(one.order_id)[:8]}…{str(one.order_id)[-4:]}</code></a>',
                pill(one.status) + (f" {pill(one.attention, 'bad')}" if one.attention else ""),
                esc(one.device_id),
                money(one.total_cents, one.currency),
                f"{one.item_count}",
                day_clock(one.created_at),
                esc(one.cause),
            )
            for one in page.data
        ),
        "No order matches.",
    )
    more = ""
    if page.next_cursor:
        query = esc(urlencode({**asked, "cursor": page.next_cursor}))
        more = f'<p class="more"><a href="/orders?{query}">Older orders</a></p>'
    return card("Orders", found + more, "newest first")


def head(bundle: OrderBundle) -> str:
    """Return what the order is, why, and what is safe to do."""
    order = bundle.order
    buttons = "".join(
        f'<button type="button" class="act" data-act="{esc(one.name)}" data-key="{esc(one.name)}"'
        f' title="{esc(one.words)}">{esc(one.title)}</button>'
        for one in bundle.diagnosis.actions
    )
    return (
        f'<section class="card"><div class="card-head"><h2><code>{order.order_id}</code></h2>{pill(order.status)}</div>'
        f"<p class=lead>{esc(bundle.diagnosis.words)}</p>"
        f'<p class="facts"><span>{esc(order.device_id)}</span><span>{money(order.total_cents, order.currency)}</span>'
        f"<span>{order.item_count} items</span><span>created {day_clock(order.created_at)} UTC</span>"
        f"<span>version {bundle.version}</span></p>"
        f'<p class="buttons">{buttons}<a class="quiet" download href="/orders/{order.order_id}/bundle.json">'
        "Download the bundle</a></p></section>"
    )


def timeline(bundle: OrderBundle) -> str:
    """Return the lanes."""
    return card("Timeline", draw(events_of(bundle)), "each mark says how long after the one before it came")


def details(bundle: OrderBundle) -> str:
    """Return lines, calls, deliveries and lots."""
    lines = table(
        "Lines",
        ("Product", "#Asked", "#Sold", "#Picked", "#Price"),
        (
            (
                f"{esc(one.name)} <span class=note>{esc(one.sku)}</span>",
                f"{one.requested}",
                f"{one.quantity}",
                f"{one.picked}" if one.picked is not None else "\N{EN DASH}",
                money(one.unit_price_cents, bundle.order.currency),
            )
            for one in bundle.lines
        ),
        "The order has no line.",
    )
    calls = table(
        "Calls to peers",
        ("At (UTC)", "Peer", "Method", "Outcome", "#Took", "#Attempt"),
        (
            (clock(one.at), esc(one.peer), esc(one.method), esc(one.outcome), duration(one.ms / 1000), f"{one.attempt}")
            for one in bundle.calls
        ),
        "No failed or slow call is known, and this gateway remembers none.",
    )
    history = table(
        "Status changes",
        ("At (UTC)", "To", "Cause", "#Metric"),
        ((clock(one.at), pill(one.to_status), esc(one.cause), f"{one.sequence}") for one in bundle.history),
        "No change.",
    )
    return (
        f"{card('Lines', lines)}{card('Status changes', history)}{card('Calls to peers', calls)}"
        f"{card('Messages', _messages(bundle))}{card('At inventory', _inventory(bundle))}"
    )


def _messages(bundle: OrderBundle) -> str:
    found: list[tuple[str, OutboxDelivery]] = [("alert", one) for one in bundle.alerts]
    if bundle.receipt is not None:
        found.insert(0, ("receipt", bundle.receipt))
    sent = table(
        "Receipts and alerts",
        ("Message", "State", "#Attempts", "Last error"),
        (
            (
                f"{kind} {esc(one.event)}",
                pill("dead", "bad") if one.dead_at else pill("done") if one.done_at else pill("waiting", "busy"),
                f"{one.attempts}",
                esc(one.last_error or "\N{EN DASH}"),
            )
            for kind, one in found
        ),
        "No message is owed.",
    )
    hooks = "".join(f"<li>{clock(one.received_at)} <code>{esc(one.webhook_id)}</code></li>" for one in bundle.webhooks)
    return sent + (f"<h3>Webhooks taken in</h3><ul>{hooks}</ul>" if hooks else "")


def _inventory(bundle: OrderBundle) -> str:
    told = bundle.inventory
    parts = [f'<p class="note">{esc(told.untold)}</p>'] if told.untold else []
    if told.state:
        parts.append(f"<p>State {pill(told.state)}</p>")
    parts.append(
        table(
            "Assignments",
            ("Robot", "Class", "State", "Assigned (UTC)", "Closed (UTC)"),
            (
                (esc(one.robot_id), esc(one.robot_class), esc(one.state), clock(one.assigned_at), clock(one.closed_at))
                for one in told.assignments
            ),
            "No robot has a part of it.",
        )
    )
    if told.lots:
        lots = ((esc(one.sku), esc(one.lot_id), f"{one.quantity}", day_clock(one.expiry_at)) for one in told.lots)
        parts.append(table("Lots", ("SKU", "Lot", "#Units", "Expires (UTC)"), lots, ""))
    if told.webhooks:
        sent = (
            (
                f"<code>{esc(one.webhook_id)}</code>",
                pill("dead", "bad") if one.dead_at else pill("done") if one.done_at else pill("waiting", "busy"),
                f"{one.attempts}",
                esc(one.last_error or "\N{EN DASH}"),
            )
            for one in told.webhooks
        )
        parts.append(table("Webhooks sent", ("Webhook", "State", "#Attempts", "Last error"), sent, ""))
    return "".join(parts) if parts else empty("Nothing to tell.")
