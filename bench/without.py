"""The gateway without one of its optimizations: `python -m bench.without NAME` runs it as `autogrocery gateway` does.

This measures what each optimization is worth in the gateway itself.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import flatbuffers

from autogrocery.contracts.analytics.v1 import order_metric_generated as generated
from autogrocery.gateway.app import main as run_gateway
from autogrocery.gateway.tuning import Tuning
from autogrocery.kit.process.run import run

if TYPE_CHECKING:
    from autogrocery.contracts.analytics.metric import OrderMetric

TEXTS: Final = ("order_id", "status", "store_id")


def encode_with_builder(metric: OrderMetric) -> bytes:
    """Return a metric's frame, written by FlatBuffers' builder instead of the template."""
    builder = flatbuffers.Builder(0)
    texts = {name: builder.CreateString(getattr(metric, name)) for name in TEXTS}
    generated.OrderMetricStart(builder)  # type: ignore[no-untyped-call]
    for name in metric.__struct_fields__:
        add = getattr(generated, "OrderMetricAdd" + name.title().replace("_", ""))
        add(builder, texts.get(name, getattr(metric, name)))
    builder.Finish(generated.OrderMetricEnd(builder))  # type: ignore[no-untyped-call]
    return bytes(builder.Output())


TRANSPORT: Final = "our client's end of HTTP/2"
COLLECTOR: Final = "a calm collector"
TUNINGS: Final = {
    "group commit": Tuning(batch_writes=False),
    "one statement a request": Tuning(max_cached_orders=0),
    "token cache": Tuning(max_cached_tokens=0),
    "FlatBuffers template": Tuning(encode_metric=encode_with_builder),
    TRANSPORT: Tuning(),  # switched off by an environment variable
    COLLECTOR: Tuning(),  # switched off by an argument of `run`
}
OPTIMIZATIONS: Final = tuple(TUNINGS)


def main() -> int:
    """Run the gateway without the optimization that the command line names."""
    name = sys.argv[1]
    environ = {**os.environ, **({"PEER_TRANSPORT": "grpcio"} if name == TRANSPORT else {})}
    return run("gateway", partial(run_gateway, tuning=TUNINGS[name]), environ, freeze=name != COLLECTOR)


if __name__ == "__main__":
    sys.exit(main())
