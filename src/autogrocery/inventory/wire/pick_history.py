"""Conversion of robots' reported work to protobuf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from autogrocery.contracts.inventory.picks.v1 import picks_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from autogrocery.inventory.core.pick_history import ReportedPick


def picks_response(picks: Iterable[ReportedPick]) -> pb.ListPicksResponse:
    """Return the response with these picks."""
    return pb.ListPicksResponse(
        picks=[
            pb.Pick(
                order_id=str(one.order_id),
                assignment_id=str(one.assignment_id),
                robot_id=one.robot_id,
                aisle=one.aisle,
                units=one.units,
                picked=one.picked,
                short_skus=one.short_skus,
                assigned_at=_timestamp(one.assigned_at),
                closed_at=_timestamp(one.closed_at),
            )
            for one in picks
        ]
    )


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
