"""Stock files: CSV of a program or a spreadsheet, checked as a whole before anything of it is used."""

from __future__ import annotations

import csv
import io
import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.process.clock import now
from autogrocery.lab.demand.baskets import AISLE_TYPES
from autogrocery.lab.demand.demand import STOCK_COLUMNS, StockItem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

DATE_COLUMNS: Final = ("mfd_date", "expiry_date")  # optional
COLUMNS: Final = STOCK_COLUMNS + DATE_COLUMNS
HEADER: Final = ",".join(STOCK_COLUMNS)
DELIMITERS: Final = ",;\t|"
MAX_BYTES: Final = 32 * 2**20
MAX_SKU_CHARACTERS: Final = 64
MAX_NAME_CHARACTERS: Final = 200
# The limits of a manifest (docs/CONTRACT.md#idempotency) and of the price list.
RANGES: Final = {"quantity": (1, 1_000_000), "unit_cost_cents": (0, 10**9), "unit_price_cents": (0, 10**12)}
SHELF_LIFE: Final = timedelta(days=30 * 365)  # no product is older, or keeps for longer
TIME_ZONES: Final = timedelta(days=1)  # today's goods carry tomorrow's date in a time zone to the east
MAX_SHOWN: Final = 40
DIGITS: Final = re.compile(r"[0-9]{1,18}")
ISO_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
ROUNDED: Final = re.compile(r"[0-9](?:[.,][0-9]+)?E\+[0-9]+")  # how a spreadsheet shows a long number
UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
WORKBOOK_MARKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods, .xls
SAVE_AS: Final = "save it as CSV in UTF-8"


class StockFileError(ValueError):
    """The file can't be loaded. The message names every wrong line by its number and ends with what to do."""


class StockFile(Struct, frozen=True):
    """The checked rows of a stock file, and the line on which each SKU stands."""

    items: list[StockItem]
    lines: dict[str, int]


class _Row(Struct, frozen=True):
    line: int
    cells: list[str]


def read_stock(path: Path) -> StockFile:
    """Read a stock file: CSV with a header line, columns in any order, `mfd_date` and `expiry_date` optional.

    Comma, semicolon, tab and bar separate cells; a byte-order mark, UTF-16 with one, any line end, empty lines and
    blanks around a cell are accepted. Raises StockFileError if anything is wrong anywhere in the file, or if it has no
    rows.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StockFileError(f"{path}: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise StockFileError(f"{path.name} is larger than {MAX_BYTES:,} bytes: split it")
    text = _decode(path.name, raw)
    try:
        rows = list(_rows(text, _delimiter(text)))
    except csv.Error as error:
        raise StockFileError(f"{path.name}: {error}: check the quotation marks from there on") from None
    return _check_rows(path.name, rows, now().date())


def refuse_lines(name: str, errors: Sequence[tuple[int, str]]) -> StockFileError:
    """Return the error that reports the wrong lines of the file `name`, each with its number."""
    count = len({number for number, _ in errors})
    head = f"{name}: nothing was loaded; {'one line is' if count == 1 else f'{count:,} lines are'} wrong"
    return StockFileError("\n".join([head, *(f"  line {number}: {what}" for number, what in errors)]))


def _decode(name: str, raw: bytes) -> str:
    if raw.startswith(WORKBOOK_MARKS):
        raise StockFileError(f"{name} is a spreadsheet, not CSV: open it and {SAVE_AS}")
    marked = raw.startswith(UTF_16_MARKS)
    if not marked and b"\0" in raw:
        raise StockFileError(f"{name} has NUL characters, so it is not in UTF-8: {SAVE_AS}")
    try:
        return raw.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise StockFileError(
            f"{name} is not in UTF-8 (line {line}): {SAVE_AS}, or convert it, as with `iconv -f WINDOWS-1252 -t UTF-8`"
        ) from None


def _delimiter(text: str) -> str:
    """Return the delimiter with which the header has the most known columns; `sep=;` as a first line decides too."""
    first = next((line for line in io.StringIO(text) if line.strip()), "").strip()
    if len(first) == len("sep=;") and first.startswith("sep="):
        return first[-1]
    return max(DELIMITERS, key=lambda delimiter: len(set(COLUMNS) & set(_names(first.split(delimiter)))))


def _rows(text: str, delimiter: str) -> Iterator[_Row]:
    """Return the rows that are not empty, each with the line on which it begins. Raises csv.Error."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped) and not (begins == 1 and stripped[0] == "sep=" and not any(stripped[1:])):
                yield _Row(begins, stripped)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f"line {begins}: {error}") from None


def _names(cells: Sequence[str]) -> list[str]:
    return [cell.strip().strip('"').strip().lower() for cell in cells]


def _check_rows(name: str, rows: Sequence[_Row], today: date) -> StockFile:
    if not rows:
        raise StockFileError(f"{name} is empty: its first line is {HEADER}, each further line one product")
    header, body = _names(rows[0].cells), rows[1:]
    while header and not header[-1]:
        header.pop()
    _check_header(name, header)
    if not body:
        raise StockFileError(f"{name} has a header and no product: add a line for each")
    errors: list[tuple[int, str]] = []
    items: list[StockItem] = []
    lines: dict[str, int] = {}
    for row in body:
        cells = row.cells if any(row.cells[len(header) :]) else row.cells[: len(header)]
        if len(cells) != len(header):
            errors.append((row.line, f"has {len(cells)} cells, the header {len(header)}"))
            continue
        found = dict(zip(header, cells, strict=True))
        wrong = list(_wrong_cells(found, today))
        if (first := lines.setdefault(found["sku"], row.line)) != row.line:
            wrong.append(f"sku {_shown(found['sku'])} stands on line {first} already: add the quantities up")
        errors += [(row.line, what) for what in wrong]
        if not wrong:
            items.append(_item(found))
    if errors:
        raise refuse_lines(name, errors)
    return StockFile(items, lines)


def _check_header(name: str, header: Sequence[str]) -> None:
    flaws = []
    if missing := [column for column in STOCK_COLUMNS if column not in header]:
        flaws.append(f"misses {', '.join(missing)}")
    if unknown := [_shown(column) for column in header if column not in COLUMNS]:
        flaws.append(f"has the unknown {', '.join(unknown)}")
    if twice := sorted({column for column in header if header.count(column) > 1}):
        flaws.append(f"has {', '.join(twice)} twice")
    if flaws:
        raise StockFileError(
            f"{name}: nothing was loaded; the header {' and '.join(flaws)}: it is {HEADER},"
            f" and may have {' and '.join(DATE_COLUMNS)}"
        )


def _wrong_cells(cells: Mapping[str, str], today: date) -> Iterator[str]:
    """Return what is wrong with the cells of a row, in the order of the columns."""
    sku, name = cells["sku"], cells["name"]
    if not 1 <= len(sku) <= MAX_SKU_CHARACTERS or not sku.isprintable():
        yield f"sku is {_shown(sku)}: expected 1 to {MAX_SKU_CHARACTERS} printable characters"
    elif ROUNDED.fullmatch(sku):
        yield f"sku is {_shown(sku)}, a number that a spreadsheet has rounded: make the column text, and enter it again"
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        yield f"name is {_shown(name)}: expected 1 to {MAX_NAME_CHARACTERS} printable characters"
    if cells["aisle_type"] not in AISLE_TYPES:
        yield f"aisle_type is {_shown(cells['aisle_type'])}: expected {', '.join(AISLE_TYPES)}"
    numbers_are_good = True
    for column, (least, most) in RANGES.items():
        if not DIGITS.fullmatch(cells[column]) or not least <= int(cells[column]) <= most:
            numbers_are_good = False
            yield f"{column} is {_shown(cells[column])}: expected a whole number from {least} to {most}"
    if numbers_are_good and not int(cells["unit_price_cents"]) and not int(cells["unit_cost_cents"]):
        yield "unit_price_cents and unit_cost_cents are both 0: a product needs a price, or a cost to make one of"
    yield from _wrong_dates(cells, today)


def _wrong_dates(cells: Mapping[str, str], today: date) -> Iterator[str]:
    dates: dict[str, date] = {}
    for column in DATE_COLUMNS:
        if text := cells.get(column, ""):
            found = _date(text)
            if found is None:
                yield f"{column} is {_shown(text)}: expected a date as 2027-01-31"
            else:
                dates[column] = found
    made, expiry = dates.get("mfd_date"), dates.get("expiry_date")
    if made and not today - SHELF_LIFE <= made <= today + TIME_ZONES:
        yield f"mfd_date is {made}: goods are not made in the future, nor more than 30 years ago"
    if expiry and expiry <= today:
        yield f"expiry_date is {expiry}: expected a day after today"
    elif expiry and (expiry > today + SHELF_LIFE or (made and expiry < made)):
        yield f"expiry_date is {expiry}: expected a day after mfd_date, within 30 years"


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if ISO_DATE.fullmatch(text) else None
    except ValueError:
        return None


def _item(cells: Mapping[str, str]) -> StockItem:
    made, expiry = (date.fromisoformat(cells[column]) if cells.get(column) else None for column in DATE_COLUMNS)
    return StockItem(
        cells["sku"],
        cells["name"],
        cells["aisle_type"],  # type: ignore[arg-type]  # checked
        int(cells["unit_price_cents"]),
        int(cells["unit_cost_cents"]),
        int(cells["quantity"]),
        made,
        expiry,
    )


def _shown(text: str) -> str:
    """Return a cell as a message shows it: quoted, escaped, and short."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")
