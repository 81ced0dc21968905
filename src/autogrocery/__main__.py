"""The command line: argument parsing only. What a command needs is imported when it runs, so that --help stays quick."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from autogrocery.kit.rpc import environ

if TYPE_CHECKING:
    from collections.abc import Sequence

ROLES = {
    "gateway": "the ordering gateway: public and internal REST, loops, metrics",
    "inventory": "reference peer: stock, holds, robots' assignments, webhooks",
    "pricing": "reference peer: price list and quotes",
    "robots": "reference peer: a simulated fleet",
    "analytics": "reference peer: counts metrics and finds gaps",
}
MOST = 100_000  # of anything that is counted
LONGEST = 1_440  # minutes, a day; also more orders a second than one machine makes, and days that no food keeps


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    top = argparse.ArgumentParser(
        prog="autogrocery",
        description="Ordering gateway of the Autonomous Grocery Network.",
        epilog="Example: autogrocery demo --orders 200",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _network(commands)
    for name, what in ROLES.items():
        role = _command(commands, name, what, f"autogrocery {name}", "roles:run_role")
        role.set_defaults(role=name)
        if name == "robots":
            role.add_argument("--speed", type=float, help="how many times faster than a real robot (ROBOTS_SPEED)")
    _database(commands)
    _receipts(commands)
    _keys(commands)
    for kind in ("device", "truck", "robot", "operator"):
        _registry(commands, kind)
    _enrolment(commands)
    openapi = _command(
        commands, "openapi", "print the OpenAPI document", "autogrocery openapi > openapi.json", "roles:print_openapi"
    )
    openapi.set_defaults(role="openapi")
    _command(commands, "doctor", "check this machine and what it is set to", "autogrocery doctor", "doctor:run_doctor")
    return top


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str, example: str, verb: str
) -> argparse.ArgumentParser:
    made = commands.add_parser(
        name, help=what, description=what[:1].upper() + what[1:] + ".", epilog=f"Example: {example}"
    )
    made.set_defaults(verb=verb)
    return made


def _network(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = _command(
        commands, "up", "run the whole network on this machine until Ctrl-C", "autogrocery up", "network:run_up"
    )
    up.add_argument("--ports", choices=["auto"], default="", help="take free ports instead of the default ones")
    demo = _command(
        commands,
        "demo",
        "up, replay of real baskets, audit, report; exit 1 if an invariant is broken",
        "autogrocery demo --orders 500 --rate 25 --json figures.json",
        "network:run_demo",
    )
    prove = _command(
        commands,
        "prove",
        "break a network of its own all the time and prove that every order stays right; exit 1 if not",
        "autogrocery prove --minutes 3 --seed 7 --html proof.html",
        "proving:run_prove",
    )
    prove.add_argument("--minutes", type=_lasting, default=3.0, help="how long it is broken (default 3)")
    prove.add_argument("--seed", type=int, default=1, help="which disasters and baskets (default 1)")
    prove.add_argument("--rate", type=_lasting, default=6.0, help="orders a second (default 6)")
    prove.add_argument("--json", metavar="FILE", help="write the figures there too")
    prove.add_argument("--html", metavar="FILE", help="write a page with a timeline there")
    replay = _command(
        commands,
        "replay",
        "replay real baskets against a running gateway",
        "autogrocery replay --url http://127.0.0.1:5050 --orders 100",
        "replaying:run_replay",
    )
    replay.add_argument("--url", required=True, help="the gateway's public address")
    replay.add_argument("--internal-url", help="its internal address: then the run is audited too")
    for made in (up, demo):
        made.add_argument(
            "--tls", action="store_true", help="mutual TLS and CURVE on every link, by the keys in the home's pki"
        )
    for made in (demo, replay):
        made.add_argument("--orders", type=_positive, default=200, help="how many baskets (default 200)")
        made.add_argument("--rate", type=_lasting, default=20.0, help="orders a second (default 20)")
        made.add_argument("--seed", type=int, default=1, help="which baskets (default 1)")
        made.add_argument("--json", metavar="FILE", help="write the figures there too")
    stock = commands.add_parser("stock", help="put stock on the shelves").add_subparsers(dest="deed", required=True)
    load = _command(
        stock,
        "load",
        "load stock and prices through the peers' RPCs",
        "autogrocery stock load --demo",
        "replaying:run_stock_load",
    )
    load.add_argument("file", nargs="?", help="CSV: sku,name,aisle_type,unit_price_cents,unit_cost_cents,quantity")
    load.add_argument("--demo", action="store_true", help="what the demo's baskets need")


def _database(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    migrate = _command(
        commands,
        "migrate",
        "bring the database to this version's tables",
        "autogrocery migrate status",
        "database:run_migrate",
    )
    migrate.add_argument(
        "deed", nargs="?", choices=["status", "check"], help="status lists, check exits 1 if any is missing"
    )
    migrate.add_argument("--only", choices=["gateway", "inventory", "pricing"], help="one part's tables only")
    _command(
        commands,
        "audit",
        "check every invariant in the database; exit 1 on a violation",
        "autogrocery audit",
        "database:run_audit",
    )
    order = commands.add_parser("order", help="look at one order").add_subparsers(dest="deed", required=True)
    show = _command(order, "show", "an order's timeline", "autogrocery order show 0190…", "database:run_order_show")
    show.add_argument("order_id")
    _shelf(commands)


def _shelf(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    lots = _command(
        commands,
        "lots",
        "list the lots on the shelves, those that expire first first",
        "autogrocery lots --expiring-within 3",
        "shelf:run_lots",
    )
    lots.add_argument("--expiring-within", type=_lasting, metavar="DAYS", help="only what expires by then")
    ledger = _command(
        commands,
        "ledger",
        "list what came in, and what was missing, expired or recalled, newest first",
        "autogrocery ledger --cause shrink",
        "shelf:run_ledger",
    )
    ledger.add_argument("--cause", choices=["restock", "shrink", "expired", "recall"], help="one cause only")
    for made in (lots, ledger):
        made.add_argument("--sku", help="one product only")
        made.add_argument("--limit", type=_positive, default=100, help="how many (default 100)")
    recall = _command(
        commands,
        "recall",
        "take a lot off the shelves for good and list who got of it; exit 1 if it is unknown",
        "autogrocery recall 3F9A-01BC-77DE --json",
        "shelf:run_recall",
    )
    recall.add_argument("lot", help="as `autogrocery lots` prints it")
    recall.add_argument("--json", action="store_true", help="print JSON")


def _receipts(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    deeds = commands.add_parser("receipt", help="receipts: list, replay").add_subparsers(dest="deed", required=True)
    listing = _command(
        deeds, "list", "list receipts, newest first", "autogrocery receipt list --dead", "receipts:run_receipt_list"
    )
    listing.add_argument("--dead", action="store_true", help="only those that were given up")
    listing.add_argument("--limit", type=_positive, default=50, help="how many at most (default 50)")
    replay = _command(
        deeds,
        "replay",
        "try a receipt anew that was given up",
        "autogrocery receipt replay --all-dead",
        "receipts:run_receipt_replay",
    )
    replay.add_argument("order_id", nargs="?")
    replay.add_argument("--all-dead", action="store_true", help="all that were given up")


def _keys(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    deeds = commands.add_parser("pki", help="keys for mutual TLS and CURVE").add_subparsers(dest="deed", required=True)
    init = _command(
        deeds,
        "init",
        "make a development CA, a leaf for each process and CURVE keys; overwrites nothing",
        "autogrocery pki init --dir keys",
        "keys:run_init",
    )
    renew = _command(
        deeds,
        "renew",
        "make the leaves anew by the same CA; who runs takes them by itself",
        "autogrocery pki renew --dir keys",
        "keys:run_renew",
    )
    for made in (init, renew):
        made.add_argument("--dir", help="where (default: pki in the home)")


def _registry(commands: argparse._SubParsersAction[argparse.ArgumentParser], kind: str) -> None:
    deeds = commands.add_parser(kind, help=f"{kind}s: add, list, disable").add_subparsers(dest="deed", required=True)
    needs = {"truck": " --supplier acme-dairy", "robot": " --class bread"}.get(kind, "")
    add = _command(
        deeds,
        "add",
        f"add a {kind}; prints its password once unless one comes on stdin",
        f"autogrocery {kind} add {kind}-7{needs}",
        "registry:run_add",
    )
    add.add_argument("device_id")
    add.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    add.add_argument("--email")
    add.add_argument("--phone", help="E.164")
    if kind == "truck":
        add.add_argument("--supplier", required=True, help="the supplier_id for which it restocks, and for no other")
        add.add_argument("--name", help="the supplier's name, for the list")
    if kind == "robot":
        add.add_argument(
            "--class", dest="robot_class", required=True, choices=["bread", "dairy", "meat", "produce", "party"]
        )
    listing = _command(deeds, "list", f"list {kind}s", f"autogrocery {kind} list", "registry:run_list")
    disable = _command(
        deeds, "disable", f"shut a {kind} out", f"autogrocery {kind} disable {kind}-7", "registry:run_disable"
    )
    disable.add_argument("device_id")
    for made in (add, listing, disable):
        made.set_defaults(kind=kind)
    if kind == "device":
        alerts = _command(
            deeds,
            "alerts",
            "choose what a device hears of by SMS",
            "autogrocery device alerts device-7 none",
            "registry:run_alerts",
        )
        alerts.add_argument("device_id")
        alerts.add_argument("choice", choices=["none", "trouble", "all"])


def _enrolment(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    what = "codes that let devices register while REGISTRATION is code"
    deeds = commands.add_parser("enrolment", help=what).add_subparsers(dest="deed", required=True)
    add = _command(
        deeds,
        "add",
        "make a code; it is printed once",
        "autogrocery enrolment add --uses 20 --days 7",
        "enrolment:run_add",
    )
    add.add_argument("--uses", type=_positive, default=1, help="how many devices it lets in (default 1)")
    add.add_argument("--days", type=_positive, default=7, help="how long it is good (default 7)")
    _command(deeds, "list", "list codes, newest first", "autogrocery enrolment list", "enrolment:run_list")
    revoke = _command(deeds, "revoke", "end a code", "autogrocery enrolment revoke 3", "enrolment:run_revoke")
    revoke.add_argument("code_id", type=_positive)


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"from 1 to {MOST:,}")
    return number


def _lasting(text: str) -> float:
    number = float(text)
    if not 0 < number <= LONGEST:
        raise argparse.ArgumentTypeError(f"more than 0, and at most {LONGEST:,}")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = parser().parse_args(argv)
    environ.prepare(os.environ)
    module, _, verb = arguments.verb.partition(":")
    return int(getattr(import_module(f"autogrocery.cli.{module}"), verb)(arguments, os.environ))


if __name__ == "__main__":
    sys.exit(main())
