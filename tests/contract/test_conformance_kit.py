"""The conformance kit itself: peers that keep the contract pass, and each broken peer fails on exactly its line."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.kit.rpc.server import serve
from autogrocery.kit.rpc.server_call import ServerMethod
from autogrocery.lab.conformance import Options, Outcome, Report, UnreachableError, check_inventory, check_pricing
from autogrocery.lab.conformance.options import Robot, robot_of
from autogrocery.lab.ports import free_ports
from tests.contract.small_peers import (
    ROBOT_ID,
    ROBOT_TOKEN,
    WEBHOOK_SECRET,
    Order,
    Register,
    SmallInventory,
    SmallPricing,
    State,
    dispatched,
    serve_inventory,
    serve_pricing,
    uuid_of,
)
from tests.harness.fake_peers import RawReply
from tests.harness.restart_control import restart_command
from tests.harness.running_inventory import robot_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri

REPEAT_S = 20.0  # a small peer repeats after a tenth of a second; the listener is silent for 12 s at most
PATIENCE = 3.0  # a loaded machine's slow second is no finding
ROBOT = Robot(ROBOT_ID, "dairy", ROBOT_TOKEN)
WITHOUT_RESTART = {"R1", "R2", "R3", "R4", "R5"}


def outcomes(report: Report, outcome: Outcome) -> set[str]:
    return {result.line_id for result in report.results if result.outcome is outcome}


def failures(report: Report) -> dict[str, str]:
    return {one.line_id: one.detail for one in report.results if one.outcome is Outcome.FAILED}


async def run_inventory_kit(
    kind: type[SmallInventory], *only: str, robot: bool = True, register: Register | None = None
) -> Report:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    async with serve_inventory(kind(register or Register(), f"http://{listen}")) as target:
        options = Options(
            target,
            robot=ROBOT if robot else None,
            webhook_listen=listen,
            webhook_key=WEBHOOK_SECRET.encode(),
            only=only,
            patience=PATIENCE,
            webhook_repeat_s=REPEAT_S,
        )
        return await check_inventory(options, lambda _: None)


async def run_pricing_kit(kind: type[SmallPricing], *only: str) -> Report:
    async with serve_pricing(kind({})) as target:
        return await check_pricing(Options(target, only=only, patience=PATIENCE), lambda _: None)


async def test_small_inventory_passes_every_line_but_restarts() -> None:
    register = Register()
    report = await run_inventory_kit(SmallInventory, register=register)
    assert failures(report) == {}
    assert outcomes(report, Outcome.NOT_CHECKED) == WITHOUT_RESTART
    assert report.ok
    assert [one for one in register.orders.values() if one.state == State.ASSIGNED] == []  # nothing is left to do
    assert register.putaways == {}


async def test_small_pricing_passes_every_line_but_restarts() -> None:
    report = await run_pricing_kit(SmallPricing)
    assert failures(report) == {}
    assert outcomes(report, Outcome.NOT_CHECKED) == {"R1"}


async def test_lines_that_need_a_robot_are_not_passed_without_one() -> None:
    report = await run_inventory_kit(SmallInventory, "K3", "K5.5", "K5.6", robot=False)
    assert failures(report) == {}
    reasons = {one.line_id: one.detail for one in report.results if one.outcome is Outcome.NOT_CHECKED}
    assert set(reasons) == {"K3.3", "K3.4", "K5.5", "K5.6"}
    assert all("no ROBOT_TOKEN" in reasons[line] for line in ("K3.3", "K5.5", "K5.6"))


class TombstoneForgotten(SmallInventory):
    def tombstone(self, oid: str) -> None:
        if oid in self.register.orders:
            super().tombstone(oid)


class SecondDispatch(SmallInventory):
    def repeat(self, oid: str, order: Order, wanted: dict[str, int]) -> inv.RobotResponse:
        answer = super().repeat(oid, order, wanted)
        for assignment in answer.assignments:
            assignment.assignment_id += "-again"
        return answer


class ShortStockPromised(SmallInventory):
    def lacks(self, wanted: dict[str, int]) -> bool:
        return bool(wanted.keys() - self.register.stock.keys())


class DispatchedItemsIgnored(SmallInventory):
    async def AssignRobots(self, request: inv.RobotRequest, _call: Any) -> inv.RobotResponse:
        order = self.order(uuid_of(request.order_id))
        if order.state != State.HELD:
            return await super().AssignRobots(request, _call)
        order.state = State.ASSIGNED
        return dispatched(request.order_id, order)


class LyingGetOrder(SmallInventory):
    def state_of(self, order: Order) -> Any:
        return State.UNKNOWN if order.state == State.HELD else order.state


class ToldOnce(SmallInventory):
    def is_settled(self, status: int) -> bool:
        return status is not None


class NewIdAtEachAttempt(SmallInventory):
    async def send(self, session: Any, webhook: tuple[str, str, str, bytes]) -> int:
        path, oid, webhook_id, body = webhook
        return await super().send(session, (path, oid, f"{webhook_id}-{asyncio.get_running_loop().time()}", body))


class Unsigned(SmallInventory):
    def sign(self, webhook_id: str, at: Any, body: str) -> str:
        return super().sign(webhook_id, at, body + " ")


class LapsedHoldDispatched(SmallInventory):
    """Trusts that stock was held once, though others have it now."""

    def lacks(self, wanted: dict[str, int]) -> bool:
        return super().lacks(wanted) and not any(
            one.state == State.LAPSED and one.granted == wanted for one in self.register.orders.values()
        )


class ExpiryWithdrawsRobots(SmallInventory):
    async def ReleaseItems(self, request: inv.ReleaseItemsRequest, _call: Any) -> inv.ReleaseItemsResponse:
        request.reason = inv.CANCEL
        return await super().ReleaseItems(request, _call)


class DiesOfNonsense(SmallInventory):
    async def CheckAvailability(
        self, request: inv.CheckAvailabilityRequest, _call: Any
    ) -> inv.CheckAvailabilityResponse:
        if "" in request.skus:
            raise RuntimeError("a bug of the peer")
        return await super().CheckAvailability(request, _call)


class HoldNotRenewed(SmallInventory):
    async def ReserveItems(self, request: inv.ReserveItemsRequest, _call: Any) -> inv.ReserveItemsResponse:
        order = self.order(uuid_of(request.order_id))
        until = order.until if order.state == State.HELD else 0.0
        answer = await super().ReserveItems(request, _call)
        if until:
            self.register.orders[request.order_id].until = until
        return answer


class AnyAisle(SmallInventory):
    async def RestockItems(self, request: inv.RestockRequest, _call: Any) -> inv.RestockResponse:
        self.register.aisles.clear()
        return await super().RestockItems(request, _call)


class DispatchGrows(SmallInventory):
    def repeat(self, oid: str, order: Order, wanted: dict[str, int]) -> inv.RobotResponse:
        if wanted != order.granted and not self.lacks(wanted):
            self.give(order.granted)
            self.take(wanted)
            order.granted = wanted
        return super().repeat(oid, order, wanted)


BROKEN_INVENTORIES = {
    AnyAisle: {"S5"},
    DispatchGrows: {"K1.12"},
    TombstoneForgotten: {"K2.2"},
    SecondDispatch: {"K1.10"},
    ShortStockPromised: {"K4.5"},
    DispatchedItemsIgnored: {"K4.3"},
    LyingGetOrder: {"K5.1"},
    ToldOnce: {"W4"},
    NewIdAtEachAttempt: {"W4"},
    LapsedHoldDispatched: {"K4.6"},
    ExpiryWithdrawsRobots: {"K3.2"},
    DiesOfNonsense: {"H2"},
    HoldNotRenewed: {"K1.2"},
}


@pytest.mark.timeout(300)
async def test_each_broken_inventory_fails_on_exactly_its_line() -> None:
    reports = await asyncio.gather(*map(run_inventory_kit, BROKEN_INVENTORIES))
    found = dict(zip(BROKEN_INVENTORIES, map(failures, reports), strict=True))
    assert {kind: set(lines) for kind, lines in found.items()} == BROKEN_INVENTORIES, found
    for report in reports:
        assert not report.ok
        (failed,) = [one for one in report.results if one.outcome is Outcome.FAILED]
        assert failed.exchanges
        assert failed.link.startswith("docs/")


async def test_unsigned_webhook_fails_each_line_that_reads_signatures() -> None:
    assert set(failures(await run_inventory_kit(Unsigned, "W1", "W2", "W4"))) == {"W1", "W4"}


class TotalIsNotTheSum(SmallPricing):
    def total(self, lines: Any) -> int:
        return super().total(lines) + 1


class LineIsRounded(SmallPricing):
    def line(self, product: pri.Product, quantity: int) -> pri.QuoteLine:
        line = super().line(product, quantity)
        line.line_total_cents -= line.line_total_cents % 5
        return line


class LastPageLost(SmallPricing):
    def cursor(self, page: list[pri.Product], rest: list[pri.Product]) -> str:
        return super().cursor(page, rest) if len(rest) > 2 * len(page) else ""


class PriceDrifts(SmallPricing):
    drift = 0

    async def Quote(self, request: pri.QuoteRequest, _call: Any) -> pri.QuoteResponse:
        self.drift += 1
        answer = await super().Quote(request, _call)
        for line in answer.lines if len(answer.lines) == 2 else ():
            line.unit_price_cents += self.drift
        return answer


class AnotherOrder(SmallPricing):
    async def Quote(self, request: pri.QuoteRequest, _call: Any) -> pri.QuoteResponse:
        answer = await super().Quote(request, _call)
        answer.order_id = answer.order_id.upper()
        return answer


class NoCurrency(SmallPricing):
    async def Quote(self, request: pri.QuoteRequest, _call: Any) -> pri.QuoteResponse:
        answer = await super().Quote(request, _call)
        answer.currency = ""
        return answer


BROKEN_PRICINGS = {
    TotalIsNotTheSum: {"Q1"},
    LineIsRounded: {"Q1"},
    LastPageLost: {"L2"},
    PriceDrifts: {"Q6"},
    AnotherOrder: {"Q4"},
    NoCurrency: {"Q5"},
}


@pytest.mark.parametrize("kind", BROKEN_PRICINGS)
async def test_broken_pricing_fails_on_exactly_its_line(kind: type[SmallPricing]) -> None:
    report = await run_pricing_kit(kind)
    assert set(failures(report)) == BROKEN_PRICINGS[kind], failures(report)


async def test_late_answers_fail_the_deadline_line() -> None:
    class Slow(SmallInventory):
        async def GetOrder(self, request: inv.GetOrderRequest, _call: Any) -> inv.GetOrderResponse:
            await asyncio.sleep(0.5)
            return await super().GetOrder(request, _call)

    async with serve_inventory(Slow(Register())) as target:
        options = Options(target, only=("K5.1", "D1"), patience=0.2)
        report = await check_inventory(options, lambda _: None)
    assert "GetOrder took" in failures(report)["D1"]


async def test_nothing_at_the_target_is_told_in_one_line() -> None:
    target = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(UnreachableError, match=f"no pricing answers at {target}") as told:
        await check_pricing(Options(target), lambda _: None)
    assert "\n" not in str(told.value)


async def test_a_pricing_is_no_inventory() -> None:
    async with serve_pricing(SmallPricing({})) as target:
        with pytest.raises(UnreachableError, match="CheckAvailability is UNIMPLEMENTED: is it your inventory"):
            await check_inventory(Options(target), lambda _: None)


class NoAssignments(SmallInventory):
    async def AssignRobots(self, request: inv.RobotRequest, _call: Any) -> inv.RobotResponse:
        answer = await super().AssignRobots(request, _call)
        del answer.assignments[:]
        return answer


async def test_a_dispatch_without_assignments_fails_lines_and_not_the_kit() -> None:
    found = failures(await run_inventory_kit(NoAssignments, "K1.10", "K3.1", "K3.2", "K3.3"))
    assert found == dict.fromkeys(("K1.10", "K3.1", "K3.3"), "a dispatch has no assignment")


async def test_replies_that_cannot_be_decoded_are_told() -> None:
    service = inv.DESCRIPTOR.services_by_name["InventoryService"]
    junk = {f"/{service.full_name}/{one.name}": ServerMethod(bytes, _junk) for one in service.methods}
    async with serve("JUNK_ADDR", "127.0.0.1", 0, junk) as port:
        with pytest.raises(UnreachableError, match="the reply of CheckAvailability can't be decoded"):
            await check_inventory(Options(f"127.0.0.1:{port}"), lambda _: None)


async def _junk(_request: bytes, _call: Any) -> RawReply:
    return RawReply(b"\xff" * 8)


def test_robot_is_read_from_its_token() -> None:
    token = robot_token("dairy-1", "dairy")
    robot = robot_of(token)
    assert (robot.robot_id, robot.robot_class) == ("dairy-1", "dairy")
    with pytest.raises(ValueError, match="--robot-id"):
        robot_of("opaque")


@asynccontextmanager
async def restartable(make: Callable[[], SmallInventory]) -> AsyncIterator[tuple[Options, list[int]]]:
    """Serve an inventory, which the restart command replaces with a new one from `make`; yields also the restarts."""
    port = free_ports(1)[0]
    restarts: list[int] = []
    async with AsyncExitStack() as current:
        await current.enter_async_context(serve_inventory(make(), port))

        async def restart() -> None:
            await current.aclose()
            await current.enter_async_context(serve_inventory(make(), port))
            restarts.append(1)

        async with restart_command(restart) as command:
            lines = ("S1", *sorted(WITHOUT_RESTART))
            options = Options(f"127.0.0.1:{port}", robot=ROBOT, restart_command=command, only=lines, patience=PATIENCE)
            yield options, restarts


async def test_restart_of_an_inventory_that_remembers_passes() -> None:
    register = Register()
    async with restartable(lambda: SmallInventory(register)) as (options, restarts):
        report = await check_inventory(options, lambda _: None)
    assert failures(report) == {}
    assert outcomes(report, Outcome.PASSED) == {"S1", *WITHOUT_RESTART}
    assert restarts == [1]


async def test_restart_of_an_inventory_that_forgets_tombstones_fails() -> None:
    register = Register()

    def make() -> SmallInventory:
        register.orders = {oid: one for oid, one in register.orders.items() if one.state != State.RELEASED}
        return SmallInventory(register)

    async with restartable(make) as (options, _):
        report = await check_inventory(options, lambda _: None)
    assert set(failures(report)) == {"R4", "R5"}


async def test_restart_command_that_fails_is_told() -> None:
    async with serve_inventory(SmallInventory(Register())) as target:
        options = Options(target, restart_command="exit 7", only=("R1",), patience=PATIENCE)
        report = await check_inventory(options, lambda _: None)
    assert "exit code 7" in failures(report)["R1"]
