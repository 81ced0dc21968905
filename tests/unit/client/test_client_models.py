from __future__ import annotations

import msgspec
import pytest

from autogrocery.client import models
from autogrocery.gateway.wire import orders as wire
from autogrocery.gateway.wire import restocks as restock_wire


@pytest.mark.parametrize(
    ("served", "read"),
    [
        (wire.OrderOut, models.Order),
        (wire.LineOut, models.OrderLine),
        (wire.OrdersOut, models.OrderPage),
        (wire.EventOut, models.Event),
        (wire.EventsOut, models.EventPage),
        (wire.ProductOut, models.Product),
        (wire.CatalogOut, models.ProductPage),
        (restock_wire.RestockOut, models.Restock),
        (restock_wire.RestockLineOut, models.RestockLine),
        (restock_wire.RestockIn, models.Manifest),
        (restock_wire.GoodsIn, models.Goods),
    ],
)
def test_client_models_have_every_field_of_the_gateways(
    served: type[msgspec.Struct], read: type[msgspec.Struct]
) -> None:
    fields = [{field.encode_name for field in msgspec.structs.fields(struct)} for struct in (served, read)]
    assert fields[0] == fields[1]
