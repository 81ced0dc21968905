"""The robots, by radio: announcements that may be lost. What robots rely on is ListWork."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.robots.broadcast import Task, TaskItem, encode

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.core.picking import Assignment
    from autogrocery.kit.bus import Publisher

POINT = "robots.announce"


class Announcer:
    """Says on the bus that there is work."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def announce(self, order_id: UUID, assignment: Assignment) -> None:
        """Announce an assignment to the robots of its class, as [robot_class, payload]; never fails, never waits."""
        task = Task(
            order_id=str(order_id),
            order_type=assignment.order_type.value,
            items=tuple(TaskItem(line.sku, line.quantity, assignment.aisle) for line in assignment.lines),
            assignment_id=str(assignment.assignment_id),
            robot_class=assignment.robot_class,
        )
        await self._publisher.publish(assignment.robot_class.encode(), encode(task))
