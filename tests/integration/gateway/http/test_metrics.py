"""/metrics: what alerts and dashboard name is served, labels are bounded, and the database may be away."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from autogrocery.kit.pg import outbox  # declares what the notifier serves
from tests.repository.tracked import ROOT

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from tests.harness.running_gateway import Device, RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
FUNCTIONS = {"by", "sum", "rate", "increase", "histogram_quantile", "and", "up"}


async def scraped(gateway: RunningGateway) -> dict[str, Metric]:
    reply = await gateway.request("GET", "/metrics", inside=True)
    assert reply.status == 200
    return {family.name: family for family in text_string_to_metric_families(reply.body.decode())}


def names_in(expression: str) -> set[str]:
    """Return the names of figures in a PromQL expression without its labels, ranges and functions."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)", "", expression)
    return set(re.findall(r"[a-z_]{2,}", bare)) - FUNCTIONS


async def test_every_figure_in_alerts_and_dashboard_is_served(device: Device) -> None:
    await device.processing()
    families = await scraped(device.gateway)
    served = {name + end for name, family in families.items() for end in SUFFIXES.get(family.type, ())}
    assert outbox.DELIVERIES
    rules = re.findall(r"expr: '(.*)'$", (ROOT / "deploy/prometheus/alerts.yaml").read_text(), re.MULTILINE)
    panels = json.loads((ROOT / "deploy/grafana/gateway.json").read_text())["panels"]
    for expression in [*rules, *(panel["targets"][0]["expr"] for panel in panels)]:
        assert names_in(expression) <= served, expression


async def test_routes_are_templates_and_no_label_holds_an_id(device: Device) -> None:
    order_id = await device.processing()
    await device.get(f"/api/client/order/{order_id}")
    await device.get(f"/api/client/nowhere/{order_id}")
    families = await scraped(device.gateway)
    labels = {value for one in families.values() for sample in one.samples for value in sample.labels.values()}
    assert not [value for value in labels if order_id in value]
    routes = {sample.labels["route"] for sample in families["http_responses"].samples}
    assert {"/api/client/order/confirm", "unmatched"} <= routes
    confirms = [
        sample.value
        for sample in families["http_request_duration_seconds"].samples
        if sample.name.endswith("_count") and sample.labels["route"] == "/api/client/order/confirm"
    ]
    assert confirms[0] >= 1
    assert {sample.labels["peer"] for sample in families["peer_calls"].samples} >= {"inventory", "pricing"}


async def test_scrape_without_the_database_answers_within_a_second(gateway: RunningGateway) -> None:
    async with gateway.db.transaction() as locked:
        await locked.rows("LOCK TABLE receipt_outbox IN ACCESS EXCLUSIVE MODE")
        began_s = time.monotonic()
        families = await scraped(gateway)
        assert time.monotonic() - began_s < 1.0
    assert families["database_answered"].samples[0].value == 0
    assert "queue_lag_seconds" not in families
    assert families["database_pool_max_connections"].samples
    assert (await scraped(gateway))["database_answered"].samples[0].value == 1
