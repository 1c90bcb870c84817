"""The options of `recommender benchmark quality`: a command for each protocol."""

from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.commands import options
from recommender.commands.shared import emit

if TYPE_CHECKING:
    from collections.abc import Callable

ConfigFile = Annotated[Path, typer.Option("--config", help="The shop's TOML.")]
Pairs = Annotated[Path | None, typer.Option("--pairs", help="Known pairs of products: CSV or Parquet.")]


def sequences(
    sequences_file: Annotated[
        Path, typer.Option("--sequences", help="A user per line: the user's id, then item ids in order of time.")
    ],
    attributes: Annotated[
        Path | None, typer.Option("--attributes", help="JSON: item id to attribute ids.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option("--items", help="CSV: item_id and words, which become the titles.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """P1: predict each user's last item from those before it."""
    from recommender.commands.benchmarks.protocols import sequences

    _run(lambda: sequences.measure(sequences_file, attributes, items), as_json)


def cold_start(
    config: ConfigFile,
    split: Annotated[
        datetime, typer.Option("--split", help="The single cut, and the day of month of the rolling ones.")
    ],
    data: options.Data = None,
    rolling: Annotated[int, typer.Option("--rolling", help="Monthly cuts; 0 for none.")] = 6,
    pairs: Pairs = None,
    as_json: options.AsJson = False,
) -> None:
    """P2: predict purchases after a cut, of new products too."""
    from recommender.commands.benchmarks.protocols import cold_start
    from recommender.config import Config

    _run(lambda: cold_start.measure(Config.load(config, data), split, rolling, pairs), as_json)


def neighbours(
    config: ConfigFile,
    data: options.Data = None,
    pairs: Pairs = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Column to hold out, repeatable. [default: all usual ones]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """P3: find neighbours by content alone.

    Measured by held-out labels, by known pairs, and by text queries for images.
    """
    from recommender.commands.benchmarks.protocols import neighbours
    from recommender.config import Config

    _run(lambda: neighbours.measure(Config.load(config, data), pairs, label or neighbours.LABELS), as_json)


def missing(
    config: ConfigFile,
    data: options.Data = None,
    split: Annotated[
        datetime | None, typer.Option("--split", help="Train on the events before it, predict those after.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """P4: remove images, texts or categories of some products.

    A tenth of the products lose one of them; measured is what the recommendations lose.
    """
    from recommender.commands.benchmarks.protocols import missing_modalities
    from recommender.config import Config

    _run(lambda: missing_modalities.measure(Config.load(config, data), split), as_json)


def complementary(
    config: ConfigFile,
    pairs: Annotated[
        Path, typer.Option("--pairs", help="Pairs of products, or products and their scenes: CSV or Parquet.")
    ],
    data: options.Data = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only pairs with this value in the column kind.")
    ] = None,
    other_type: Annotated[
        bool, typer.Option("--other-type", help="Exclude products of the query's own type.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """P5: predict held-out pairs of complementary products."""
    from recommender.commands.benchmarks.protocols import complementary
    from recommender.config import Config

    _run(lambda: complementary.measure(Config.load(config, data), pairs, kind, other_type), as_json)


def next_item(
    items: Annotated[Path, typer.Option("--items", help="CSV of the products: item_id, texts and brand.")],
    train: Annotated[Path, typer.Option("--train", help="CSV of histories: user_id, history_item_id, item_id.")],
    test: Annotated[Path, typer.Option("--test", help="The same columns; the item of each line is predicted.")],
    as_json: options.AsJson = False,
) -> None:
    """P6: predict users' next items, where items have texts."""
    from recommender.commands.benchmarks.protocols import next_item

    _run(lambda: next_item.measure(items, train, test), as_json)


def repeats(
    config: ConfigFile,
    split: Annotated[datetime, typer.Option("--split", help="Train on the events before it.")],
    data: options.Data = None,
    days: Annotated[
        int | None, typer.Option("--days", help="Predict the purchases of so many days. [default: all later ones]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """P7: predict all purchases after a cut, repeats included.

    Those of products that are new to the user are measured apart, too.
    """
    from recommender.commands.benchmarks.protocols import repeat_purchases
    from recommender.config import Config

    _run(lambda: repeat_purchases.measure(Config.load(config, data), split, days), as_json)


def warm_starts(
    config: ConfigFile,
    split: Annotated[datetime, typer.Option("--split", help="The first fit has the events before it.")],
    data: options.Data = None,
    nights: Annotated[int, typer.Option("--nights", help="Warm starts, a day apart.", min=1)] = 10,
    as_json: options.AsJson = False,
) -> None:
    """Warm starts night by night, beside a full fit at the end.

    Both are measured on what users choose afterwards.
    """
    from recommender.commands.benchmarks.protocols import warm_starts
    from recommender.config import Config

    _run(lambda: warm_starts.measure(Config.load(config, data), split, nights), as_json)


def made_up_grocery(
    users: Annotated[int, typer.Option("--users", help="Customers.")] = 200,
    products: Annotated[int, typer.Option("--products", help="Products.")] = 320,
    days: Annotated[int, typer.Option("--days", help="Of purchases; the last seven are predicted.")] = 240,
    repeated: Annotated[
        bool, typer.Option("--repeated/--never-repeated", help="Whether users buy a product more than once.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", help="Of the purchases.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """P7 on a made-up grocery with planted intervals."""
    from recommender.commands.benchmarks.protocols import made_up_grocery

    _run(lambda: made_up_grocery.measure(users, products, days, repeated, seed), as_json)


def encoders(
    config: ConfigFile,
    data: options.Data = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="Text encoder to compare with the shop's own, repeatable.")
    ] = None,
    image: Annotated[list[str] | None, typer.Option("--image", help="Image encoder, repeatable.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Column to hold out, repeatable. [default: product_type]")
    ] = None,
    pairs: Pairs = None,
    split: Annotated[datetime | None, typer.Option("--split", help="Predict the purchases after it, too.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare encoders by P2 and P3, side by side."""
    from recommender.commands.benchmarks.protocols import encoders
    from recommender.config import Config

    shops = encoders.shops(Config.load(config, data), text or encoders.TEXTS, image or [])
    _run(lambda: encoders.measure(shops, label or ["product_type"], pairs, split), as_json)


def search(
    bundles: options.Bundles,
    queries: Annotated[int, typer.Option("--queries", help="Queries of each kind.", min=1)] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Of the drawn queries.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Search by ids, titles, typos and attributes.

    Queries are made of the products' own values; by words alone, vectors alone, both, and rank fusion.
    """
    import recommender
    from recommender.commands.benchmarks.protocols import search

    figures = search.measure(recommender.load(bundles), queries, seed)
    emit(figures, search.show(figures), as_json)


def users(as_json: options.AsJson = False) -> None:
    """Find planted preferences of users by their attributes.

    A made-up shop, of which an oracle knows the preferences; measured is the share of its gain that is found.
    """
    from recommender.commands.benchmarks.protocols import users

    _run(users.measure, as_json)


def off_policy(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of the Open Bandit Dataset; without, simulated shops alone."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", help="Logs of each simulated shop.", min=1)] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated shops.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Estimate policies from logs of others.

    And compare with the truth: of a dataset with the logs of two policies; and how often 95 % intervals hold the
    truth of simulated shops.
    """
    from recommender.commands.benchmarks.protocols import off_policy

    _run(lambda: off_policy.measure(data, runs, seed), as_json)


def exploration(
    runs: Annotated[int, typer.Option("--runs", help="Simulated shops.", min=2)] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated shops.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Compare ways to explore new products on simulated shops.

    By the clicks of sixty days, and by how many of the best new products come into lists.
    """
    from recommender.commands.benchmarks.protocols import exploration

    _run(lambda: exploration.measure(runs, seed), as_json)


def _run(protocol: "Callable[[], dict[str, Any]]", as_json: bool) -> None:
    from recommender.commands.benchmarks.protocols.tables import show

    started = perf_counter()
    figures = protocol() | {"seconds": round(perf_counter() - started, 1)}
    emit(figures, show(figures), as_json)
