"""The standard attributes, named as in Google Merchant's product data, and their kinds."""

from typing import Literal

Kind = Literal["category", "multi", "number", "date", "text"]

STANDARD: dict[str, Kind] = {
    "title": "text",
    "description": "text",
    "image_link": "text",
    "product_type": "category",
    "brand": "category",
    "price": "number",
    "regular_price": "number",
    "sale_price": "number",
    "sale_starts": "date",
    "sale_ends": "date",
    "currency": "category",
    "availability": "category",
    "item_group_id": "category",
    "color": "category",
    "size": "category",
    "gender": "category",
    "age_group": "category",
    "material": "category",
    "pattern": "category",
    "published_at": "date",
}

# What stands for a missing number or date, in lower case.
MISSING = frozenset(
    {"", "-", "--", "n/a", "#n/a", "na", "nan", "nat", "null", "none", "nil", "<na>", r"\n", "#value!"}
)
