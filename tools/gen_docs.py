"""The pages that are generated from code: STATES, SETTINGS, SCOPES, PROBLEMS, and the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import inspect

from autogrocery.analytics.settings import Settings as AnalyticsSettings
from autogrocery.console.settings import Settings as ConsoleSettings
from autogrocery.gateway.app import internal_openapi, openapi
from autogrocery.gateway.core.order import EDGES, TERMINAL, Fact, Status
from autogrocery.gateway.core.restock import RESTOCK_EDGES, RESTOCK_TERMINAL, RestockFact, RestockStatus
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.inventory.settings import Settings as InventorySettings
from autogrocery.kit.security.transport import PublisherSettings, SubscriberSettings, TlsSettings
from autogrocery.lab.network.roles import ADDRESSES
from autogrocery.notifier.settings import NotifierSettings
from autogrocery.pricing.settings import Settings as PricingSettings
from autogrocery.robots.settings import Settings as RobotsSettings
from tools.gen_security import problems_page, scopes

if TYPE_CHECKING:
    from pathlib import Path

    from msgspec import Struct

ROLES: Final[dict[str, type[Struct]]] = {
    "gateway": GatewaySettings,
    "notifier": NotifierSettings,
    "inventory": InventorySettings,
    "pricing": PricingSettings,
    "robots": RobotsSettings,
    "analytics": AnalyticsSettings,
    "console": ConsoleSettings,
}

# Their fields are in the section `Links`, not repeated for each role.
LINKS: Final[tuple[type[Struct], ...]] = (TlsSettings, PublisherSettings, SubscriberSettings)

# Meanings of the fields that carry no description.
MEANINGS: Final = {
    "INVENTORY_DATABASE_URL": "inventory's database, default `DATABASE_URL`; its tables are in the schema `inventory`",
    "PRICING_DATABASE_URL": "pricing's database, default `DATABASE_URL`; its tables are in the schema `pricing`",
    "DATABASE_URL": "PostgreSQL, 15 or later; unset under `up`: embedded PostgreSQL",
    "WEBHOOK_SECRET": "the first signs inventory's webhooks; comma list, `whsec_…` is base64",
    "ROBOT_JWT_SECRET": "verifies robots' tokens; comma list",
    "ROBOTS_ZMQ_ADDR": "where inventory announces work to robots",
    "ROBOTS_ZMQ_TARGET": "where robots connect for announcements, default that address",
    "GATEWAY_WEBHOOK_URL": "the gateway's internal listener, as this role reaches it",
    "INVENTORY_DB_CONNECTIONS": "connections to PostgreSQL, in addition to the four of the shared statements",
    "PICK_LEASE_S": "lease of an assignment: a robot silent for so long loses it to another",
    "ROBOT_SEEN_S": "a robot that has not called for so long gets no assignment",
    "ROBOT_QUEUE_MAX": "assignments that may wait for one robot",
    "CURRENCY": "ISO 4217 code of every price",
    "PRICE_MARGIN_PERCENT": "added to the cost of a product that comes without a price, rounded up to a cent",
    "ROBOTS_CREDENTIALS_FILE": "JSON list of `robot_id`, `robot_class`, `password`; readable by its owner only (0600)",
    "ROBOTS_SPEED": "how many times faster than a real robot",
    "ROBOTS_SEED": "seed of the simulated shortages and crashes",
    "ROBOTS_SHORT_PERCENT": "share of lines that are picked short",
    "ROBOTS_CRASH_PERCENT": "share of assignments during which the robot crashes and restarts",
    "ANALYTICS_ZMQ_TARGET": "where analytics connects, default that address",
    "ANALYTICS_STATUS_FILE": "file to which the figures are written as JSON",
}

STACK: Final = {
    "AUTOGROCERY_HOME": (
        "the platform's user data directory; `/var/lib/autogrocery` for root",
        "where `up` keeps its database, secrets, logs, receipts and `run.json`",
    ),
    "AUTOGROCERY_PG_PORT": ("a free port", "TCP port of the embedded PostgreSQL on 127.0.0.1"),
    "PG_BIN": (
        "searched",
        "directory of `initdb` and `postgres`, 15 or later; unset: wheels, the distribution, then `PATH`",
    ),
    "AUTOGROCERY_FAULTS": (
        "none",
        (
            "for proofs only, read by `autogrocery.lab.faulty_role`: `point:mode[:nth],…` makes the role crash, fail,"
            " hang or repeat at a fault point"
        ),
    ),
}

STATES_WORDS: Final = {
    Status.PREVIEWED: "priced; its stock is held until `expires_at`",
    Status.PROCESSING: "inventory has dispatched robots",
    Status.COMPLETED: "picked, fully or partly, and charged for what was picked",
    Status.CANCELLED: "cancelled by its device, or by the quota on idle quotes",
    Status.EXPIRED: "not confirmed in time",
    Status.FAILED: "no robots, or nothing was picked; nothing is charged",
}
FACT_WORDS: Final = {
    Fact.DISPATCHED: "inventory reports that robots have the order",
    Fact.PICKED: "inventory reports that robots have finished and picked something",
    Fact.NOTHING_PICKED: "inventory reports that robots have finished and picked nothing",
    Fact.RELEASED_ON_CANCEL: "inventory has acknowledged the release that a cancel asked for",
    Fact.RELEASED_ON_EXPIRY: "inventory has acknowledged the release of an expired quote",
    Fact.RELEASED_UNSERVED: "inventory has acknowledged the release of an order it could not serve",
}
RESTOCK_WORDS: Final = {
    RestockStatus.ANNOUNCED: "stored, with the call that is owed to inventory",
    RestockStatus.RECEIVING: "accepted by inventory; each line is for sale as soon as it is put away",
    RestockStatus.RECEIVED: "all goods are put away and counted",
    RestockStatus.REJECTED: "refused by inventory, at once or later",
}
RESTOCK_FACT_WORDS: Final = {
    RestockFact.ACCEPTED: "inventory accepts the delivery",
    RestockFact.SHELVED: "inventory reports that all is put away",
    RestockFact.REFUSED: "inventory refuses the delivery",
}


def write_docs(out: Path) -> None:
    """Write STATES.md, SETTINGS.md, SCOPES.md, PROBLEMS.md, openapi.json and openapi-internal.json into `out`."""
    (out / "STATES.md").write_text(states(), encoding="utf-8")
    (out / "SETTINGS.md").write_text(settings(), encoding="utf-8")
    (out / "SCOPES.md").write_text(scopes(), encoding="utf-8")
    (out / "PROBLEMS.md").write_text(problems_page(), encoding="utf-8")
    for name, whole in (("openapi.json", openapi()), ("openapi-internal.json", internal_openapi())):
        (out / name).write_bytes(msgspec.json.format(msgspec.json.encode(whole, order="sorted"), indent=1) + b"\n")


STATES_HEAD: Final = """\
# The states of an order

Generated by `make gen` from `EDGES` in [order.py](../src/autogrocery/gateway/core/order.py). The database holds the
same edges and refuses every other change
([0006_order_writes.sql](../src/autogrocery/gateway/store/migrations/0006_order_writes.sql)).
[PROTOCOL](PROTOCOL.md) describes how an order stays right while a change is under way.
"""
RESTOCK_HEAD: Final = """\
## The states of a restock

Generated from `RESTOCK_EDGES` in [restock.py](../src/autogrocery/gateway/core/restock.py). The database holds the same
edges ([0003_restocks.sql](../src/autogrocery/gateway/store/migrations/0003_restocks.sql)).
[Decision 0015](decisions/0015-restocks.md) gives the order of the calls.
"""


def states() -> str:
    """Return STATES.md: diagram and tables of an order's and of a restock's states."""
    return "\n".join(
        [
            STATES_HEAD,
            *_life(EDGES, TERMINAL, STATES_WORDS, FACT_WORDS, "PREVIEWED: preview"),
            RESTOCK_HEAD,
            *_life(RESTOCK_EDGES, RESTOCK_TERMINAL, RESTOCK_WORDS, RESTOCK_FACT_WORDS, "ANNOUNCED: restock"),
        ]
    )


def _life(
    edges: dict[Any, Any], terminal: Any, words: dict[Any, str], fact_words: dict[Any, str], first: str
) -> list[str]:
    diagram = ["stateDiagram-v2", f"    [*] --> {first}"]
    diagram += [f"    {start} --> {end}: {fact}" for (start, fact), end in edges.items()]
    diagram += [f"    {status} --> [*]" for status in words if status in terminal]
    known = [(start, end, fact, fact_words[fact]) for (start, fact), end in edges.items()]
    states = [(status, "yes" if status in terminal else "no", word) for status, word in words.items()]
    return [
        "```mermaid",
        *diagram,
        "```",
        "",
        *_table(("status", "terminal", "it means"), states),
        "",
        *_table(("from", "to", "fact", "how it became known"), known),
        "",
    ]


SETTINGS_HEAD: Final = """\
# Settings

Generated by `make gen` from the settings of each role. All are environment variables; an empty value counts as unset.
A missing or malformed value stops the start with one line that names the variable and never shows its value; so does,
at the gateway, an unknown `ORDERING_*` variable.

Addresses are where a role binds. Port 0 takes a free port; `up --ports auto` does so for every role.

## up
"""
UP_ADDRESSES: Final = """
`up` binds these addresses unless they are set:
"""
UP_SECRETS: Final = """
`up` creates `JWT_SECRET`, `ROBOT_JWT_SECRET` and `WEBHOOK_SECRET` once and keeps them in `secrets.env` of its home.
A secret has at least 32 bytes, and all secrets differ; a guessable one is accepted and logged as a warning.
[SECURITY](SECURITY.md#exchange-a-secret) describes how each is exchanged."""
LINKS_HEAD: Final = """
## Links

Every role reads the first four; publishers (gateway, inventory) and subscribers (robots, analytics) also read theirs.
`TLS_*` are set all three or none. If they are set, gRPC and the internal listener use mutual TLS, and
`GATEWAY_WEBHOOK_URL` begins with `https://`. `up --tls` sets all of them. The commands `stock load` and `replay` read
`TLS_*` too. [RUNBOOK](RUNBOOK.md#keys) describes how keys are made and changed.
"""


def settings() -> str:
    """Return SETTINGS.md: every environment variable of every role."""
    lines = [
        SETTINGS_HEAD,
        *_table(("variable", "default", "meaning"), ((f"`{name}`", *row) for name, row in STACK.items())),
        UP_ADDRESSES,
        *_table(("variable", "address"), ((f"`{name}`", f"`{value}`") for name, value in ADDRESSES.items())),
        UP_SECRETS,
    ]
    of_links = {field.name: field for shape in LINKS for field in inspect.type_info(shape).fields}  # type: ignore[attr-defined]
    for role, shape in ROLES.items():
        fields = inspect.type_info(shape).fields  # type: ignore[attr-defined]
        rows = [_row(field) for field in fields if field.name not in of_links]
        lines += ["", f"## {role}", "", *_table(("variable", "default", "bounds", "meaning"), rows)]
    lines += [LINKS_HEAD, *_table(("variable", "default", "bounds", "meaning"), map(_row, of_links.values()))]
    return "\n".join(lines) + "\n"


def _row(field: inspect.Field) -> tuple[str, str, str, str]:
    name = field.name.upper()
    kind, extra = field.type, {}
    if isinstance(kind, inspect.Metadata):
        kind, extra = kind.type, kind.extra_json_schema or {}
    meaning = extra.get("description") or MEANINGS.get(name) or _described_by_the_gateway(name)
    default = "required" if field.required else f"`{field.default}`" if field.default != "" else ""
    return f"`{name}`", default, _bounds(kind), meaning


def _described_by_the_gateway(name: str) -> str:
    """Return the gateway's description of a variable that it shares; raises LookupError if there is none."""
    hint = next((field for field in inspect.type_info(GatewaySettings).fields if field.name.upper() == name), None)  # type: ignore[attr-defined]
    if hint is None or not isinstance(hint.type, inspect.Metadata):
        raise LookupError(f"{name} has no description: add one where it is defined")
    return str((hint.type.extra_json_schema or {})["description"])


def _bounds(kind: Any) -> str:
    parts = []
    for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
        if (bound := getattr(kind, name, None)) is not None:
            parts.append(f"{sign} {bound:,}")
    if (longest := getattr(kind, "max_length", None)) is not None:
        parts.append(f"≤ {longest} characters")
    if (pattern := getattr(kind, "pattern", None)) is not None:
        parts.append(f"`{pattern}`")
    return ", ".join(parts)


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
