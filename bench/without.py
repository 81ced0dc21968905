"""The gateway without one of the parts that make it fast: `python -m bench.without NAME` runs it as `autogrocery gateway` does.

What each is worth is measured so, on the product itself. The HTTP layer can't be taken out, so a framework is put before it:
its cost is what a gateway on that framework would pay, with our layer's on top (docs/decisions/0002 compares them alone).
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import flatbuffers

from autogrocery.contracts.analytics.v1 import order_metric_generated as generated
from autogrocery.gateway.app import main as run_gateway
from autogrocery.gateway.tuning import Tuning
from autogrocery.kit.process.run import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.contracts.analytics.metric import OrderMetric

TEXTS: Final = ("order_id", "status", "store_id")


def encode_with_builder(metric: OrderMetric) -> bytes:
    """Return a metric's frame, written by the builder of FlatBuffers instead of the template."""
    builder = flatbuffers.Builder(0)
    texts = {name: builder.CreateString(getattr(metric, name)) for name in TEXTS}
    generated.OrderMetricStart(builder)  # type: ignore[no-untyped-call]
    for name in metric.__struct_fields__:
        add = getattr(generated, "OrderMetricAdd" + name.title().replace("_", ""))
        add(builder, texts.get(name, getattr(metric, name)))
    builder.Finish(generated.OrderMetricEnd(builder))  # type: ignore[no-untyped-call]
    return bytes(builder.Output())


def behind_a_framework() -> Tuning:
    """Return the tuning whose application lets FastAPI and pydantic route, read and write."""
    from bench.framework import FramedApp  # noqa: PLC0415 - FastAPI is a development dependency

    return Tuning(app=FramedApp)


STREAMS: Final = "streams"
COLLECTOR: Final = "a calm collector"
TUNINGS: Final[dict[str, Callable[[], Tuning]]] = {
    "group commit": lambda: Tuning(batch_writes=False),
    STREAMS: Tuning,  # a setting of the gateway's
    "one statement a request": lambda: Tuning(max_cached_orders=0),
    "a thin HTTP layer": behind_a_framework,
    "token cache": lambda: Tuning(max_cached_tokens=0),
    "FlatBuffers template": lambda: Tuning(encode_metric=encode_with_builder),
    COLLECTOR: Tuning,  # a switch of the process
}
GAINS: Final = tuple(TUNINGS)


def main() -> int:
    """Run the gateway without the part that the command line names."""
    part = sys.argv[1]
    environ: dict[str, Any] = {**os.environ, **({"PEER_STREAMS": "off"} if part == STREAMS else {})}
    return run("gateway", partial(run_gateway, tuning=TUNINGS[part]()), environ, freeze=part != COLLECTOR)


if __name__ == "__main__":
    sys.exit(main())
