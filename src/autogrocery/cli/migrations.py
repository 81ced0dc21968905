"""The migrations of every part: gateway, inventory, pricing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.kit.pg.migrate import MigrationError, migrate

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTS: Final = {
    "gateway": ("DATABASE_URL", "public"),
    "inventory": ("INVENTORY_DATABASE_URL", "inventory"),
    "pricing": ("PRICING_DATABASE_URL", "pricing"),
}


async def migrate_all(dsn: str, environ: Mapping[str, str] | None = None, only: str | None = None) -> list[str]:
    """Apply the missing migrations of every part, or of `only`; return their names."""
    done: list[str] = []
    for part, (variable, schema) in PARTS.items():
        if only in (None, part):
            own = (environ or {}).get(variable)
            try:
                names = await migrate(own or dsn, f"autogrocery.{part}.store.migrations", schema)
            except MigrationError as error:
                raise MigrationError(f"{variable if own else 'DATABASE_URL'}: {error}") from None
            done.extend(f"{part}: {name}" for name in names)
    return done
