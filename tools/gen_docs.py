"""The documents that are made from code: the states, the settings, the OpenAPI document, who may do what, every problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import inspect

from autogrocery.analytics.settings import Settings as AnalyticsSettings
from autogrocery.gateway.app import openapi
from autogrocery.gateway.core.order import EDGES, TERMINAL, Fact, Status
from autogrocery.gateway.core.restock import RESTOCK_EDGES, RESTOCK_TERMINAL, RestockFact, RestockStatus
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.inventory.settings import Settings as InventorySettings
from autogrocery.kit.security.links import LinkSettings, PublisherSettings, SubscriberSettings
from autogrocery.lab.network.roles import ADDRESSES
from autogrocery.pricing.settings import Settings as PricingSettings
from autogrocery.robots.settings import Settings as RobotsSettings
from tools.gen_security import problems_page, scopes

if TYPE_CHECKING:
    from pathlib import Path

    from msgspec import Struct

ROLES: Final[dict[str, type[Struct]]] = {
    "gateway": GatewaySettings,
    "inventory": InventorySettings,
    "pricing": PricingSettings,
    "robots": RobotsSettings,
    "analytics": AnalyticsSettings,
}

# Their fields stand in a section of their own, not again at each role.
LINKS: Final[tuple[type[Struct], ...]] = (LinkSettings, PublisherSettings, SubscriberSettings)

# What a field means that does not say it itself.
MEANINGS: Final = {
    "INVENTORY_DATABASE_URL": "inventory's own database, if not `DATABASE_URL`; its tables are in the schema `inventory`",
    "PRICING_DATABASE_URL": "pricing's own database, if not `DATABASE_URL`; its tables are in the schema `pricing`",
    "DATABASE_URL": "PostgreSQL, 15 or later; unset under `up`: embedded PostgreSQL",
    "WEBHOOK_SECRET": "the first signs what inventory tells the gateway; comma list, `whsec_…` is base64",
    "ROBOT_JWT_SECRET": "verifies robots' tokens; comma list",
    "ROBOTS_ZMQ_ADDR": "where inventory announces work to robots",
    "ROBOTS_ZMQ_TARGET": "where to hear announcements, if not at that address",
    "GATEWAY_WEBHOOK_URL": "the gateway's internal listener, as this role reaches it",
    "INVENTORY_DB_CONNECTIONS": "connections to PostgreSQL, beside the four that orders share",
    "PICK_LEASE_S": "how long a robot may be silent before another may take its work",
    "ROBOT_SEEN_S": "how recently a robot must have been heard of to be given work",
    "ROBOT_QUEUE_MAX": "assignments that may wait for one robot",
    "CURRENCY": "ISO 4217 code of every price",
    "PRICE_MARGIN_PERCENT": "added to the cost of a product that comes without a price, rounded up to a cent",
    "ROBOTS_CREDENTIALS_FILE": "JSON list of `robot_id`, `robot_class`, `password`; its owner's only (0600)",
    "ROBOTS_SPEED": "how many times faster than a real robot",
    "ROBOTS_SEED": "which robots find an empty shelf or die, and when",
    "ROBOTS_SHORT_PERCENT": "how often a line falls short of what the shelf should hold",
    "ROBOTS_CRASH_PERCENT": "how often a robot dies at its work and comes back",
    "ANALYTICS_ZMQ_TARGET": "where to hear metrics, if not at that address",
    "ANALYTICS_STATUS_FILE": "where the figures are written as JSON",
}

STACK: Final = {
    "AUTOGROCERY_HOME": (
        "the platform's user data directory; `/var/lib/autogrocery` for root",
        "where `up` keeps its database, secrets, logs, receipts and `run.json`",
    ),
    "AUTOGROCERY_PG_PORT": ("a free port", "TCP port of the embedded PostgreSQL on 127.0.0.1"),
    "PG_BIN": (
        "searched",
        "directory of `initdb` and `postgres`, 15 or later; unset: wheels, then the distribution, then `PATH`",
    ),
    "AUTOGROCERY_FAULTS": ("none", "for tests only: `point:mode[:nth],…` makes a role die, fail, hang or repeat there"),
}

STATES_WORDS: Final = {
    Status.PREVIEWED: "priced, and its stock softly locked until `expires_at`",
    Status.PROCESSING: "inventory has dispatched robots",
    Status.COMPLETED: "picked, whole or in part, and charged for what was picked",
    Status.CANCELLED: "let go by its device, or by the quota on idle quotes",
    Status.EXPIRED: "not confirmed in time",
    Status.FAILED: "no robots, or nothing was picked; costs nothing",
}
FACT_WORDS: Final = {
    Fact.DISPATCHED: "inventory says that robots have the order",
    Fact.PICKED: "inventory says that robots have finished and picked something",
    Fact.NOTHING_PICKED: "inventory says that robots have finished and picked nothing",
    Fact.RELEASED_ON_CANCEL: "inventory has acknowledged the release that a cancel asked for",
    Fact.RELEASED_ON_EXPIRY: "inventory has acknowledged the release of an expired quote",
    Fact.RELEASED_UNSERVED: "inventory has acknowledged the release of an order it could not serve",
}
RESTOCK_WORDS: Final = {
    RestockStatus.ANNOUNCED: "written down, with the call that is owed to inventory",
    RestockStatus.RECEIVING: "inventory has taken it on; each line can be sold as soon as it is put away",
    RestockStatus.RECEIVED: "all that came is put away and counted",
    RestockStatus.REJECTED: "inventory has refused it, at the door or later",
}
RESTOCK_FACT_WORDS: Final = {
    RestockFact.ACCEPTED: "inventory says that it takes the delivery on",
    RestockFact.SHELVED: "inventory says that all is put away",
    RestockFact.REFUSED: "inventory says no",
}


def write_docs(out: Path) -> None:
    """Write STATES.md, SETTINGS.md, SCOPES.md, PROBLEMS.md and openapi.json into `out`."""
    (out / "STATES.md").write_text(states(), encoding="utf-8")
    (out / "SETTINGS.md").write_text(settings(), encoding="utf-8")
    (out / "SCOPES.md").write_text(scopes(), encoding="utf-8")
    (out / "PROBLEMS.md").write_text(problems_page(), encoding="utf-8")
    (out / "openapi.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(openapi(), order="sorted"), indent=1) + b"\n"
    )


def states() -> str:
    """Return the lives of an order and of a restock as a diagram and tables, all from the edge tables."""
    restock = _life(RESTOCK_EDGES, RESTOCK_TERMINAL, RESTOCK_WORDS, RESTOCK_FACT_WORDS, "ANNOUNCED: restock")
    return "\n".join(
        [
            "# The states of an order",
            "",
            "Generated from `EDGES` in [order.py](../src/autogrocery/gateway/core/order.py) by `make gen`. The database holds the same",
            "edges and refuses every other step ([0002_orders.sql](../src/autogrocery/gateway/store/migrations/0002_orders.sql)).",
            "How an order stays right between two states is told in [PROTOCOL.md](PROTOCOL.md).",
            "",
            *_life(EDGES, TERMINAL, STATES_WORDS, FACT_WORDS, "PREVIEWED: preview"),
            "## The states of a restock",
            "",
            "From `RESTOCK_EDGES` in [restock.py](../src/autogrocery/gateway/core/restock.py), and in the database likewise",
            "([0003_restocks.sql](../src/autogrocery/gateway/store/migrations/0003_restocks.sql)). The order of the calls behind it is",
            "[decision 0015](decisions/0015-restocks.md).",
            "",
            *restock,
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


def settings() -> str:
    """Return every environment variable of every role."""
    lines = [
        "# Settings",
        "",
        "Generated from the settings of each role by `make gen`. All are environment variables; an empty value counts as unset.",
        "A missing or malformed value, and an unknown `ORDERING_*` variable seen by the gateway, stops the start with one line",
        "that names the variable and never shows its value.",
        "",
        "Addresses are where a role binds. `--ports auto` gives `up` free ports for all of them; port 0 does so for one.",
        "",
        "## up",
        "",
        *_table(("variable", "default", "meaning"), ((f"`{name}`", *row) for name, row in STACK.items())),
        "",
        "`up` binds, unless told otherwise:",
        "",
        *_table(("variable", "address"), ((f"`{name}`", f"`{value}`") for name, value in ADDRESSES.items())),
        "",
        "It makes `JWT_SECRET`, `ROBOT_JWT_SECRET` and `WEBHOOK_SECRET` once and keeps them in `secrets.env` of its home.",
        "Every secret has at least 32 bytes, and all are different; guessable ones are warned of. How each is exchanged: [SECURITY](SECURITY.md).",
    ]
    of_links = {field.name: field for shape in LINKS for field in inspect.type_info(shape).fields}  # type: ignore[attr-defined]
    for role, shape in ROLES.items():
        fields = inspect.type_info(shape).fields  # type: ignore[attr-defined]
        rows = [_row(field) for field in fields if field.name not in of_links]
        lines += ["", f"## {role}", "", *_table(("variable", "default", "bounds", "meaning"), rows)]
    lines += [
        "",
        "## Links",
        "",
        "Every role reads the first four, and publishers (gateway, inventory) and subscribers (robots, analytics) theirs. `TLS_*` are set all",
        "three or none; set, gRPC and the internal listener have mutual TLS, and `GATEWAY_WEBHOOK_URL` begins with `https://`. `up --tls` sets all",
        "of them. Commands (`stock load`, `replay`) read `TLS_*` too. How keys are made and changed is told in [RUNBOOK](RUNBOOK.md#keys).",
        "",
        *_table(("variable", "default", "bounds", "meaning"), map(_row, of_links.values())),
    ]
    return "\n".join(lines) + "\n"


def _row(field: inspect.Field) -> tuple[str, str, str, str]:
    name = field.name.upper()
    kind, extra = field.type, {}
    if isinstance(kind, inspect.Metadata):
        kind, extra = kind.type, kind.extra_json_schema or {}
    meaning = extra.get("description") or MEANINGS.get(name) or _said_by_the_gateway(name)
    default = "required" if field.required else f"`{field.default}`" if field.default != "" else ""
    return f"`{name}`", default, _bounds(kind), meaning


def _said_by_the_gateway(name: str) -> str:
    """Return what the gateway says of a variable that it shares; raises LookupError if nobody says what it means."""
    hint = next((field for field in inspect.type_info(GatewaySettings).fields if field.name.upper() == name), None)  # type: ignore[attr-defined]
    if hint is None or not isinstance(hint.type, inspect.Metadata):
        raise LookupError(f"{name} has no meaning yet: add a description where it is defined")
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
