"""The products of the demo shop: designs of a kind, a pattern and a brand, each in a few colours."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recommender.demo.drawing import COLORS, PATTERNS

OPENED = datetime(2026, 1, 1)
DAYS = 180


@dataclass(frozen=True)
class Kind:
    """A kind of product.

    Parameters
    ----------
    product_type
        Its hierarchical category.
    price
        Base price, in the shop's currency.
    material
        Its material.
    companion
        The kind that is bought together with it: known co-occurrence.
    use
        A sentence for the description.
    """

    product_type: str
    price: float
    material: str
    companion: str
    use: str


KINDS: dict[str, Kind] = {
    "mug": Kind("Kitchen > Mugs", 12, "stoneware", "teapot", "Holds a generous cup of coffee."),
    "teapot": Kind("Kitchen > Teapots", 38, "stoneware", "mug", "Keeps tea warm for the whole table."),
    "plate": Kind("Kitchen > Plates", 15, "porcelain", "mug", "Safe in the dishwasher and the oven."),
    "vase": Kind("Home > Vases", 32, "glass", "lamp", "For one stem or a whole bunch of flowers."),
    "lamp": Kind("Home > Lamps", 69, "linen", "cushion", "Gives a soft light beside bed or sofa."),
    "cushion": Kind("Home > Cushions", 27, "cotton", "lamp", "The cover zips off for washing."),
    "t-shirt": Kind("Clothing > T-shirts", 22, "cotton", "trousers", "A relaxed cut with short sleeves."),
    "trousers": Kind("Clothing > Trousers", 48, "linen", "t-shirt", "Straight legs and deep pockets."),
    "socks": Kind("Clothing > Socks", 9, "wool", "trousers", "A ribbed cuff that stays up."),
    "dress": Kind("Clothing > Dresses", 58, "viscose", "bag", "Falls to the knee and moves well."),
    "bag": Kind("Accessories > Bags", 49, "canvas", "hat", "Carries books, a laptop and lunch."),
    "hat": Kind("Accessories > Hats", 29, "felt", "bag", "Keeps off the sun and light rain."),
}
BRANDS: dict[str, float] = {  # brand: factor of the base price
    "Alder & Co": 0.7,
    "Brisk": 0.75,
    "Casa Luna": 0.9,
    "Fjordhem": 1.0,
    "Kestrel": 1.0,
    "Maison Blé": 1.2,
    "Nara": 1.5,
    "Wintergreen": 1.9,
}
_NAMES = (
    ("Al", "Bri", "Da", "El", "Fa", "Ho", "Ju", "Lo", "Mi", "Ru"),
    ("ma", "na", "ro", "va", "lis", "ska"),
)


@dataclass(frozen=True)
class DemoProduct:
    """A product; the colours of a design share its `item_group_id`."""

    id: str
    item_group_id: str
    title: str
    description: str
    kind: str
    color: str
    pattern: str
    brand: str
    price: float
    availability: str
    published_at: datetime
    has_photo: bool
    tilt: float
    popularity: float


def make_products(n: int, rng: np.random.Generator) -> list[DemoProduct]:
    """Return `n` products in order of id.

    One in fifty has no photo, one in twenty-five no description, and as many are out of stock; a fifth is
    published after the opening, some of them so late that they have hardly any events.
    """
    products: list[DemoProduct] = []
    design = 0
    while len(products) < n:
        design += 1
        products += _make_design(design, rng)
    return products[:n]


def _make_design(design: int, rng: np.random.Generator) -> list[DemoProduct]:
    kind = str(rng.choice(list(KINDS)))
    pattern = str(rng.choice(list(PATTERNS)))
    brand = str(rng.choice(list(BRANDS)))
    name = "".join(str(rng.choice(part)) for part in _NAMES)
    colors = sorted(rng.choice(len(COLORS), size=int(rng.integers(1, 5)), replace=False))
    price = round(KINDS[kind].price * BRANDS[brand] * float(rng.uniform(0.85, 1.15))) - 0.05
    published = OPENED + timedelta(days=float(rng.uniform(0, DAYS - 5) if rng.random() < 0.2 else 0.0))
    popularity = float(rng.lognormal(sigma=0.8))
    tilt = float(rng.uniform(-12, 12))
    return [
        DemoProduct(
            id=f"{design:04d}{color:02d}",
            item_group_id=f"{design:04d}",
            title=f"{brand} {name} {pattern} {kind}, {list(COLORS)[color]}",
            description="" if rng.random() < 0.04 else _describe(kind, pattern, list(COLORS)[color]),
            kind=kind,
            color=list(COLORS)[color],
            pattern=pattern,
            brand=brand,
            price=price,
            availability="out_of_stock" if rng.random() < 0.04 else "in_stock",
            published_at=published,
            has_photo=bool(rng.random() >= 0.02),
            tilt=tilt,
            popularity=popularity * float(rng.lognormal(sigma=0.3)),
        )
        for color in colors
    ]


def _describe(kind: str, pattern: str, color: str) -> str:
    return f"{pattern.capitalize()} {kind} of {KINDS[kind].material} in {color}. {KINDS[kind].use}"
