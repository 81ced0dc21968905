"""Alert rules and dashboard name figures that are declared, and each alert has its section in RUNBOOK."""

from __future__ import annotations

import json
import re

from tests.repository.tracked import ROOT

RULES = (ROOT / "deploy/prometheus/alerts.yaml").read_text()
ALERTS = re.findall(r"^      - alert: (\w+)$", RULES, re.MULTILINE)


def test_each_alert_has_its_section_with_a_command() -> None:
    page = (ROOT / "docs/RUNBOOK.md").read_text().split("\n## Alerts\n")[1].split("\n## ")[0]
    sections = {section.split("\n", 1)[0]: section for section in page.split("\n### ")[1:]}
    assert list(sections) == ALERTS
    assert all("```sh\n" in section for section in sections.values())
    assert re.findall(r"RUNBOOK\.md#(\w+)", RULES) == [name.lower() for name in ALERTS]


def test_panels_have_one_expression_each() -> None:
    panels = json.loads((ROOT / "deploy/grafana/gateway.json").read_text())["panels"]
    assert panels
    assert all(len(panel["targets"]) == 1 and panel["targets"][0]["expr"] for panel in panels)
