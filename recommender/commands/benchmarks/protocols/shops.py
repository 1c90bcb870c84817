"""Helpers of the protocols: fit a shop into a temporary bundle, and write a shop's files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from recommender.catalog import Catalog
from recommender.config import CatalogConfig, Config
from recommender.encoders.pipeline import encode_catalog
from recommender.evaluation.content_baselines import ContentCentroid, one_hot, untrained_baselines
from recommender.recommender import Recommender, load

# An arbitrary day for every user's last event, where a data set has sequences without times.
LAST = datetime(2020, 1, 1)
AFTER = LAST + timedelta(days=1)


@contextmanager
def fitted(
    shop: Config, until: datetime | None = None, learn_until: datetime | None = None
) -> Iterator[Recommender]:
    """Fit into a temporary bundle, on the events before `until`; see `fit`."""
    from training.fit import fit

    with TemporaryDirectory() as folder:
        fit(shop, Path(folder), until=until, learn_until=learn_until)
        yield load(folder)


def provenance(rec: Recommender) -> dict[str, Any]:
    """Return a bundle's weights, encoders, and metrics such as the seconds of stages and measured recall."""
    manifest = rec.manifest
    return {"weights": manifest.weights, "encoders": manifest.encoders, "metrics": manifest.metrics}


def content(shop: Config, catalog: Catalog) -> list[ContentCentroid]:
    """Return the baselines of content without any training, from the vectors that fit caches."""
    from training.encoders.texts import encoder_for

    encoded = encode_catalog(catalog, encoder_for(shop.encoder, catalog, shop.train.seed)[0])
    learned = [column for column in catalog.columns if column.learn and column.kind in ("category", "multi")]
    blocks = {"image": encoded.image, "text": encoded.text}
    if learned:
        blocks["category"] = one_hot([catalog.frame[column.name] for column in learned])
    return untrained_baselines({name: block for name, block in blocks.items() if block.any()})


def aligned(sequences: Mapping[str, Sequence[str]], last: datetime = LAST) -> pd.DataFrame:
    """Date the items of sequences without times: each user's last on the day `last`, the others a day apart."""
    lines = [
        (user, item, last - timedelta(days=age))
        for user, items in sequences.items()
        for age, item in zip(range(len(items) - 1, -1, -1), items, strict=True)
    ]
    frame = pd.DataFrame(lines, columns=["user_id", "item_id", "timestamp"])
    return frame.assign(event_name="purchase")


def without(shop: Config, catalog: Catalog, reduced: pd.DataFrame, folder: Path) -> Config:
    """Write a reduced catalogue and return its config; its images stay where they are."""
    multi = [column.name for column in catalog.columns if column.kind == "multi" and column.name in reduced]
    frame = reduced.assign(**{name: reduced[name].str.join("|") for name in multi})
    frame.to_parquet(folder / "catalog.parquet", index=False)
    images = shop.resolve(shop.catalog.images) if shop.catalog.images else shop.data_dir
    learn = [column.name for column in catalog.columns if column.learn and column.name in frame]
    files = {
        "path": (folder / "catalog.parquet").resolve(),
        "images": images.resolve(),
        "learn": learn,
        "separators": dict.fromkeys(multi, "|"),
    }
    return shop.model_copy(update={"catalog": CatalogConfig.model_validate(files)})
