"""How time and memory of a fit grow with the shop: the exponents, their table, and the shops that are fitted."""

import numpy as np
import pytest

from recommender.commands.benchmarks.fit_growth import EVENTS_PER_PRODUCT, growth, made_up_shop, table

SIZES = (1000, 2000, 4000)


def fits(seconds: float, mib: float) -> dict[int, dict[str, dict[str, float]]]:
    """Figures of a stage that grow by these powers, and of one that is too short to tell."""
    return {
        n: {
            "stage": {"wall_s": 9.0, "cpu_s": 3 * (n / 1000) ** seconds, "mib": 50 * (n / 1000) ** mib},
            "short": {"wall_s": 9.0, "cpu_s": 1e-4 * (n / 1000) ** 3, "mib": 0.0},
        }
        for n in SIZES
    }


@pytest.mark.parametrize(("seconds", "mib"), [(1.0, 1.0), (2.0, 1.0), (0.7, 1.4)])
def test_exponents_are_those_of_the_growth(seconds: float, mib: float) -> None:
    found = growth(fits(seconds, mib))
    assert found["stage"] == {"cpu_s": pytest.approx(seconds), "mib": pytest.approx(mib)}
    assert found["short"] == {"cpu_s": None, "mib": None}


@pytest.mark.parametrize(("seconds", "mib", "marked"), [(1.0, 1.1, False), (2.0, 1.0, True), (0.7, 1.4, True)])
def test_what_grows_faster_than_linearly_is_marked(seconds: float, mib: float, marked: bool) -> None:
    of = fits(seconds, mib)
    lines = table({"fits": of, "growth": growth(of)}).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["stage", "short"]
    assert [line.endswith("!") for line in lines[1:3]] == [marked, False]


def test_a_made_up_shop_has_users_with_tastes_for_types() -> None:
    products, events = made_up_shop(2000, 0)
    assert (len(products), len(events)) == (2000, 2000 * EVENTS_PER_PRODUCT)
    types = events["item_id"].map(products.set_index("id")["product_type"])
    assert types.notna().all()
    assert types.groupby(events["user_id"]).nunique().max() <= 3
    counts = np.sort(events["item_id"].value_counts().to_numpy())[::-1]
    assert counts[: len(counts) // 10].sum() > 2 * counts.sum() / 10, "some products are popular"
