"""Write the files of the demo shop: `products.csv`, `photos.zip`, `events.csv`, `shop.toml` and `service.toml`.

`products-sale.csv` is the catalogue of the day after: one product is cheaper.
"""

import csv
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recommender.demo.drawing import draw_product
from recommender.demo.products import KINDS, DemoProduct, make_products
from recommender.demo.shoppers import Taste, make_events, make_tastes
from recommender.events import Event
from recommender.progress import progress

_PRODUCT_HEADER = (
    "id",
    "title",
    "description",
    "image_link",
    "product_type",
    "brand",
    "price",
    "availability",
    "item_group_id",
    "color",
    "material",
    "pattern",
    "published_at",
)
_EVENT_HEADER = ("user_id", "item_id", "event_name", "timestamp", "quantity", "price")
_CONFIG = """\
# A shop of drawn products, made by `recommender demo`. The columns bear the standard names, none is mapped.
[catalog]
path = "products.csv"
images = "photos.zip"

[encoder]
name = "offline"  # "auto", the default, takes CLIP weights where a model hub answers

[events]
path = "events.csv"
"""
_SERVICE = """\
# The settings of the demo's service: the placements of the guide "HTTP by example".
[placements.pdp-similar]
question = {strategy = "similar", limit = 8}

[placements.home]
question = {strategy = "for_you"}

[placements.basket]
question = {strategy = "cart", limit = 4}

[placements.basket.experiment]
name = "basket"
arms = [{name = "usual", share = 0.5}, {name = "popular", share = 0.5, strategy = "popular"}]
"""


@dataclass(frozen=True)
class Shop:
    """The config of a demo shop, its products, and the tastes of its users."""

    config: Path
    products: list[DemoProduct]
    tastes: dict[str, Taste]


def make_shop(folder: Path, n: int = 800, users: int = 2000, events: int = 30_000, seed: int = 0) -> Shop:
    """Write a demo shop to `folder`; the same arguments give the same files, byte for byte.

    Parameters
    ----------
    folder
        Created if missing; existing files are overwritten.
    n
        Number of products.
    users, events
        Numbers of users and of events. If either is 0, there is no `events.csv`.
    seed
        Of all random numbers.

    Returns
    -------
    Shop
        The path of `shop.toml`, the products, and the taste of each user by id.
    """
    rng = np.random.default_rng(seed)
    products = make_products(n, rng)
    tastes = make_tastes(users, rng)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "products.csv", _PRODUCT_HEADER, map(_product_row, products))
    cheaper = replace(products[0], price=round(0.8 * products[0].price, 2))
    _write_csv(folder / "products-sale.csv", _PRODUCT_HEADER, map(_product_row, [cheaper, *products[1:]]))
    _write_photos(folder / "photos.zip", products)
    config = _CONFIG
    if users and events:
        rows = map(_event_row, make_events(products, tastes, events, rng))
        _write_csv(folder / "events.csv", _EVENT_HEADER, rows)
    else:
        config = config.partition("\n[events]")[0]
    (folder / "shop.toml").write_text(config, encoding="utf-8")
    (folder / "service.toml").write_text(_SERVICE, encoding="utf-8")
    return Shop(folder / "shop.toml", products, tastes)


def _product_row(product: DemoProduct) -> Sequence[object]:
    return (
        product.id,
        product.title,
        product.description,
        _photo_name(product) if product.has_photo else "",
        KINDS[product.kind].product_type,
        product.brand,
        f"{product.price:.2f}",
        product.availability,
        product.item_group_id,
        product.color,
        KINDS[product.kind].material,
        product.pattern,
        f"{product.published_at:%Y-%m-%d}",
    )


def _event_row(event: Event) -> Sequence[object]:
    return (
        event.user_id,
        event.item_id,
        event.event_name,
        f"{event.timestamp:%Y-%m-%dT%H:%M:%SZ}",
        event.quantity,
        event.price,
    )


def _photo_name(product: DemoProduct) -> str:
    return f"{product.id}.jpg"


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_photos(path: Path, products: list[DemoProduct]) -> None:
    with_photo = [product for product in products if product.has_photo]
    with zipfile.ZipFile(path, "w") as archive:
        for product in progress(with_photo, "drawing products", unit="photo"):
            member = zipfile.ZipInfo(_photo_name(product))  # without the time: the same seed, the same bytes
            archive.writestr(member, draw_product(product.kind, product.color, product.pattern, product.tilt))
