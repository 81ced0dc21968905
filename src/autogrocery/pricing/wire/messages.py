"""Conversions between protobuf messages and core types. Readers raise Invalid for a malformed message."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from autogrocery.contracts.pricing.v1 import pricing_pb2 as pb
from autogrocery.kit.errors import Invalid
from autogrocery.pricing.core.price import Line, Offer, make_offer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autogrocery.pricing.core.price import Product, ProductPage, Quote


def check_order_id(text: str) -> None:
    """Raise Invalid unless `text` is a UUID."""
    try:
        UUID(text)
    except ValueError:
        raise Invalid("invalid_request", "order_id is not a UUID") from None


def read_lines(items: Iterable[pb.Item]) -> list[Line]:
    """Read the lines of a basket."""
    return [Line(item.sku, item.quantity) for item in items]


def read_offers(updates: Iterable[pb.StockMetric], *, margin_percent: int) -> list[Offer]:
    """Read changes of the price list; a price that is not given is the cost plus the margin."""
    return [
        make_offer(
            sku=update.sku,
            name=update.name,
            aisle_type=update.aisle_type,
            unit_price_cents=update.unit_price_cents,
            unit_cost_cents=update.unit_cost_cents,
            quantity=update.quantity,
            margin_percent=margin_percent,
        )
        for update in updates
    ]


def quote_response(order_id: str, currency: str, quote: Quote) -> pb.QuoteResponse:
    """Return the response with the priced lines and the total."""
    return pb.QuoteResponse(
        order_id=order_id,
        currency=currency,
        lines=[
            pb.QuoteLine(
                sku=line.sku,
                name=line.name,
                quantity=line.quantity,
                unit_price_cents=line.unit_price_cents,
                line_total_cents=line.line_total_cents,
            )
            for line in quote.lines
        ],
        total_cents=quote.total_cents,
        unknown_skus=quote.unknown_skus,
    )


def list_response(page: ProductPage) -> pb.ListProductsResponse:
    """Return the response with one page of products."""
    return pb.ListProductsResponse(products=map(_product, page.products), next_cursor=page.next_cursor)


def price_response(product: Product | None) -> pb.GetPriceResponse:
    """Return the response with one product; None is an unknown product."""
    return pb.GetPriceResponse(product=_product(product) if product else None)


def _product(product: Product) -> pb.Product:
    return pb.Product(
        sku=product.sku,
        name=product.name,
        aisle_type=product.aisle_type,
        unit_price_cents=product.unit_price_cents,
        currency=product.currency,
    )
