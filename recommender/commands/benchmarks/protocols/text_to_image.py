"""Text-to-image search of P3: a product's text is the query for its image, on a bundle fitted without it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recommender.catalog import Catalog
from recommender.commands.benchmarks.protocols.shops import fitted, without
from recommender.config import Config
from recommender.evaluation.similar_items import pair_recall
from recommender.progress import progress
from recommender.recommender import Recommender

K = 10
SHARE, MAX_QUERIES = 0.1, 1_000  # of the products


def text_to_image(shop: Config, catalog: Catalog) -> dict[str, Any]:
    """Remove the texts of a tenth of the products, fit, and search for their images; names count once.

    Empty where products lack images or texts, or the encoder has no space shared by text and image.
    """
    from training.encoders.texts import encoder_for

    distinct = _distinct(catalog)
    drawn = np.random.default_rng(shop.train.seed).permutation(distinct)
    targets = np.sort(drawn[: min(MAX_QUERIES, round(SHARE * len(distinct)))])
    if not len(targets):
        return {}
    frame = catalog.frame.copy()
    frame.loc[targets, [name for name in ("title", "description") if name in frame]] = ""
    with TemporaryDirectory() as folder, fitted(without(shop, catalog, frame, Path(folder))) as rec:
        if (
            rec.item_tower.projection is None
            and not encoder_for(shop.encoder, catalog, shop.train.seed)[0].aligned
        ):
            return {}
        relevant = csr_array(
            (np.ones(len(targets), bool), (np.arange(len(targets)), targets)), (len(targets), rec.n)
        )
        lists = {plan: _search(rec, catalog, targets, distinct, plan) for plan in ("exact", "annoy")}
        return {"candidates": len(distinct), "chance": round(K / len(distinct), 5)} | pair_recall(lists, relevant)


def _distinct(catalog: Catalog) -> np.ndarray:
    """Return the first product of each name that has a text and an image, ascending."""
    frame = pd.DataFrame({"name": catalog.frame.get("title", ""), "text": catalog.texts()})
    complete = (frame["text"] != "") & (pd.Series(catalog.image_refs()) != "")
    return frame.index[complete & ~frame["name"].where(complete).duplicated()].to_numpy()


def _search(
    rec: Recommender, catalog: Catalog, targets: np.ndarray, distinct: np.ndarray, plan: str
) -> np.ndarray:
    """Return the rows of each text's answer by the image block alone."""
    options: dict[str, Any] = {
        "weights": {name: float(name == "image") for name in rec.weights["item"]},
        "filter": {"must": [{"ids": [catalog.ids[row] for row in distinct]}]},
        "variants": "all",
        "stock": "all",
        "plan": plan,
    }
    texts = catalog.texts()
    rows = np.full((len(targets), K), -1, np.int32)
    for line, row in enumerate(progress(targets.tolist(), "text to image", len(targets), "text")):
        answer = rec.search(texts[row], k=K, **options)
        ranked = [rec.attributes.row_of(item_id) for item_id in answer.item_ids]
        rows[line, : len(ranked)] = ranked
    return rows
