"""An operator's requests to the internal listener of a running gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from tests.harness.running_gateway import Reply, RunningGateway

OPS = "/internal/ops"
REASON = "a test asks for it"


class Operator(Struct):
    """An operator with some scopes."""

    gateway: RunningGateway
    scopes: tuple[str, ...] = ("ops:read", "ops:write")
    name: str = "operator-1"

    @property
    def token(self) -> str:
        return self.gateway.token(7_000_000, self.name, audience="ops", scopes=self.scopes)

    async def get(self, path: str) -> Reply:
        return await self.gateway.request("GET", OPS + path, token=self.token, inside=True)

    async def send(self, method: str, path: str, *, key: str | None = None, **body: Any) -> Reply:
        """Send a write with a reason."""
        headers = {"idempotency-key": key} if key else {}
        sent = {"reason": REASON} | body
        return await self.gateway.request(method, OPS + path, sent, token=self.token, headers=headers, inside=True)

    async def act(self, order_id: str, action: str, *, key: str | None = None) -> Reply:
        """Run an action on an order."""
        return await self.send("POST", f"/orders/{order_id}/{action}", key=key)

    async def switch(self, name: str, *, on: bool, **more: Any) -> Reply:
        """Set a switch."""
        return await self.send("PUT", f"/switches/{name}", on=on, **more)

    async def log_of(self, target: str) -> list[dict[str, Any]]:
        """Return the entries of the audit log about a target, newest first."""
        reply = await self.get(f"/audit-log?target={target}")
        assert reply.status == 200, reply
        found: list[dict[str, Any]] = reply.json["data"]
        return found
