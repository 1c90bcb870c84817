"""Chooses a shop's encoder: trained, fine-tuned or quantized as configured; fills the cache of its vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.batch.encoding import encode_on
from recommender.batch.on_ray import Cluster
from recommender.catalog import Catalog
from recommender.config import Config, EncoderConfig
from recommender.encoders.auto import for_texts
from recommender.encoders.base import Encoder
from recommender.encoders.pipeline import encode_catalog
from recommender.encoders.support.pair import encoder_of
from recommender.encoders.vectors import Precomputed
from training.encoders.finetune import finetune
from training.encoders.quantize import quantize_where_faster
from training.encoders.texts import encoder_for


@dataclass(frozen=True)
class ChosenEncoder:
    """The encoder of a shop.

    Parameters
    ----------
    encoder
        Ready to encode.
    config
        Of the encoder; what "auto" chose for the catalogue's texts is in it by name.
    folder
        Of its model, if that was trained on the catalogue: a bundle has to carry it.
    metrics
        Of fine-tuning and quantization, for the manifest.
    """

    encoder: Encoder
    config: EncoderConfig
    folder: Path | None
    metrics: Mapping[str, Any]


def choose_encoder(
    config: Config, catalog: Catalog, cache_dir: Path | None = None, cluster: Cluster | None = None
) -> ChosenEncoder:
    """Load the configured encoder: trained on the shop if it can be, quantized to int8 if that saves time.

    Parameters
    ----------
    config
        Names the encoder and its training.
    catalog
        The products.
    cache_dir
        See `recommender.encoders.cache.cache_location`.
    cluster
        Encodes the catalogue before fine-tuning; None: this process does.
    """
    metrics: dict[str, Any] = {}
    named = config.encoder if config.train.clip is not None else for_texts(config.encoder, catalog.texts())
    encoder, folder = encoder_for(named, catalog, config.train.seed, cache_dir)
    for part in (encoder_of(encoder, "text"), encoder_of(encoder, "image")):
        if isinstance(part, Precomputed):
            part.require(catalog.ids)
    if config.train.clip is not None:
        if cluster is not None:
            encode_on(cluster, catalog, encoder, named, folder, cache_dir)
        tuned = finetune(encoder, catalog, config.train.clip, config.train.seed, cache_dir)
        encoder, folder = tuned.encoder, tuned.folder
        metrics["fine_tuning"] = tuned.metrics
    if cluster is None or not cluster.gpus:  # int8 is faster on CPUs only
        encoder, quantization = quantize_where_faster(encoder, catalog, config.train.seed, cache_dir)
        metrics |= {"int8": quantization} if quantization else {}
    return ChosenEncoder(encoder, named, folder, metrics)


def encode(config: Config, *, cache_dir: Path | None = None, cluster: Cluster | None = None) -> dict[str, float]:
    """Encode a shop's images and texts, so that the next fit takes their vectors from the cache.

    Parameters
    ----------
    config
        Names the catalogue and the encoder.
    cache_dir
        See `recommender.encoders.cache.cache_location`.
    cluster
        Encodes; None: this process does.

    Returns
    -------
    dict
        See `EncodedCatalog.counts`.
    """
    config = config.with_encoder_files()
    catalog = Catalog.load(config)
    chosen, new = choose_encoder(config, catalog, cache_dir, cluster), 0
    if cluster is not None:
        new = encode_on(cluster, catalog, chosen.encoder, chosen.config, chosen.folder, cache_dir)
    counts = dict(encode_catalog(catalog, chosen.encoder, cache_dir).counts)
    return counts | {"encoded": counts["encoded"] + new, "cached": counts["cached"] - new}
