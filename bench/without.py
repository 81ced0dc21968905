"""The gateway without one of the things that make it fast: `python -m bench.without NAME` runs it as `autogrocery gateway` does.

What each is worth is measured so, on the product itself. The thin HTTP layer can't be taken out, so a framework is put before it: its
cost is what a gateway on it would pay, with our layer's on top (docs/decisions/0002 compares them alone).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import flatbuffers

from autogrocery.contracts.analytics.v1 import order_metric_generated as generated
from autogrocery.gateway import app
from autogrocery.gateway.peers import metrics
from autogrocery.gateway.store import hints
from autogrocery.kit.http.app import App
from autogrocery.kit.pg.db import Db
from autogrocery.kit.process import run as running
from autogrocery.kit.security.tokens import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.contracts.analytics.metric import OrderMetric

TEXTS: Final = ("order_id", "status", "store_id")


def replace(owner: object, name: str, other: object) -> None:
    """Put something else in the place of a part of the product; raises AttributeError if there is no such part."""
    getattr(owner, name)
    setattr(owner, name, other)


def a_statement_for_each_order() -> None:
    """Take a connection of the pool for every order's share."""

    async def together(db: Db, many: Any, _point: str, row: Any, *lists: Any) -> Any:
        return await db.rows(many.alone or many.sql, *many.columns([(row, *lists)]))

    replace(Db, "together", together)


def a_call_for_each_order() -> None:
    """Call peers one by one."""
    os.environ["PEER_STREAMS"] = "off"


def a_read_before_each_write() -> None:
    """Remember nothing of what was written."""
    replace(hints, "recall", lambda _db, _order_id: None)
    replace(hints, "may_hoard", lambda _db, _user_id, _order_id: True)


def a_framework_in_front() -> None:
    """Let FastAPI and pydantic route, read and write."""
    from bench.framework import framed  # noqa: PLC0415 - of the tools for development

    replace(App, "__call__", framed(App.__call__))


def each_token_verified_anew() -> None:
    """Remember no verified token."""
    replace(Verifier, "_remember", lambda _self, _token, _claims: None)


def the_official_builder() -> None:
    """Write metrics with the builder of FlatBuffers instead of the template."""

    def encode(metric: OrderMetric) -> bytes:
        builder = flatbuffers.Builder(0)
        texts = {name: builder.CreateString(getattr(metric, name)) for name in TEXTS}
        generated.OrderMetricStart(builder)  # type: ignore[no-untyped-call]
        for name in metric.__struct_fields__:
            add = getattr(generated, "OrderMetricAdd" + name.title().replace("_", ""))
            add(builder, texts.get(name, getattr(metric, name)))
        builder.Finish(generated.OrderMetricEnd(builder))  # type: ignore[no-untyped-call]
        return bytes(builder.Output())

    replace(metrics, "encode", encode)


def the_collector_as_it_comes() -> None:
    """Leave Python's collector of cycles as it is set by default."""
    replace(running, "_collect_rarely", lambda: None)


GAINS: Final[dict[str, Callable[[], None]]] = {
    "group commit": a_statement_for_each_order,
    "streams": a_call_for_each_order,
    "one statement a request": a_read_before_each_write,
    "a thin HTTP layer": a_framework_in_front,
    "token cache": each_token_verified_anew,
    "FlatBuffers template": the_official_builder,
    "a calm collector": the_collector_as_it_comes,
}


def main() -> int:
    """Take one gain out, then run the gateway."""
    GAINS[sys.argv[1]]()
    return running.run("gateway", app.main, os.environ)


if __name__ == "__main__":
    sys.exit(main())
