"""The names by which the processes of a network know each other: DNS names in their certificates, never looked up.

A client checks that its server's certificate bears the server's name, a server that the caller's bears one that may call.
"""

from __future__ import annotations

from typing import Final

GATEWAY: Final = "gateway.autogrocery"
INVENTORY: Final = "inventory.autogrocery"
PRICING: Final = "pricing.autogrocery"
ROBOTS: Final = "robots.autogrocery"
ANALYTICS: Final = "analytics.autogrocery"
OPERATOR: Final = "operator.autogrocery"  # a person's commands: stock load, replay
