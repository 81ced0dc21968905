"""What makes the gateway fast, each part with a switch: production runs the defaults, `bench` measures each part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.contracts.analytics.metric import encode
from autogrocery.gateway.store.order_store import MAX_ENTRIES
from autogrocery.kit.security.tokens import MAX_CACHED_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.contracts.analytics.metric import OrderMetric


class Tuning(Struct, frozen=True):
    """`batch_writes`: concurrent writes share a statement. The caches are off at 0 entries."""

    batch_writes: bool = True
    max_cached_orders: int = MAX_ENTRIES
    max_cached_tokens: int = MAX_CACHED_TOKENS
    encode_metric: Callable[[OrderMetric], bytes] = encode
