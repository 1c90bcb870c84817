"""Quality of the recommendations of a shop, by protocol; every figure through fit, bundle and `Recommender`.

    quality.py p2 --config shop.toml --data DIR --split 2020-06-22 [--rolling 6] [--edges FILE]
    quality.py p3 --config shop.toml --data DIR [--edges FILE] [--label color] ...

p2 asks what customers chose after a cut that the bundle knows nothing beyond: once with all that follows, then at
rolling monthly cuts with the 31 days that follow. p3 asks for neighbours, without any events: of the same label,
with the label held out of the model's input, and known pairs. Tables on stdout, or with --json one JSON document.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from recommender import Recommender, load
from recommender.catalog import Catalog, Interactions
from recommender.config import CatalogConfig, Config
from recommender.encoders import create
from recommender.encoders.pipeline import encode_catalog
from recommender.evaluation import EvaluationReport, evaluate, split, table
from recommender.evaluation.baselines import Baseline, standard
from recommender.evaluation.content import one_hot, untrained
from recommender.evaluation.edges import read_edges
from recommender.evaluation.holdout import HeldOut, hold_out, leading_brand
from recommender.evaluation.similar import DEEP, by_edges, by_label, neighbours
from recommender.progress import progress
from training.fit import fit

LABELS = ("product_type", "brand", "color", "gender", "material", "pattern")
QUERIES = 1_000  # products asked for the neighbours of, drawn with a fixed seed

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
ConfigFile = Annotated[Path, typer.Option("--config", help="The shop's TOML.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder that its paths start from.")]
Edges = Annotated[Path | None, typer.Option("--edges", help="Known pairs of products: CSV or Parquet.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def p2(
    config: ConfigFile,
    at: Annotated[
        datetime, typer.Option("--split", help="The single cut, and the day of month of the rolling ones.")
    ],
    data: Data = None,
    rolling: Annotated[int, typer.Option(help="Monthly cuts; 0 for none.")] = 6,
    edges: Edges = None,
    as_json: AsJson = False,
) -> None:
    """What customers choose next, cold and warm."""
    shop = Config.load(config, data)
    catalog = Catalog.load(shop)
    events = Interactions.load(shop, catalog)
    content = _untrained(shop, catalog)
    figures: dict[str, Any] = {"protocol": "p2", "seed": shop.train.seed}
    with _fitted(shop, until=at) as rec:
        figures["single"] = _measured(rec, split.at(events, at), content).to_dict()
        figures["bundle"] = _provenance(rec)
        if edges is not None:
            bought = np.bincount(events.frame["row"], minlength=len(catalog)) > 0
            figures["edges"] = _edges(rec, catalog, edges, bought)
    cuts = list(split.rolling(events, at, rolling)) if rolling else []
    reports = []
    for each in progress(cuts, "cuts", len(cuts), "cut"):
        with _fitted(shop, until=each.cut) as rec:
            reports.append(_measured(rec, each, content))
    if reports:
        figures["rolling"] = EvaluationReport.pool(reports).to_dict()
    _show(figures, as_json)


@app.command()
def p3(
    config: ConfigFile,
    data: Data = None,
    edges: Edges = None,
    label: Annotated[list[str] | None, typer.Option(help=f"Columns to hold out; by default {LABELS}.")] = None,
    as_json: AsJson = False,
) -> None:
    """Neighbours without events: by held-out labels and by known pairs."""
    shop = Config.load(config, data).model_copy(update={"events": None})
    catalog = Catalog.load(shop)
    figures: dict[str, Any] = {"protocol": "p3", "seed": shop.train.seed, "labels": {}}
    with _fitted(shop) as rec:
        figures["bundle"] = _provenance(rec)
        if edges is not None:
            figures["edges"] = _edges(rec, catalog, edges, None)
    labels = _labels(catalog, label or LABELS)
    for values in progress(labels, "labels", len(labels), "label"):
        held = hold_out(catalog.frame, values, [column.name for column in catalog.columns if column.learn])
        figures["labels"][str(values.name)] = _held_out(shop, catalog, held)
    _show(figures, as_json)


@contextmanager
def _fitted(shop: Config, until: datetime | None = None) -> Iterator[Recommender]:
    """Fit into a temporary bundle that knows nothing from `until` on."""
    with TemporaryDirectory() as folder:
        fit(shop, Path(folder), until=until)
        yield load(folder)


def _measured(rec: Recommender, parts: split.Split, content: list[Baseline]) -> EvaluationReport:
    return evaluate(rec, parts.train, parts.test, baselines=[*standard(parts.train, rec.n), *content])


def _untrained(shop: Config, catalog: Catalog) -> list[Baseline]:
    """List what content says without any training, from the vectors that fit has cached or will."""
    encoded = encode_catalog(catalog, create(shop.encoder))
    learned = [column for column in catalog.columns if column.learn and column.kind in ("category", "multi")]
    blocks = {"image": encoded.image, "text": encoded.text}
    if learned:
        blocks["category"] = one_hot([catalog.frame[column.name] for column in learned])
    return list(untrained({name: block for name, block in blocks.items() if block.size}))


def _labels(catalog: Catalog, names: Sequence[str]) -> list[pd.Series]:
    """Take the single-valued columns to hold out; the brand off the titles where it has no column."""
    frame = catalog.frame[[column.name for column in catalog.columns if column.kind in ("category", "text")]]
    if "brand" not in frame and "title" in frame:
        frame = frame.assign(brand=leading_brand(frame["title"]))
    return [frame[name] for name in names if name in frame and frame[name].nunique() > 1]


def _held_out(shop: Config, catalog: Catalog, held: HeldOut) -> dict[str, Any]:
    started = perf_counter()
    rows = np.flatnonzero(held.labels != "")
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:QUERIES])
    groups = catalog.frame.get("item_group_id", pd.Series("", index=catalog.frame.index))
    with TemporaryDirectory() as folder, _fitted(_without(shop, catalog, held, Path(folder))) as rec:
        figures = by_label(neighbours(rec, rows, DEEP), rows, held.labels, groups)
    setting = {"held_out": list(held.columns), "named_in_texts": held.named}
    return setting | figures | {"seconds": round(perf_counter() - started, 1)}


def _without(shop: Config, catalog: Catalog, held: HeldOut, folder: Path) -> Config:
    """Write the catalogue that is left, and a config that reads it; its photos stay where they are."""
    multi = [column.name for column in catalog.columns if column.kind == "multi" and column.name in held.frame]
    frame = held.frame.assign(**{name: held.frame[name].str.join("|") for name in multi})
    frame.to_parquet(folder / "catalog.parquet", index=False)
    images = shop.resolve(shop.catalog.images) if shop.catalog.images else shop.data_dir
    learn = [column.name for column in catalog.columns if column.learn and column.name in frame]
    left = {
        "path": (folder / "catalog.parquet").resolve(),
        "images": images.resolve(),
        "learn": learn,
        "separators": dict.fromkeys(multi, "|"),
    }
    return shop.model_copy(update={"catalog": CatalogConfig.model_validate(left)})


def _edges(rec: Recommender, catalog: Catalog, path: Path, among: np.ndarray | None) -> dict[str, Any]:
    """Recall@10 of known pairs; with `among`, queries and candidates are only these rows."""
    figures = {}
    for kind, pairs in read_edges(path, catalog.frame["id"]).items():
        relevant = pairs if among is None else pairs.multiply(among[None, :]).tocsr()
        relevant.eliminate_zeros()
        has = np.diff(relevant.indptr) > 0
        rows = np.flatnonzero(has if among is None else has & among)
        figures[kind] = by_edges(neighbours(rec, rows, 10, among), relevant[rows])
    return figures


def _provenance(rec: Recommender) -> dict[str, Any]:
    """State what the bundle says of itself: weights, encoders, stages' seconds, measured recall."""
    manifest = rec.manifest
    return {"weights": manifest.weights, "encoders": manifest.encoders, "metrics": manifest.metrics}


def _show(figures: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, default=str))
        return
    for name in ("single", "rolling"):
        if name in figures:
            print(f"\n{name}\n{table(figures[name])}")
    for kind, found in figures.get("edges", {}).items():
        print(f"\nedges: {kind}\n{_neighbour_table(found)}")
    for label, found in figures.get("labels", {}).items():
        print(f"\n{label}\n{_neighbour_table(found)}")


def _neighbour_table(figures: Mapping[str, Any]) -> str:
    setting = {name: value for name, value in figures.items() if not isinstance(value, dict)}
    lists = {name: value for name, value in figures.items() if isinstance(value, dict)}
    lines = [", ".join(f"{name} {value}" for name, value in setting.items())]
    for name, measures in lists.items():
        cells = (f"{measure} {value['mean']:.4f} ±{value['error']:.4f}" for measure, value in measures.items())
        lines.append(f"{name:24}{'   '.join(cells)}")
    return "\n".join(lines)


if __name__ == "__main__":
    app()
