"""Quality of the recommendations by protocol; every figure through fit, bundle and `Recommender`.

    quality.py p1 --sequences FILE [--attributes FILE]
    quality.py p2 --config shop.toml --data DIR --split 2020-06-22 [--rolling 6] [--edges FILE]
    quality.py p3 --config shop.toml --data DIR [--edges FILE] [--label color] ...
    quality.py p4 --config shop.toml --data DIR [--split 2020-06-22]
    quality.py p5 --config shop.toml --data DIR --edges FILE [--kind crosssell] [--other-type]
    quality.py p6 --items FILE --train FILE --test FILE
    quality.py encoders --config shop.toml --data DIR [--text tfidf] ... [--edges FILE] [--split 2020-06-22]

Each protocol is a module of `protocols/` that says what it asks. Tables on stdout, or with --json one document.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from protocols import cold_start, complementary, families, missing, sequences, similar, text_users
from protocols.printing import show

from recommender.config import Config

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
ConfigFile = Annotated[Path, typer.Option("--config", help="The shop's TOML.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder that its paths start from.")]
Edges = Annotated[Path | None, typer.Option("--edges", help="Known pairs of products: CSV or Parquet.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def p1(
    sequences_file: Annotated[
        Path, typer.Option("--sequences", help="One user a line: the user and the items in order of time.")
    ],
    attributes: Annotated[Path | None, typer.Option(help="JSON of item to attribute ids.")] = None,
    as_json: AsJson = False,
) -> None:
    """Leave-one-out: each user's last item, by all before it."""
    _measure(lambda: sequences.measure(sequences_file, attributes), as_json)


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
    _measure(lambda: cold_start.measure(Config.load(config, data), at, rolling, edges), as_json)


@app.command()
def p3(
    config: ConfigFile,
    data: Data = None,
    edges: Edges = None,
    label: Annotated[
        list[str] | None, typer.Option(help=f"Columns to hold out; by default {', '.join(similar.LABELS)}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Neighbours without events: by held-out labels and by known pairs."""
    _measure(lambda: similar.measure(Config.load(config, data), edges, label or similar.LABELS), as_json)


@app.command()
def p4(
    config: ConfigFile,
    data: Data = None,
    at: Annotated[
        datetime | None, typer.Option("--split", help="Learn from the events before it, foretell those after.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Photos, texts or categories missing of a tenth of the products."""
    _measure(lambda: missing.measure(Config.load(config, data), at), as_json)


@app.command()
def p5(
    config: ConfigFile,
    edges: Annotated[
        Path, typer.Option(help="Pairs of products, or products and what they are shown in: CSV or Parquet.")
    ],
    data: Data = None,
    kind: Annotated[str | None, typer.Option(help="Only pairs whose column kind says so.")] = None,
    other_type: Annotated[bool, typer.Option("--other-type", help="Leave the product's own type out.")] = False,
    as_json: AsJson = False,
) -> None:
    """What goes together: pairs held out of the training."""
    _measure(lambda: complementary.measure(Config.load(config, data), edges, kind, other_type), as_json)


@app.command()
def p6(
    items: Annotated[Path, typer.Option(help="CSV of the products: item_id, texts and brand.")],
    train: Annotated[Path, typer.Option(help="CSV of user_id, history_item_id and item_id: its histories train.")],
    test: Annotated[Path, typer.Option(help="The same columns: each line is asked for its item.")],
    as_json: AsJson = False,
) -> None:
    """Users' next items where products have texts, warm and cold."""
    _measure(lambda: text_users.measure(items, train, test), as_json)


@app.command()
def encoders(
    config: ConfigFile,
    data: Data = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Encoders of texts to compare with the shop's own.")
    ] = None,
    image: Annotated[list[str] | None, typer.Option(help="Encoders of images, likewise.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Columns to hold out; product_type by default.")] = None,
    edges: Edges = None,
    at: Annotated[datetime | None, typer.Option("--split", help="Customers' choices after it, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Choose an encoder: P2 and P3 for each in turn, side by side."""
    shops = families.shops(Config.load(config, data), text or families.TEXTS, image or [])
    _measure(lambda: families.measure(shops, label or ["product_type"], edges, at), as_json)


def _measure(protocol: Callable[[], dict[str, Any]], as_json: bool) -> None:
    started = perf_counter()
    show(protocol() | {"seconds": round(perf_counter() - started, 1)}, as_json)


if __name__ == "__main__":
    app()
