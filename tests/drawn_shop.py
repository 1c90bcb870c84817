"""A catalogue whose texts describe its images: structure for fine-tuning to learn."""

from itertools import islice, product

import pandas as pd

from recommender.catalog import Catalog
from recommender.demo.drawing import COLORS, PATTERNS, SILHOUETTES, draw_product


def drawn_shop(folder, n=240):
    """Write `n` products of different colour, pattern and kind, and their photos; return their config."""
    (folder / "photos").mkdir(parents=True)
    rows = []
    variants = product(COLORS, list(SILHOUETTES)[::2], PATTERNS)
    for number, (color, kind, pattern) in enumerate(islice(variants, n)):
        rows.append(
            {"id": f"p{number:03}", "title": f"{pattern} {color} {kind}", "image_link": f"p{number:03}.jpg"}
        )
        (folder / "photos" / f"p{number:03}.jpg").write_bytes(draw_product(kind, color, pattern))
    pd.DataFrame(rows).to_csv(folder / "products.csv", index=False)
    return {"path": folder / "products.csv", "images": folder / "photos"}


def drawn_catalog(folder, n=240):
    entries = drawn_shop(folder, n)
    return Catalog.from_frame(pd.read_csv(entries["path"]), entries["images"])
