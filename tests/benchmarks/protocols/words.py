"""P3's words to pictures: a product's text asks for its photo, on a bundle that has never read that text."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from protocols.shops import fitted, without
from recommender import Recommender
from recommender.catalog import Catalog
from recommender.config import Config
from recommender.evaluation.similar_items import pair_recall
from recommender.progress import progress
from training.encoders.texts import encoder_for

K = 10
SHARE, MOST = 0.1, 1_000  # of the products asked for


def words_to_photos(shop: Config, catalog: Catalog) -> dict[str, Any]:
    """Take the texts of a tenth of the products out, fit, and ask for their photos; names count once.

    Empty where products lack photos or texts, or the encoder's words and pictures do not meet.
    """
    alone = _distinct(catalog)
    drawn = np.random.default_rng(shop.train.seed).permutation(alone)
    asked = np.sort(drawn[: min(MOST, round(SHARE * len(alone)))])
    if not len(asked):
        return {}
    frame = catalog.frame.copy()
    frame.loc[asked, [name for name in ("title", "description") if name in frame]] = ""
    with TemporaryDirectory() as folder, fitted(without(shop, catalog, frame, Path(folder))) as rec:
        if (
            rec.item_tower.projection is None
            and not encoder_for(shop.encoder, catalog, shop.train.seed)[0].aligned
        ):
            return {}
        relevant = csr_array((np.ones(len(asked), bool), (np.arange(len(asked)), asked)), (len(asked), rec.n))
        lists = {plan: _found(rec, catalog, asked, alone, plan) for plan in ("exact", "annoy")}
        return {"candidates": len(alone), "chance": round(K / len(alone), 5)} | pair_recall(lists, relevant)


def _distinct(catalog: Catalog) -> np.ndarray:
    """Return the first product of each name that has a text and a photo, ascending."""
    frame = pd.DataFrame({"name": catalog.frame.get("title", ""), "text": catalog.texts()})
    has = (frame["text"] != "") & (pd.Series(catalog.image_refs()) != "")
    return frame.index[has & ~frame["name"].where(has).duplicated()].to_numpy()


def _found(rec: Recommender, catalog: Catalog, asked: np.ndarray, alone: np.ndarray, plan: str) -> np.ndarray:
    """Ask the image block alone."""
    weights = {name: float(name == "image") for name in rec.weights["item"]}
    only = {"must": [{"ids": [catalog.ids[row] for row in alone]}]}
    texts = catalog.texts()
    rows = np.full((len(asked), K), -1, np.int32)
    for line, row in enumerate(progress(asked.tolist(), "words", len(asked), "text")):
        answer = rec.search(texts[row], k=K, weights=weights, filter=only, variants="all", stock="all", plan=plan)
        found = [rec.attributes.row_of(item_id) for item_id in answer.item_ids]
        rows[line, : len(found)] = found
    return rows
