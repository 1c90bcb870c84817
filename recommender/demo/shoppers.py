"""The users of the demo shop: each has a known taste, which decides their events."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import numpy as np
import numpy.typing as npt

from recommender.demo.drawing import COLORS, PATTERNS
from recommender.demo.products import BRANDS, DAYS, KINDS, OPENED, DemoProduct
from recommender.events import Event

# What each match with the taste adds to the log-odds of a visit.
_KIND, _COLOR, _PATTERN, _BRAND = 3.0, 2.0, 1.0, 1.0
# Probabilities of a visit's second product, and of each further step.
_COMPANION, _CART, _PURCHASE = 0.4, 0.35, 0.6


@dataclass(frozen=True)
class Taste:
    """The taste of one user."""

    kinds: frozenset[str]
    colors: frozenset[str]
    pattern: str
    brand: str

    def appeal(self, product: DemoProduct) -> float:
        """Return the log-odds of a visit to `product`."""
        return (
            _KIND * (product.kind in self.kinds)
            + _COLOR * (product.color in self.colors)
            + _PATTERN * (product.pattern == self.pattern)
            + _BRAND * (product.brand == self.brand)
            + float(np.log(product.popularity))
        )


def make_tastes(users: int, rng: np.random.Generator) -> dict[str, Taste]:
    """Return the tastes of `users` users, by user id."""

    def some(names: Iterable[str], count: int) -> frozenset[str]:
        return frozenset(str(name) for name in rng.choice(list(names), size=count, replace=False))

    return {
        f"u-{user:04d}": Taste(
            kinds=some(KINDS, 2),
            colors=some(COLORS, 2),
            pattern=str(rng.choice(list(PATTERNS))),
            brand=str(rng.choice(list(BRANDS))),
        )
        for user in range(users)
    }


def make_events(
    products: list[DemoProduct], tastes: dict[str, Taste], count: int, rng: np.random.Generator
) -> list[Event]:
    """Return `count` events in order of time.

    A visit views one published product, drawn by taste, and sometimes a companion in the same style; each may be
    added to the cart and purchased.
    """
    events = list(islice(_visits(products, tastes, rng), count))
    return sorted(events, key=lambda event: (event.timestamp, event.user_id))


def _visits(products: list[DemoProduct], tastes: dict[str, Taste], rng: np.random.Generator) -> Iterator[Event]:
    users = list(tastes)
    appeals = np.array([[tastes[user].appeal(product) for product in products] for user in users])
    published = np.array([(product.published_at - OPENED) / timedelta(days=1) for product in products])
    style = _styles(products)
    activity = 1 / np.arange(1, len(users) + 1) ** 0.5  # the first users are the most active
    activity /= activity.sum()
    while True:
        user = int(rng.choice(len(users), p=activity))
        day = float(rng.uniform(0, DAYS))
        now = (OPENED + timedelta(seconds=round(day * 86_400))).replace(tzinfo=UTC)
        on_sale = np.where(published <= day, 0.0, -np.inf)
        row = _draw(appeals[user] + on_sale, rng)
        yield from _funnel(users[user], products[row], now, rng)
        companion = style[row] + 0.5 * appeals[user] + on_sale
        if rng.random() < _COMPANION and np.isfinite(companion).any():
            other = _draw(companion, rng)
            yield from _funnel(users[user], products[other], now + timedelta(minutes=5), rng)


def _styles(products: list[DemoProduct]) -> npt.NDArray[np.float64]:
    """Return the similarity in style of products and their companions, −inf for other pairs, shape (n, n)."""
    kind, color, pattern, brand = (
        np.array([getattr(product, name) for product in products])
        for name in ("kind", "color", "pattern", "brand")
    )
    companion = np.array([KINDS[product.kind].companion for product in products])
    similarity = sum(
        weight * (values[:, None] == values[None, :])
        for weight, values in ((2.0, color), (2.0, pattern), (1.0, brand))
    )
    return np.where(companion[:, None] == kind[None, :], similarity, -np.inf)


def _draw(log_odds: npt.NDArray[np.float64], rng: np.random.Generator) -> int:
    """Draw a row from the softmax of `log_odds` (the Gumbel-max trick)."""
    return int(np.argmax(log_odds + rng.gumbel(size=len(log_odds))))


def _funnel(user: str, product: DemoProduct, now: datetime, rng: np.random.Generator) -> Iterator[Event]:
    yield Event(product.id, "view_item", now, user)
    if rng.random() < _CART:
        yield Event(product.id, "add_to_cart", now + timedelta(minutes=1), user)
        if rng.random() < _PURCHASE:
            bought = now + timedelta(minutes=2)
            yield Event(product.id, "purchase", bought, user, quantity=1, price=product.price)
