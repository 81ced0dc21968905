"""How the history of a gateway and the facts of analytics are compared: by number and by fingerprint."""

from __future__ import annotations

from msgspec import Struct


class Census(Struct, frozen=True):
    """How many different status changes there are, and a fingerprint of which ones.

    The fingerprint is the sum modulo 2^64 of the first eight bytes of MD5(`order_id/version/status`) of each. Two
    databases with the same census have the same status changes: MD5 tells accidents apart, not forgeries.
    """

    changes: int
    fingerprint: int


class FactCensus(Struct, frozen=True):
    """What analytics has: the number of changes in its figures and the census of its facts, since a full minute.

    `since` is in Unix seconds: from then on its store promises to be complete. `facts` is None if it only counts;
    `counted` are then the changes that this process knows of.
    """

    since: int
    counted: int
    facts: Census | None = None
