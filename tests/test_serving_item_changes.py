"""What a live change of a column of stock or of a state says of availability."""

from types import SimpleNamespace
from typing import Any

import pytest

from serving.item_changes import waits, with_availability


class Shop:
    """A recommender of one product, A."""

    def __init__(self, **product: Any) -> None:
        self._product = {"id": "A", **product}
        self.manifest = SimpleNamespace(config={"catalog": {"availability_words": {"soon": "backorder"}}})
        self.attributes = SimpleNamespace(
            names=list(product), row_of=lambda item_id: 0, value=lambda name, row: product[name]
        )

    def __contains__(self, item_id: str) -> bool:
        return item_id == "A"

    def product(self, item_id: str) -> dict[str, Any]:
        return self._product


@pytest.mark.parametrize(
    ("product", "change", "availability"),
    [
        ({"quantity": 5.0, "availability": "in_stock"}, {"quantity": 0}, "out_of_stock"),
        ({"quantity": 0.0, "availability": "out_of_stock"}, {"quantity": 3}, "in_stock"),
        ({"quantity": 0.0, "availability": "backorder"}, {"quantity": 0}, None),  # it can be ordered without stock
        ({"status": "active", "quantity": 5.0}, {"status": "draft"}, "out_of_stock"),
        ({"status": "draft", "quantity": 0.0}, {"quantity": 5}, "out_of_stock"),
        ({"status": "draft", "quantity": 5.0}, {"status": "active"}, "in_stock"),
        ({"stock_status": "instock"}, {"stock_status": "soon"}, "backorder"),
        ({"quantity": 5.0}, {"quantity": 0, "availability": "preorder"}, "preorder"),
        ({"stock": "Premium"}, {"stock": "Basic"}, None),  # not of what can be bought
        ({"quantity": 5.0}, {"price": 3}, None),
    ],
)
def test_a_quantity_or_a_state_says_what_can_be_bought(
    product: dict[str, Any], change: dict[str, Any], availability: str | None
) -> None:
    shop: Any = Shop(**product)
    assert with_availability(shop, "A", change) == change | (
        {} if availability is None else {"availability": availability}
    )


def test_a_new_product_without_stock_is_out_of_stock() -> None:
    shop: Any = Shop(quantity=5.0)
    assert with_availability(shop, "B", {"quantity": 0})["availability"] == "out_of_stock"


def test_a_change_of_stock_embeds_nothing() -> None:
    shop: Any = Shop(quantity=5.0, title="Mug")
    assert not waits(shop, "A", {"quantity": 0, "availability": "out_of_stock"})
    assert waits(shop, "A", {"title": "Cup"})
