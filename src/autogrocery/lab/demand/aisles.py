"""Which shelf a product of the real data set lies on, and what it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from autogrocery.lab.demand.market import AisleType

# Not goods a robot could carry out of an aisle: coupons, fuel, services, deposits, the store's own supplies.
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
# GROCERY alone is two thirds of all lines, so its categories decide. The first word found wins; the rest is party.
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
    """True for what can lie on a shelf and be picked."""
    return department is not None and department not in NOT_GOODS and category not in NOT_GOODS_CATEGORIES


def aisle_of(department: str, category: str | None) -> AisleType:
    """Return the robot class that picks this product."""
    if department in DEPARTMENTS:
        return "dairy" if department == "DELI" and category == "CHEESES" else DEPARTMENTS[department]
    if department in {"GROCERY", "NUTRITION"} and category is not None:
        for aisle_type, words in WORDS:
            if any(word in category for word in words):
                return aisle_type
    return "party"


def name_of(row: dict[str, Any]) -> str:
    """Return a name a person would read: type, package size, whose brand; from the product's own columns."""
    kind = row["product_type"] or row["product_category"] or row["department"]
    parts = [" ".join(str(kind).split()).capitalize()]
    if row["package_size"]:
        parts.append(" ".join(str(row["package_size"]).split()).lower())
    if row["brand"] == "Private":
        parts.append("store brand")
    return ", ".join(parts)[:120]
