"""The registry of devices: enrol, disable, change an address."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nicegui import ui
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import Response

from autogrocery.console.core.text import card, day_clock, esc, pill, table
from autogrocery.console.pages.forms import field, search_form
from autogrocery.console.pages.shell import Console, View, enter
from autogrocery.contracts.ops.devices import DeviceChangeIn, EnrolmentCodeIn

if TYPE_CHECKING:
    from autogrocery.contracts.ops.devices import DevicesOut

DASH = "\N{EN DASH}"


def register(console: Console) -> None:
    """Add the page."""

    @ui.page("/devices")
    async def page(request: Request) -> Response | None:
        view = enter(console, request, "/devices")
        if isinstance(view, Response):
            return view
        view.frame("Devices")
        asked = {name: value for name in ("q", "cursor") if (value := request.query_params.get(name, "").strip())}
        form = search_form("/devices", field("q", "Device", asked, "search"))
        ui.html(form, sanitize=False).classes("part")

        async def clicked(what: str) -> None:
            action, _, device = what.partition("|")
            await _clicked(view, action, device)

        key = f"devices?{urlencode(sorted(asked.items()))}"
        await view.live(key, lambda: view.api.devices(asked), [("rows", lambda found: rows(found, asked))], clicked)
        return None


def rows(page: DevicesOut, asked: dict[str, str]) -> str:
    """Return the devices with their actions."""
    found = (
        (
            esc(one.device_id),
            pill("disabled", "bad") if one.disabled_at else pill("enabled", "good"),
            esc(one.email or DASH),
            esc(one.phone or DASH),
            esc(str(one.alerts)),
            day_clock(one.disabled_at),
            _button("enable" if one.disabled_at else "disable", one.device_id) + _button("address", one.device_id),
        )
        for one in page.data
    )
    head = ("Device", "Account", "E-mail", "Telephone", "Alerts", "Disabled (UTC)", "Actions")
    more = ""
    if page.next_cursor:
        query = esc(urlencode({**asked, "cursor": page.next_cursor}))
        more = f'<p class="more"><a href="/devices?{query}">More devices</a></p>'
    enrol = (
        '<p class="buttons"><button type="button" class="act" data-act="enrol|" data-key="enrol">'
        "New enrolment code</button></p>"
    )
    return card("Devices", enrol + table("Devices", head, found, "No device matches.") + more, "addresses are masked")


def _button(action: str, device: str) -> str:
    title = {"enable": "Enable", "disable": "Disable", "address": "Change address"}[action]
    return (
        f'<button type="button" class="act second" data-act="{action}|{esc(device)}" data-key="{action}{esc(device)}"'
        f' aria-label="{title}: {esc(device)}">{title}</button> '
    )


async def _clicked(view: View, action: str, device: str) -> None:
    if action == "address":
        await _change_address(view, device)
        return
    if action == "enrol":

        async def enrol(reason: str, key: str) -> str:
            made = await view.api.add_enrolment_code(EnrolmentCodeIn(reason), key)
            return (
                f"Code {made.code or '(told once, to the first call)'}: one device, {made.days} days. It is shown once."
            )

        await view.confirm("New enrolment code", "One device can register with it within seven days.", enrol)
        return

    async def switch(reason: str, key: str) -> str:
        row = await view.api.enable_device(device, reason, key, enabled=action == "enable")
        return f"{row.device_id} is {'disabled' if row.disabled_at else 'enabled'}."

    words = "Its tokens are refused from now on." if action == "disable" else "It can log in again."
    await view.confirm(action.capitalize(), f"Device {device}. {words}", switch)


async def _change_address(view: View, device: str) -> None:
    with ui.dialog() as dialog, ui.element("div").classes("sheet"):
        ui.html(f"<h2>Change address</h2><p>Device {esc(device)}</p>", sanitize=False)
        email = ui.input("New e-mail address").props("outlined autofocus maxlength=254 type=email")

        async def further() -> None:
            dialog.close()

            async def run(reason: str, key: str) -> str:
                row = await view.api.change_device(device, DeviceChangeIn(reason, email=email.value.strip()), key)
                return f"The address of {row.device_id} is now {row.email}."

            await view.confirm(
                "Change address", f"Device {device}. Receipts that the old address held up are sent.", run
            )

        with ui.element("div").classes("row-end"):
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
            ui.button("Next", on_click=further).props("unelevated no-caps color=primary")
    dialog.props('aria-label="Change address"').open()
