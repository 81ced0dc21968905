"""Stock files of programs and spreadsheets are read, or refused as a whole with every wrong line by its number."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.core import restock
from autogrocery.kit.process.clock import now
from autogrocery.lab.demand import stock_file
from autogrocery.lab.demand.demand import StockItem, load_demand, stock_for, write_stock
from autogrocery.lab.demand.stock_file import HEADER, StockFileError, read_stock
from autogrocery.pricing.core import price

if TYPE_CHECKING:
    from pathlib import Path

MILK = StockItem("0400", "Bäckermilch, 1 l", "dairy", 129, 64, 12)
ROLL = StockItem("roll", "Röstbrot €", "bread", 249, 0, 1_000_000)
LINES = [HEADER, '0400,"Bäckermilch, 1 l",dairy,129,64,12', "roll,Röstbrot €,bread,249,0,1000000"]
COMMAS = "\n".join(LINES) + "\n"
SEMICOLONS = COMMAS.replace('"Bäckermilch, 1 l"', "\0").replace(",", ";").replace("\0", "Bäckermilch, 1 l")
TODAY = now().date()
READABLE = {
    "as written": COMMAS.encode(),
    "no last line end": COMMAS.rstrip().encode(),
    "byte-order mark": b"\xef\xbb\xbf" + COMMAS.encode(),
    "CRLF": COMMAS.replace("\n", "\r\n").encode(),
    "CR": COMMAS.replace("\n", "\r").encode(),
    "semicolons, mark, CRLF": b"\xef\xbb\xbf" + SEMICOLONS.replace("\n", "\r\n").encode(),
    "tabs in UTF-16": SEMICOLONS.replace(";", "\t").encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + SEMICOLONS.encode("utf-16-be"),
    "sep=;": b"sep=;\r\n" + SEMICOLONS.encode(),
    "empty lines and cells": COMMAS.replace("\n", "\n,,,,,\n\n").encode(),
    "cells after the last column": COMMAS.replace("\n", ",,\n").encode(),
    "blanks around cells": SEMICOLONS.replace(";", " ; ").encode(),
    "header in capitals, quoted": SEMICOLONS.replace(
        HEADER.replace(",", ";"), '"SKU";NAME;"Aisle_Type";UNIT_PRICE_CENTS;unit_cost_cents;quantity'
    ).encode(),
}


def write(folder: Path, raw: bytes | str) -> Path:
    path = folder / "stock.csv"
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return path


def refused(folder: Path, raw: bytes | str) -> str:
    with pytest.raises(StockFileError) as error:
        read_stock(write(folder, raw))
    return str(error.value)


@pytest.mark.parametrize("raw", READABLE.values(), ids=READABLE.keys())
def test_csv_of_programs_and_spreadsheets_is_read(tmp_path: Path, raw: bytes) -> None:
    assert read_stock(write(tmp_path, raw)).items == [MILK, ROLL]


def test_columns_in_another_order_and_dates_are_read(tmp_path: Path) -> None:
    made, expiry = TODAY - timedelta(days=1), TODAY + timedelta(days=5)
    raw = (
        f"quantity,expiry_date,sku,mfd_date,unit_cost_cents,name,unit_price_cents,aisle_type\n"
        f"3,{expiry},a,{made},0,A,5,meat\n4,,b,,5,B,0,party\n"
    )
    assert read_stock(write(tmp_path, raw)).items == [
        StockItem("a", "A", "meat", 5, 0, 3, made, expiry),
        StockItem("b", "B", "party", 0, 5, 4),
    ]


def test_file_of_write_stock_is_read_back(tmp_path: Path) -> None:
    stock = stock_for(load_demand(20, 1, real=False))
    write_stock(stock, tmp_path / "stock.csv")
    read = read_stock(tmp_path / "stock.csv")
    assert read.items == stock
    assert list(read.lines.values()) == list(range(2, len(stock) + 2))


WRONG_CELLS = {
    "quantity 0": ("a,A,meat,5,5,0", "quantity is '0': expected a whole number from 1 to 1000000"),
    "quantity below 0": ("a,A,meat,5,5,-3", "quantity is '-3'"),
    "quantity too large": ("a,A,meat,5,5,1000001", "quantity is '1000001'"),
    "quantity of 5,000 digits": ("a,A,meat,5,5," + "9" * 5_000, "quantity is '9999"),
    "quantity with a point": ("a,A,meat,5,5,2.0", "quantity is '2.0'"),
    "quantity in Arabic digits": ("a,A,meat,5,5,٣", "quantity is '٣'"),
    "no quantity": ("a,A,meat,5,5,", "quantity is ''"),
    "price in dollars": ('a,A,meat,"1,99",5,1', "unit_price_cents is '1,99': expected a whole number"),
    "price too large": ("a,A,meat,1000000000001,5,1", "unit_price_cents is '1000000000001'"),
    "cost too large": ("a,A,meat,5,1000000001,1", "unit_cost_cents is '1000000001'"),
    "neither price nor cost": ("a,A,meat,0,0,1", "are both 0"),
    "no SKU": (",A,meat,5,5,1", "sku is ''"),
    "SKU too long": ("a" * 65 + ",A,meat,5,5,1", "sku is 'aaa"),
    "SKU rounded": ("4.01E+12,A,meat,5,5,1", "make the column text"),
    "SKU with an escape": ("a\x1b[2J,A,meat,5,5,1", r"sku is 'a\x1b[2J'"),
    "no name": ("a,,meat,5,5,1", "name is ''"),
    "name of 201": (f"a,{'n' * 201},meat,5,5,1", "name is 'nnn"),
    "name of two lines": ('a,"A\nB",meat,5,5,1', r"name is 'A\nB'"),
    "aisle": ("a,A,Fleisch,5,5,1", "aisle_type is 'Fleisch': expected bread, dairy, meat, produce, party"),
    "a cell too many": ("a,A,meat,5,5,1,9", "has 7 cells, the header 6"),
    "a cell too few": ("a,A,meat,5,5", "has 5 cells, the header 6"),
    "same SKU": ("ok,A,meat,5,5,1", "sku 'ok' stands on line 2 already"),
}


@pytest.mark.parametrize(("line", "why"), WRONG_CELLS.values(), ids=WRONG_CELLS.keys())
def test_wrong_cell_is_refused_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    told = refused(tmp_path, f"{HEADER}\nok,OK,meat,5,5,1\n\n{line}\n").splitlines()
    assert told[0] == "stock.csv: nothing was loaded; one line is wrong"
    assert told[1].startswith("  line 4: ")
    assert why in told[1]
    assert len(told) == 2


@pytest.mark.parametrize(
    ("made", "expiry", "why"),
    [
        ("", "2020-01-31", "expiry_date is 2020-01-31: expected a day after today"),
        ("", str(TODAY), "expected a day after today"),
        ("", "9999-12-31", "within 30 years"),
        ("9999-12-31", "", "not made in the future"),
        ("1900-01-01", "", "30 years ago"),
        (str(TODAY + timedelta(days=1)), str(TODAY + timedelta(days=2)), None),
        ("31.01.2027", "", "mfd_date is '31.01.2027': expected a date as 2027-01-31"),
        ("20260131", "", "expected a date"),
        ("", "2027-02-30", "expected a date"),
    ],
)
def test_impossible_date_is_refused(tmp_path: Path, made: str, expiry: str, why: str | None) -> None:
    raw = f"{HEADER},mfd_date,expiry_date\na,A,meat,5,5,1,{made},{expiry}\n"
    if why is None:
        assert len(read_stock(write(tmp_path, raw)).items) == 1
    else:
        assert why in refused(tmp_path, raw)


def test_every_wrong_line_is_named_in_one_report(tmp_path: Path) -> None:
    body = [f"s{number},N,{'meat' if number % 3 else 'fish'},{number},5,{number % 2}" for number in range(2, 3_000)]
    told = refused(tmp_path, "\n".join([HEADER, *body])).splitlines()
    wrong = [number for number in range(2, 3_000) if not number % 3 or not number % 2]
    assert told[0] == f"stock.csv: nothing was loaded; {len(wrong):,} lines are wrong"
    assert sorted({int(line.split()[1].rstrip(":")) for line in told[1:]}) == wrong


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n\r\n", "is empty"),
        (HEADER.encode(), "has a header and no product"),
        (HEADER.encode() + b"\r\n,,,,,\r\n", "has a header and no product"),
        (COMMAS.encode("windows-1252"), "is not in UTF-8 (line 2): save it as CSV in UTF-8, or convert it"),
        (COMMAS.encode("utf-16-le"), "NUL characters"),
        (b"\xff\xfe\x00", "is not in UTF-8"),
        (b"PK\x03\x04rest", "is a spreadsheet, not CSV"),
        (b"sku,name\na,b\n", "misses aisle_type, unit_price_cents, unit_cost_cents, quantity"),
        (f"{HEADER},colour\na,A,meat,5,5,1,red\n".encode(), "has the unknown 'colour'"),
        (f"{HEADER},sku\na,A,meat,5,5,1,b\n".encode(), "has sku twice"),
        (b"a,A,meat,5,5,1\n", "the header misses sku"),
        (f'{HEADER}\na,"A,meat,5,5,1\nb,B,meat,5,5,1\n'.encode(), "line 2: "),
        (f'{HEADER}\na,"A"A,meat,5,5,1\n'.encode(), "line 2: "),
        (f"{HEADER}\na,{'n' * 200_000},meat,5,5,1\n".encode(), "line 2: "),
    ],
)
def test_file_that_is_no_stock_is_refused_with_what_to_do(tmp_path: Path, raw: bytes, why: str) -> None:
    told = refused(tmp_path, raw)
    assert why in told
    assert "\n" not in told


def test_missing_folder_and_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, why in ((tmp_path / "none.csv", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(StockFileError, match=why):
            read_stock(path)
    monkeypatch.setattr(stock_file, "MAX_BYTES", 100)
    assert "split it" in refused(tmp_path, COMMAS)


def test_limits_are_those_of_the_roles() -> None:
    assert stock_file.RANGES == {
        "quantity": (1, restock.MAX_QUANTITY),
        "unit_cost_cents": (0, restock.MAX_UNIT_COST_CENTS),
        "unit_price_cents": (0, price.MAX_PRICE_CENTS),
    }
    assert (stock_file.SHELF_LIFE, stock_file.TIME_ZONES) == (restock.SHELF_LIFE, restock.TIME_ZONES)
    assert (stock_file.MAX_SKU_CHARACTERS, stock_file.MAX_NAME_CHARACTERS) == (
        price.MAX_SKU_CHARS,
        price.MAX_NAME_CHARS,
    )
