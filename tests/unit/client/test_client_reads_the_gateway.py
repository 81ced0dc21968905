from __future__ import annotations

import msgspec
import pytest

from autogrocery.client import nouns
from autogrocery.gateway.wire import orders as wire
from autogrocery.gateway.wire import restocks as restock_wire


@pytest.mark.parametrize(
    ("told", "read"),
    [
        (wire.OrderOut, nouns.Order),
        (wire.LineOut, nouns.OrderLine),
        (wire.OrdersOut, nouns.OrderPage),
        (wire.EventOut, nouns.Event),
        (wire.EventsOut, nouns.EventPage),
        (wire.ProductOut, nouns.Product),
        (wire.CatalogOut, nouns.ProductPage),
        (restock_wire.RestockOut, nouns.Restock),
        (restock_wire.RestockLineOut, nouns.RestockLine),
        (restock_wire.RestockIn, nouns.Manifest),
        (restock_wire.GoodsIn, nouns.Goods),
    ],
)
def test_the_client_knows_every_field_the_gateway_tells(told: type[msgspec.Struct], read: type[msgspec.Struct]) -> None:
    fields = [{field.encode_name for field in msgspec.structs.fields(struct)} for struct in (told, read)]
    assert fields[0] == fields[1]
