"""The plan of a run, drawn from its seed: stock, devices and faults."""

from __future__ import annotations

from random import Random

from msgspec import Struct

from tests.proofs.simulation.network import FAULTS, QUICK_S, SLOW_S, CallOutcome, FaultRates

FAULT_RATES = (0.0, 0.02, 0.06, 0.15)
FAULTS_END_S = 25.0
POINTS = (
    "orders.add",
    "orders.mark_dispatched",
    "orders.promise_dispatch",
    "orders.promise_release",
    "orders.promise_release_idle",
    "orders.mark_released",
    "orders.mark_unreleasable",
    "orders.finish",
    "inventory.reserve",
    "inventory.assign",
    "inventory.release",
    "inventory.get",
    "mail.send",
)
SKUS = ("apple", "bread", "milk", "olive")
ENDINGS = (
    "confirm",
    "confirm",
    "twice",
    "cancel",
    "race",
    "regret",
    "late regret",
    "last second",
    "last second",
    "walk away",
    "walk away",
)


class Theme(Struct, frozen=True):
    """A theme of two runs in five: faults that occur together, and the requests that meet them."""

    focus: dict[str, CallOutcome | None]
    endings: tuple[str, ...]
    slow_robots: bool = False
    long_outage: bool = False


OVERTAKEN_EXPIRY = Theme(
    {
        "orders.mark_dispatched": CallOutcome.LOST,
        "orders.mark_unreleasable": CallOutcome.LATE,
        "orders.mark_released": CallOutcome.LOST,
    },
    ("late regret",),
    slow_robots=True,
)
THEMES = (
    OVERTAKEN_EXPIRY,
    OVERTAKEN_EXPIRY,
    OVERTAKEN_EXPIRY,
    Theme({"inventory.assign": None}, ("confirm", "regret", "late regret", "race", "race")),
    Theme(
        {"orders.promise_release": None, "orders.promise_release_idle": None}, ("last second", "walk away", "cancel")
    ),
    Theme({"inventory.assign": None, "inventory.release": CallOutcome.UNANSWERED}, ("race", "regret")),
    Theme({"orders.add": None}, ("confirm", "twice")),
    Theme({}, ("last second",)),
    Theme({}, ("confirm",), long_outage=True),
    Theme({}, ("confirm",), long_outage=True),
)


class Plan(Struct, frozen=True):
    """The plan of one run."""

    seed: int
    ttl_s: int
    patience_s: int
    max_live_previews: int
    reconcile_again_s: float
    devices: int
    stock: dict[str, int]
    fault_rates: FaultRates
    crashes: tuple[tuple[float, int], ...]  # when, which gateway
    outages: tuple[tuple[float, float, str], ...]  # from, until, which port
    no_robots: tuple[float, float]  # from, until
    fast_robots: bool
    start_within_s: float
    lost_webhooks: float
    endings: tuple[str, ...]


def draw(seed: int) -> Plan:
    """Draw the plan of a seed."""
    rng = Random(seed)
    theme = rng.choice(THEMES) if rng.random() < 0.4 else None
    fault_rates = FaultRates(
        fault=rng.choice(FAULT_RATES),
        focus=theme.focus if theme else _some_focus(rng),
        focused=rng.choice((0.4, 0.85)),
        kill=rng.choice((0.0, 0.0, 0.01)),
        pauses_s=rng.choice((QUICK_S, QUICK_S, SLOW_S)),
        repeated=rng.choice((0.0, 0.1)),
        slow=rng.choice((0.0, 0.1)),
    )
    crashes = sorted((rng.uniform(0.5, FAULTS_END_S), rng.randrange(2)) for _ in range(rng.choice((0, 0, 1, 3, 5))))
    outages = tuple(
        (
            start := rng.uniform(0.5, 15.0),
            start + rng.choice((1.0, 3.0, 8.0, 50.0)),
            rng.choice(("inventory", "inventory", "pricing", "mail")),
        )
        for _ in range(rng.choice((0, 1, 1, 2)))
    )
    long_outage, slow_robots = bool(theme and theme.long_outage), bool(theme and theme.slow_robots)
    if long_outage:
        outages = ((start := rng.uniform(2.0, 4.0), start + 40.0, "inventory"),)
    bare = rng.uniform(0.0, 10.0) if rng.random() < 0.3 else FAULTS_END_S
    return Plan(
        seed=seed,
        ttl_s=3 if slow_robots else rng.choice((3, 4, 6, 12)),
        patience_s=90 if long_outage else rng.choice((3, 8, 20)),
        max_live_previews=rng.choice((1, 2, 3)),
        reconcile_again_s=rng.choice((2.0, 10.0)),
        devices=rng.choice((3, 4, 5)),
        stock={sku: 4 if long_outage else rng.choice((4, 6, 12)) for sku in SKUS},
        fault_rates=fault_rates,
        crashes=tuple(crashes),
        outages=outages,
        no_robots=(bare, min(FAULTS_END_S, bare + 6.0)),
        fast_robots=not slow_robots and rng.random() < 0.4,
        start_within_s=15.0 if slow_robots else rng.choice((2.0, 6.0, 15.0)),
        lost_webhooks=rng.choice((0.0, 0.3, 1.0)),
        endings=theme.endings if theme else ENDINGS,
    )


def _some_focus(rng: Random) -> dict[str, CallOutcome | None]:
    return {point: rng.choice((None, None, *FAULTS)) for point in rng.sample(POINTS, rng.choice((0, 1, 2)))}
