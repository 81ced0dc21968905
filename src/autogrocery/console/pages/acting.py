"""Safe actions on orders, restocks and dead letters, from whichever page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from autogrocery.console.pages.shell import View

GROUPS: Final = {
    "order": "orders",
    "restock": "restocks",
    "receipt": "dead-letters/receipts",
    "alert": "dead-letters/alerts",
}


async def act_on(view: View, kind: str, target: str, action: str) -> None:
    """Ask for a reason, run the action, and say what it did."""
    title = action.replace("_", " ").capitalize()

    async def run(reason: str, key: str) -> str:
        done = await view.api.act(GROUPS[kind], target, action, reason, key)
        return f"{done.words} Before: {done.before}; after: {done.after}."

    await view.confirm(title, f"{kind.capitalize()} {target}. Repeating it does no harm.", run)
