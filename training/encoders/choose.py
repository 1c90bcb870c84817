"""Which encoder reads a shop's photos and texts, and filling the cache with what it makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.catalog import Catalog
from recommender.config import Config
from recommender.encoders.base import Encoder
from recommender.encoders.pipeline import encode_catalog
from training.encoders.finetune import finetune
from training.encoders.quantize import sped_up
from training.encoders.texts import encoder_for

if TYPE_CHECKING:
    from recommender.batch.encoding import Cluster


@dataclass(frozen=True)
class Chosen:
    """The encoder of a shop.

    Parameters
    ----------
    encoder
        Ready to read.
    folder
        Its model, if that was trained on the catalogue: a bundle must carry it.
    figures
        What was measured on the way, for the manifest.
    """

    encoder: Encoder
    folder: Path | None
    figures: Mapping[str, Any]


def choose_encoder(
    config: Config, catalog: Catalog, cache_dir: Path | None = None, cluster: "Cluster | None" = None
) -> Chosen:
    """Load the encoder that a config names, trained if it learns from the shop, in 8 bits if that pays.

    Parameters
    ----------
    cluster
        Where the catalogue will be read, and is before a fine-tuning; None: here.
    """
    figures: dict[str, Any] = {}
    encoder, folder = encoder_for(config.encoder, catalog, config.train.seed, cache_dir)
    if config.train.clip is not None:
        if cluster is not None:
            cluster.fill(catalog, encoder, config.encoder, folder, cache_dir)
        tuned = finetune(encoder, catalog, config.train.clip, config.train.seed, cache_dir)
        encoder, folder = tuned.encoder, tuned.folder
        figures["fine_tuning"] = tuned.figures
    if cluster is None or not cluster.gpus:  # 8 bits pay on processors alone
        encoder, precision = sped_up(encoder, catalog, config.train.seed, cache_dir)
        figures |= {"eight_bits": precision} if precision else {}
    return Chosen(encoder, folder, figures)


def encode(config: Config, *, cache_dir: Path | None = None, cluster: "Cluster | None" = None) -> dict[str, float]:
    """Read a shop's photos and texts, so that the next fit finds their vectors in the cache.

    Parameters
    ----------
    config
        Where the catalogue is, and which encoder reads it.
    cache_dir
        See `recommender.encoders.cache.cache_location`.
    cluster
        Reads; None: this process does.

    Returns
    -------
    dict
        See `EncodedCatalog.counts`.
    """
    config = config.with_encoder_files()
    catalog = Catalog.load(config)
    chosen, new = choose_encoder(config, catalog, cache_dir, cluster), 0
    if cluster is not None:
        new = cluster.fill(catalog, chosen.encoder, config.encoder, chosen.folder, cache_dir)
    counts = dict(encode_catalog(catalog, chosen.encoder, cache_dir).counts)
    return counts | {"encoded": counts["encoded"] + new, "cached": counts["cached"] - new}
