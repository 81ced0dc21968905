"""The identities of a network's processes: DNS names in their certificates, never resolved.

A client requires the server's name in the server's certificate; a server requires the name of an allowed caller in the
client's certificate.
"""

from __future__ import annotations

from typing import Final

GATEWAY: Final = "gateway.autogrocery"
INVENTORY: Final = "inventory.autogrocery"
PRICING: Final = "pricing.autogrocery"
ROBOTS: Final = "robots.autogrocery"
ANALYTICS: Final = "analytics.autogrocery"
OPERATOR: Final = "operator.autogrocery"  # for commands: stock load, replay
