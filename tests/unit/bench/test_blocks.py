"""The building blocks of an order are measured with real servers, peers and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.blocks import BLOCKS, measure_blocks

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres


@pytest.mark.timeout(120)
async def test_every_building_block_is_measured(postgres: EmbeddedPostgres) -> None:
    measured = await measure_blocks(postgres, 4, [("sku-1", 1), ("sku-2", 3)], times=40)
    assert [(block.name, block.times) for block in measured] == list(BLOCKS.values())
    # The CPU of so few requests may be less than one tick of the kernel's clock.
    assert all(block.us > 1 for block in measured if "request" not in block.name)
