"""Aisle type and display name of a product of the real data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from autogrocery.lab.demand.baskets import AisleType

# Departments without goods that a robot can pick: coupons, fuel, services, deposits, store supplies.
NOT_GOODS: Final = frozenset(
    {
        "AUTOMOTIVE",
        "CHARITABLE CONT",
        "CNTRL/STORE SUP",
        "COUPON",
        "ELECT &PLUMBING",
        "FUEL",
        "GM MERCH EXP",
        "MISCELLANEOUS",
        "PHOTO & VIDEO",
        "POSTAL CENTER",
        "PROD-WHS SALES",
        "TRAVEL & LEISURE",
    }
)
NOT_GOODS_CATEGORIES: Final = frozenset(
    {
        "BOTTLE DEPOSITS",
        "COUPON/MISC ITEMS",
        "IN-STORE PHOTOFINISHING",
        "LONG DISTANCE CALLING CARDS",
        "OVERNIGHT PHOTOFINISHING",
        "PREPAID WIRELESS&ACCESSORIES",
        "TICKETS",
    }
)
DEPARTMENTS: Final[dict[str, AisleType]] = {
    "CHEF SHOPPE": "meat",
    "DELI": "meat",
    "FLORAL": "produce",
    "FROZEN GROCERY": "dairy",
    "GARDEN CENTER": "produce",
    "MEAT": "meat",
    "MEAT-PCKGD": "meat",
    "PASTRY": "bread",
    "PRODUCE": "produce",
    "RESTAURANT": "bread",
    "SALAD BAR": "produce",
    "SEAFOOD": "meat",
    "SEAFOOD-PCKGD": "meat",
}
# GROCERY is two thirds of all lines, so it is split by category: the first matching word decides, else party.
WORDS: Final[tuple[tuple[AisleType, tuple[str, ...]], ...]] = (
    ("meat", ("FRZN MEAT", "MEAT - ", "FROZEN CHICKEN", "SEAFOOD", "DELI MEATS", "CHICKEN/")),
    ("produce", ("FRUIT", "VEG", "BEANS", "BN/", "POTATO", "OLIVES", "PICKLE", "SNACK NUTS", "HERBS")),
    (
        "dairy",
        ("MILK", "CHEESE", "YOGURT", "EGGS", "BUTTER", "MARGARINE", "DAIRY", "REFRGRATD", "REFRIG", "FRZN", "FROZEN"),
    ),
    ("bread", ("BREAD", "BAK", "CEREAL", "FLOUR", "PASTA", "BRKFST", "BREAKFAST", "COOKIES", "CRACKERS", "SUGAR")),
    ("bread", ("SYRUP", "PNT BTR", "DINNER MXS", "SOUP", "SAUCE", "SPICES", "SHORTENING", "HISPANIC", "DESSERT")),
)


def is_grocery(department: str | None, category: str | None) -> bool:
    """Return whether a product can be shelved and picked."""
    return department is not None and department not in NOT_GOODS and category not in NOT_GOODS_CATEGORIES


def aisle_of(department: str, category: str | None) -> AisleType:
    """Return the aisle type, which is the class of the robots that pick the product."""
    if department in DEPARTMENTS:
        return "dairy" if department == "DELI" and category == "CHEESES" else DEPARTMENTS[department]
    if department in {"GROCERY", "NUTRITION"} and category is not None:
        for aisle_type, words in WORDS:
            if any(word in category for word in words):
                return aisle_type
    return "party"


def name_of(row: dict[str, Any]) -> str:
    """Return a readable name from the product's columns: type, package size, store brand."""
    kind = row["product_type"] or row["product_category"] or row["department"]
    parts = [" ".join(str(kind).split()).capitalize()]
    if row["package_size"]:
        parts.append(" ".join(str(row["package_size"]).split()).lower())
    if row["brand"] == "Private":
        parts.append("store brand")
    return ", ".join(parts)[:120]
