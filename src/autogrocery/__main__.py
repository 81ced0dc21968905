"""The command line: argument parsing only. A command's modules are imported when it runs, so that --help is quick."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from typing import TYPE_CHECKING

from autogrocery.kit.rpc import environ

if TYPE_CHECKING:
    from collections.abc import Sequence

ROLES = {
    "gateway": "the ordering gateway: public and internal REST, loops, metrics",
    "notifier": "receipts by mail and alerts by SMS; a gateway starts one",
    "inventory": "reference peer: stock, holds, robots' assignments, webhooks",
    "pricing": "reference peer: price list and quotes",
    "robots": "reference peer: a simulated fleet",
    "analytics": "reference peer: stores every status change once, finds and fills gaps",
    "console": "the operator's console in a browser (extra `console`)",
}
STANDARD_STREAMS = 3
MAX_COUNT = 100_000
MAX_KILLS = 100
MAX_NUMBER = 1_440  # a day in minutes; more orders a second, or days of shelf life, than there can be


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="autogrocery",
        description="Ordering gateway of the Autonomous Grocery Network.",
        epilog="Example: autogrocery demo --orders 200. Exit codes: 0 done; 1 the answer is no (a violation, an unknown"
        " id, a check that failed); 2 it can't be done, one line says why; 141 the reader of the output has gone.",
    )
    top.add_argument("--version", action="version", version=f"autogrocery {version('autogrocery')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _network(commands)
    for name, what in ROLES.items():
        role = _command(commands, name, what, f"autogrocery {name}", "roles:run_role")
        role.set_defaults(role=name)
        if name == "robots":
            role.add_argument("--speed", type=float, help="how many times faster than a real robot (ROBOTS_SPEED)")
        if name == "analytics":
            _analytics(role)
    _conformance(commands)
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
    top_screen = _command(
        commands, "top", "show a gateway's figures live; q or Ctrl-C ends", "autogrocery top", "top:run_top"
    )
    top_screen.add_argument(
        "--url", default="http://127.0.0.1:5051", help="the gateway's internal URL (default http://127.0.0.1:5051)"
    )
    top_screen.add_argument("--json", action="store_true", help="print the figures once, as JSON")
    _as_json(
        _command(commands, "doctor", "check this machine and its settings", "autogrocery doctor", "doctor:run_doctor")
    )
    completion = _command(
        commands,
        "completion",
        "print a shell's completion of all commands",
        "autogrocery completion bash > autogrocery.bash",
        "completion:run_completion",
    )
    completion.set_defaults(parser=top)
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
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
    demo.add_argument(
        "--kill",
        type=kill,
        action="append",
        default=[],
        metavar="NAME=TIMES",
        help="kill this process so often during the replay, as analytics=3; may be repeated",
    )
    prove = _command(
        commands,
        "prove",
        "run a network under constant faults and prove that every order stays right; exit 1 if not",
        "autogrocery prove --minutes 3 --seed 7 --html proof.html",
        "prove:run_prove",
    )
    prove.add_argument("--minutes", type=number, default=3.0, help="how long faults are injected (default 3)")
    prove.add_argument("--seed", type=int, default=1, help="selects faults and baskets (default 1)")
    prove.add_argument("--rate", type=number, default=6.0, help="orders a second (default 6)")
    prove.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    prove.add_argument("--html", metavar="FILE", help="also write a page with a timeline to this file")
    replay = _command(
        commands,
        "replay",
        "replay real baskets against a running gateway",
        "autogrocery replay --url http://127.0.0.1:5050 --orders 100",
        "replay:run_replay",
    )
    replay.add_argument("--url", required=True, help="the gateway's public URL")
    replay.add_argument("--internal-url", help="its internal URL: with it the run is audited too")
    for made in (up, demo):
        made.add_argument(
            "--tls",
            action="store_true",
            help="mutual TLS and CURVE on every link, with the keys in the home's pki directory",
        )
    for made in (demo, replay):
        made.add_argument("--orders", type=count, default=200, help="number of baskets (default 200)")
        made.add_argument("--rate", type=number, default=20.0, help="orders a second (default 20)")
        made.add_argument("--seed", type=int, default=1, help="selects the baskets (default 1)")
        made.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    _stock_load(commands)


def _stock_load(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    stock = commands.add_parser("stock", help="stock and prices: load").add_subparsers(dest="action", required=True)
    load = _command(
        stock,
        "load",
        "load stock and prices through the peers' RPCs",
        "autogrocery stock load --demo",
        "replay:run_stock_load",
    )
    load.add_argument(
        "file",
        nargs="?",
        help="CSV: sku,name,aisle_type,unit_price_cents,unit_cost_cents,quantity[,mfd_date,expiry_date]",
    )
    load.add_argument("--demo", action="store_true", help="load what the demo's baskets need")
    load.add_argument(
        "--change-aisles",
        action="store_true",
        help="change aisle types of the price list; inventory still refuses a product that is shelved elsewhere",
    )
    load.add_argument(
        "--load-id",
        metavar="NAME",
        help="name of the delivery, such as its note's number; the same goods under another name are added once more",
    )


def _analytics(role: argparse.ArgumentParser) -> None:
    actions = role.add_subparsers(dest="action", metavar="ACTION")
    backfill = _command(
        actions,
        "backfill",
        "store the history of the metrics log, while the analytics process is stopped; it may be interrupted",
        "autogrocery analytics backfill --since 2026-01-01",
        "analytics:run_backfill",
    )
    report = _command(
        actions,
        "report",
        "show the figures of a day, or of a week, beside those of the week before; days begin at local midnight",
        "autogrocery analytics report --day 2026-01-31 --html report.html",
        "analytics:run_report",
    )
    length = report.add_mutually_exclusive_group()
    length.add_argument("--day", metavar="DATE", type=date, help="that day, by hour (default today)")
    length.add_argument("--week", metavar="DATE", type=date, help="the seven days up to DATE, by day")
    report.add_argument("--mart", default="", metavar="STORE_ID", help="only this mart (default: all of the store)")
    report.add_argument("--html", metavar="FILE", help="also write a page to this file")
    report.add_argument("--json", action="store_true", help="print JSON instead of tables")
    report.add_argument("--follow", action="store_true", help="show the figures anew every two seconds, until Ctrl-C")
    backfill.add_argument(
        "--since", type=day, required=True, metavar="DATE", help="first day in UTC, as 2026-01-01: changes from then on"
    )


def _conformance(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    what = "check a peer, written by anybody, against the contract: inventory, pricing"
    kinds = commands.add_parser("conformance", help=what).add_subparsers(dest="kind", required=True)
    for kind, port in (("inventory", 50051), ("pricing", 50052)):
        made = _command(
            kinds,
            kind,
            f"check the {kind} at a target through gRPC only; exit 1 if a line failed, 2 if nothing answers",
            f"autogrocery conformance {kind} --target 127.0.0.1:{port} --html report.html",
            "conformance:run_conformance",
        )
        made.add_argument("--target", required=True, metavar="HOST:PORT", help="where the peer serves gRPC")
        made.add_argument(
            "--restart-command", default="", metavar="CMD", help="shell command that restarts the peer and returns"
        )
        made.add_argument("--json", metavar="FILE", help="also write the report to this file")
        made.add_argument("--html", metavar="FILE", help="also write a page to this file")
        made.add_argument("--only", default="", metavar="LINES", help="only these lines or groups, as K1,K4.5,W")
        made.add_argument(
            "--patience", type=number, default=1.0, help="multiply the deadlines, for a slow machine (default 1)"
        )
        made.add_argument(
            "--transport",
            choices=("h2", "grpcio"),
            default="h2",
            help="make the calls by the gateway's own client, or by the gRPC library (default h2)",
        )
        made.set_defaults(robot_id="", robot_class="", webhook_listen="")
        if kind == "inventory":
            _conformance_robot(made)


def _conformance_robot(made: argparse.ArgumentParser) -> None:
    made.epilog = f"{made.epilog}. Secrets are read from ROBOT_TOKEN and WEBHOOK_SECRET of the environment."
    made.add_argument("--robot-id", default="", metavar="ID", help="id of the robot of ROBOT_TOKEN (default: from it)")
    made.add_argument(
        "--robot-class", default="", metavar="CLASS", help="its class (default: from the token, or dairy)"
    )
    made.add_argument("--webhook-listen", default="", metavar="HOST:PORT", help="listen here for the peer's webhooks")


def _database(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    migrate = _command(
        commands,
        "migrate",
        "migrate the database to this version's tables",
        "autogrocery migrate status",
        "database:run_migrate",
    )
    migrate.add_argument(
        "action", nargs="?", choices=["status", "check"], help="status lists them, check exits 1 if one is missing"
    )
    migrate.add_argument("--only", choices=["gateway", "inventory", "pricing"], help="only the tables of one part")
    audit = _command(
        commands,
        "audit",
        "check every invariant in the database; exit 1 on a violation",
        "autogrocery audit",
        "database:run_audit",
    )
    order = commands.add_parser("order", help="orders: show, doctor").add_subparsers(dest="action", required=True)
    show = _command(
        order, "show", "show an order and its timeline", "autogrocery order show 0190…", "database:run_order_show"
    )
    show.add_argument("order_id")
    doctor = _command(
        order,
        "doctor",
        "list the orders, deliveries and messages that are stuck, why, and what is safe; exit 1 if one is",
        "autogrocery order doctor --heal",
        "order_doctor:run_order_doctor",
    )
    doctor.add_argument("order_id", nargs="?", help="only this order or delivery, stuck or not")
    doctor.add_argument(
        "--heal", action="store_true", help="take the first safe action of each, and wait for its effect"
    )
    for made in (migrate, audit, show, doctor):
        _as_json(made)
    _stock(commands)


def _stock(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    lots = _command(
        commands,
        "lots",
        "list the lots on the shelves by expiry, earliest first",
        "autogrocery lots --expiring-within 3",
        "stock:run_lots",
    )
    lots.add_argument("--expiring-within", type=number, metavar="DAYS", help="only lots that expire within DAYS")
    ledger = _command(
        commands,
        "ledger",
        "list goods received and goods missing, expired or recalled, newest first",
        "autogrocery ledger --cause shrink",
        "stock:run_ledger",
    )
    ledger.add_argument(
        "--cause", choices=["restock", "shrink", "expired", "recall"], help="only entries of this cause"
    )
    for made in (lots, ledger):
        made.add_argument("--sku", help="only this product")
        made.add_argument("--limit", type=count, default=100, help="number of rows (default 100)")
        _as_json(made)
    recall = _command(
        commands,
        "recall",
        "withdraw a lot from sale and list the orders that got units of it; exit 1 if it is unknown",
        "autogrocery recall 3F9A-01BC-77DE --json",
        "stock:run_recall",
    )
    recall.add_argument("lot", help="as `autogrocery lots` prints it")
    _as_json(recall)


def _receipts(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = commands.add_parser("receipt", help="receipts: list, replay").add_subparsers(dest="action", required=True)
    listing = _command(
        actions, "list", "list receipts, newest first", "autogrocery receipt list --dead", "receipts:run_receipt_list"
    )
    listing.add_argument("--dead", action="store_true", help="only dead ones")
    listing.add_argument("--limit", type=count, default=50, help="number of rows (default 50)")
    _as_json(listing)
    replay = _command(
        actions,
        "replay",
        "send a dead receipt again",
        "autogrocery receipt replay --all-dead",
        "receipts:run_receipt_replay",
    )
    replay.add_argument("order_id", nargs="?")
    replay.add_argument("--all-dead", action="store_true", help="every dead receipt")


def _keys(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = commands.add_parser("pki", help="keys for mutual TLS and CURVE: init, renew").add_subparsers(
        dest="action", required=True
    )
    init = _command(
        actions,
        "init",
        "create a development CA, a leaf for each process and CURVE keys; overwrites nothing",
        "autogrocery pki init --dir keys",
        "keys:run_init",
    )
    renew = _command(
        actions,
        "renew",
        "issue new leaves from the same CA; running processes reload them",
        "autogrocery pki renew --dir keys",
        "keys:run_renew",
    )
    for made in (init, renew):
        made.add_argument("--dir", help="directory of the keys (default: pki in the home)")


def _registry(commands: argparse._SubParsersAction[argparse.ArgumentParser], kind: str) -> None:
    actions = commands.add_parser(kind, help=f"{kind}s: add, list, disable").add_subparsers(
        dest="action", required=True
    )
    needs = {"truck": " --supplier acme-dairy", "robot": " --class bread"}.get(kind, "")
    add = _command(
        actions,
        "add",
        f"add a {kind}; a generated password is printed once",
        f"autogrocery {kind} add {kind}-7{needs}",
        "registry:run_add",
    )
    add.add_argument("device_id")
    add.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    add.add_argument("--email")
    add.add_argument("--phone", help="E.164")
    if kind == "truck":
        add.add_argument("--supplier", required=True, help="the supplier_id of its deliveries")
        add.add_argument("--name", help="the supplier's name, for `truck list`")
    if kind == "robot":
        add.add_argument(
            "--class", dest="robot_class", required=True, choices=["bread", "dairy", "meat", "produce", "party"]
        )
    listing = _command(actions, "list", f"list {kind}s", f"autogrocery {kind} list", "registry:run_list")
    _as_json(listing)
    disable = _command(
        actions,
        "disable",
        f"disable a {kind}: its tokens are refused",
        f"autogrocery {kind} disable {kind}-7",
        "registry:run_disable",
    )
    disable.add_argument("device_id")
    for made in (add, listing, disable):
        made.set_defaults(kind=kind)
    if kind == "device":
        alerts = _command(
            actions,
            "alerts",
            "set which SMS alerts a device gets",
            "autogrocery device alerts device-7 none",
            "registry:run_alerts",
        )
        alerts.add_argument("device_id")
        alerts.add_argument("choice", choices=["none", "trouble", "all"])
        _device_set(actions)


def _device_set(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    change = _command(
        actions,
        "set",
        "change a device's e-mail address, telephone number or alerts; receipts that a bad address held up are sent",
        "autogrocery device set device-7 --email anna@example.com",
        "registry:run_set",
    )
    change.add_argument("device_id")
    email, phone = change.add_mutually_exclusive_group(), change.add_mutually_exclusive_group()
    email.add_argument("--email")
    email.add_argument("--no-email", action="store_true", help="remove the e-mail address")
    phone.add_argument("--phone", help="E.164")
    phone.add_argument("--no-phone", action="store_true", help="remove the telephone number")
    change.add_argument("--alerts", choices=["none", "trouble", "all"], help="which SMS alerts the device gets")


def _enrolment(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    what = "enrolment codes: add, list, revoke; devices register with them if REGISTRATION is code"
    actions = commands.add_parser("enrolment", help=what).add_subparsers(dest="action", required=True)
    add = _command(
        actions,
        "add",
        "create a code; it is printed once",
        "autogrocery enrolment add --uses 20 --days 7",
        "enrolment:run_add",
    )
    add.add_argument("--uses", type=count, default=1, help="number of devices that can register with it (default 1)")
    add.add_argument("--days", type=count, default=7, help="days until it expires (default 7)")
    _as_json(_command(actions, "list", "list codes, newest first", "autogrocery enrolment list", "enrolment:run_list"))
    revoke = _command(
        actions,
        "revoke",
        "revoke a code: no further device can register with it",
        "autogrocery enrolment revoke 3",
        "enrolment:run_revoke",
    )
    revoke.add_argument("code_id", type=count)


def _as_json(made: argparse.ArgumentParser) -> None:
    made.add_argument("--json", action="store_true", help="print one JSON document instead of a table")


def count(text: str) -> int:
    """Parse an argument that counts something; argparse shows this function's name in its error."""
    value = int(text)
    if not 1 <= value <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"from 1 to {MAX_COUNT:,}")
    return value


def date(text: str) -> datetime:
    """Parse a day as its local midnight; argparse shows this function's name in its error."""
    return datetime.strptime(text, "%Y-%m-%d").astimezone()


def day(text: str) -> int:
    """Parse a day as the Unix second in which it begins in UTC; argparse shows this function's name in its error."""
    return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())


def kill(text: str) -> tuple[str, int]:
    """Parse NAME=TIMES: which process is killed, and how often."""
    name, _, times = text.partition("=")
    if not name or not 0 < int(times) <= MAX_KILLS:
        raise argparse.ArgumentTypeError(f"NAME=TIMES, 1 to {MAX_KILLS} times")
    return name, int(times)


def number(text: str) -> float:
    """Parse a duration or rate; argparse shows this function's name in its error."""
    value = float(text)
    if not 0 < value <= MAX_NUMBER:
        raise argparse.ArgumentTypeError(f"more than 0, and at most {MAX_NUMBER:,}")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _open_standard_streams()
    arguments = parser().parse_args(argv)
    environ.prepare(os.environ)
    run_command = import_module("autogrocery.cli.command").run_command
    return int(run_command(arguments, os.environ))


def _open_standard_streams() -> None:
    """Open /dev/null as each of the descriptors 0, 1 and 2 that is closed, as by `<&-` in a shell.

    Else the next socket or pipe would take its number, and libuv aborts a process that closes such a one. What the
    encoding of standard output lacks is escaped.
    """
    for number in range(STANDARD_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free, which is this one
    if isinstance(sys.stdout, TextIOWrapper):  # as standard error does by itself
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
