"""The arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def folder(bundles: str) -> Path:
    """Return the folder of bundles; of a URL that of its local copy, brought up to date."""
    from recommender.bundle import local_copy

    return local_copy(bundles)


def listing(bundles: str) -> Path:
    """Return the same without the parts of the current generation, which is enough to list and to roll back."""
    from recommender.bundle import local_copy

    return local_copy(bundles, parts=False)


_HELP = "Folder of published generations, or its URL (s3://…)."
Bundles = Annotated[Path, typer.Argument(help=_HELP, show_default=False, parser=folder)]
BundleList = Annotated[Path, typer.Argument(help=_HELP, show_default=False, parser=listing)]
BundlesUrl = Annotated[str, typer.Argument(help=_HELP, show_default=False)]
Out = Annotated[str, typer.Option("--out", help="Folder to publish into, or its URL (s3://…).")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="The shop's TOML.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the TOML's relative paths. [default: the TOML's own]")
]
CatalogFile = Annotated[Path | None, typer.Option("--catalog", help="File of products, instead of a TOML.")]
Images = Annotated[Path | None, typer.Option("--images", help="Folder or zip of product images, with --catalog.")]
Events = Annotated[Path | None, typer.Option("--events", help="File of events.")]
ServiceStore = Annotated[
    str | None,
    typer.Option("--store", help="URL of the store. [default: that of a service without one, if it is there]"),
]
Watch = Annotated[float | None, typer.Option("--watch", help="Repeat every so many seconds.")]
EventStore = Annotated[
    str | None, typer.Option("--store", help="URL of the event store, such as sqlite:///shop.sqlite.")
]
Engine = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Run in this process or on a Ray cluster.")
]
Address = Annotated[
    str | None,
    typer.Option("--address", help="Address of the Ray cluster, such as auto. [default: start one here]"),
]
Gpus = Annotated[
    float, typer.Option("--gpus", min=0, help="GPUs of a Ray worker: such as 1, or 0.25 where four share one.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Make every reported problem an error.")]
MaxRemoved = Annotated[
    float,
    typer.Option(
        "--max-removed",
        min=0,
        max=1,
        help="Largest share of the current products that may be removed, or become out of stock, at once.",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="Moment of the products, such as 2026-11-23T02:00Z; older changes over HTTP no longer count. "
        "[default: that of the file]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Count = Annotated[int, typer.Option("-k", "--limit", help="Number of products to return.")]
Filter = Annotated[
    str | None, typer.Option("--filter", help="""Condition, such as 'price < 50 AND NOT brand: ANY("Acme")'.""")
]
Weights = Annotated[
    str | None, typer.Option("--weights", help="Weights, such as image=1,category=0.5; others stay as learned.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Show the parts of each score, and the reason.")]
Strategy = Annotated[
    Literal[
        "similar",
        "visually_similar",
        "complementary",
        "for_you",
        "session",
        "cart",
        "trending",
        "popular",
        "new",
        "recently_viewed",
        "buy_again",
    ],
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="for_you, complementary, cart, session, similar, visually_similar, popular, trending, new, "
        "recently_viewed or buy_again.",
    ),
]
UserAttribute = Annotated[
    list[str] | None,
    typer.Option(
        "--user-attribute", metavar="NAME=VALUE", help="Attribute of the user such as age=34, repeatable."
    ),
]
Context = Annotated[
    list[str] | None,
    typer.Option("--context", metavar="NAME=VALUE", help="Circumstance of the request, repeatable."),
]
Exclude = Annotated[str | None, typer.Option("--exclude", help="Product ids that are not returned: ID,ID")]
ExcludePurchased = Annotated[
    int | None,
    typer.Option("--exclude-purchased-days", min=1, help="Leave out products purchased within so many days."),
]
IncludeHistory = Annotated[
    bool,
    typer.Option(
        "--include-history", help="Products of the history too. [default: what is bought again, if learned]"
    ),
]
Variants = Annotated[
    Literal["collapse", "all"], typer.Option("--variants", help="The best variant of a product only, or all.")
]
Sort = Annotated[
    Literal["relevance", "price_ascending", "price_descending", "newest", "popular"],
    typer.Option("--sort", help="Order of the products that match."),
]
Stock = Annotated[
    Literal["available", "all"], typer.Option("--stock", help="Without products out of stock, or all.")
]
Plan = Annotated[Literal["auto", "exact", "annoy"], typer.Option("--plan", help="How candidates are retrieved.")]
Mmr = Annotated[
    float | None, typer.Option("--mmr", min=0, max=1, help="Diversity: 0 is the order of score, 1 variety alone.")
]
MaxPer = Annotated[
    str | None, typer.Option("--max-per", help="How many may share a value, such as brand=3,color=2.")
]
Pin = Annotated[str | None, typer.Option("--pin", help="Products at fixed positions, such as 1=SKU-7.")]
