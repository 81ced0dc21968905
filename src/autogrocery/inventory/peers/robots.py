"""Announcements of assignments to robots over ZeroMQ. They may be lost: robots rely on ListWork."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.robots.broadcast import Task, TaskItem, encode

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.core.picking import Assignment
    from autogrocery.kit.bus import Publisher

POINT = "robots.announce"


class Announcer:
    """Publishes assignments."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def announce(self, order_id: UUID, assignment: Assignment) -> None:
        """Publish an assignment to the robots of its class as [robot_class, payload]; does not raise or wait."""
        task = Task(
            order_id=str(order_id),
            order_type=assignment.order_type.value,
            items=tuple(TaskItem(line.sku, line.quantity, assignment.aisle) for line in assignment.lines),
            assignment_id=str(assignment.assignment_id),
            robot_class=assignment.robot_class,
        )
        await self._publisher.publish(assignment.robot_class.encode(), encode(task))
