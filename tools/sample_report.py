"""Fill a store with two weeks of replayed baskets, and write the report's pages of them, with pictures in Chromium."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from autogrocery.analytics.core.report import DAY_S, HOUR_S, Period
from autogrocery.analytics.store.embedded import open_embedded
from autogrocery.analytics.store.fact_store import FactStore
from autogrocery.analytics.store.report import read_report
from autogrocery.analytics.store.schema import Retention
from autogrocery.cli.report_page import page
from tools.chromium import find_chromium, open_tab, save_pictures
from tools.sample_mart import fill, simulate

MONDAY: Final = (2026, 11, 16)  # of the first of the two weeks
ORDERS: Final = 36_000  # of the four weeks that the data set has
PICTURE_WIDTH_AND_THEME: Final = (1_100, "light")
PICTURE_HEIGHT: Final = 1_548
FOREVER: Final = Retention(3_650, 3_650)


async def write_pages(out: Path, orders: int, *, real: bool = True) -> list[Path]:
    """Write the pages of the second week and of its Saturday below `out`; return their files.

    `real` False takes synthetic baskets.
    """
    monday = datetime(*MONDAY)  # noqa: DTZ001 - local midnight, as the report's days
    days = [int((monday + timedelta(days=number)).timestamp()) for number in (0, 7, 12, 14)]
    with tempfile.TemporaryDirectory() as home:
        async with open_embedded(Path(home) / "store") as engine:
            store = FactStore(engine, FOREVER)
            await store.load()
            await fill(store, simulate(days[0], orders, cache_dir=out, real=real), time.time_ns() // 1_000)
            periods = {"week": Period(days[1], days[3], DAY_S), "day": Period(days[2], days[2] + DAY_S, HOUR_S)}
            files = []
            for name, period in periods.items():
                files.append(out / f"report-{name}.html")
                _write(files[-1], page(await read_report(engine, period), "USD"))
    return files


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


async def _run(out: Path, orders: int, picture: Path | None) -> int:
    for file in await write_pages(out, orders):
        print(file)
        program = find_chromium()
        if program is None:
            print("no Chromium on this machine: no pictures", file=sys.stderr)
            continue
        for name in await save_pictures(program, file, out):
            print(out / name)
        if picture is not None and file.stem == "report-week":
            _write_bytes(picture, await _picture(program, file))
    return 0


async def _picture(program: str, file: Path) -> bytes:
    async with open_tab(program) as tab:
        await tab.open(file.as_uri(), *PICTURE_WIDTH_AND_THEME)
        return await tab.picture(PICTURE_HEIGHT)


def _write_bytes(file: Path, data: bytes) -> None:
    file.write_bytes(data)


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=Path("out/report"))
    arguments.add_argument("--orders", type=int, default=ORDERS, help="of four weeks, of which two are replayed")
    arguments.add_argument(
        "--picture", type=Path, help="file for the upper part of the week's page, as README shows it"
    )
    wanted = arguments.parse_args()
    out = wanted.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_run(out, wanted.orders, wanted.picture))


if __name__ == "__main__":
    sys.exit(main())
