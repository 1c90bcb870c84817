"""The arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Bundles = Annotated[Path, typer.Argument(help="Folder of published generations.", show_default=False)]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="The shop's TOML.")]
Data = Annotated[Path | None, typer.Option("--data", help="Where the TOML's paths start. [default: its folder]")]
CatalogFile = Annotated[Path | None, typer.Option("--catalog", help="Products, where there is no TOML.")]
Images = Annotated[Path | None, typer.Option("--images", help="Folder or zip of photos, beside --catalog.")]
Events = Annotated[Path | None, typer.Option("--events", help="File of events.")]
Store = Annotated[
    str | None, typer.Option("--store", help="URL of the event store, such as sqlite:///shop.sqlite.")
]
Engine = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="In this process, or spread over a Ray cluster.")
]
Address = Annotated[
    str | None, typer.Option("--address", help="Of the Ray cluster, such as auto. [default: one on this machine]")
]
Strict = Annotated[bool, typer.Option("--strict", help="Make every reported problem fatal.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Count = Annotated[int, typer.Option("-k", "--limit", help="How many products to return.")]
Filter = Annotated[
    str | None, typer.Option("--filter", help="""Such as 'price < 50 AND NOT brand: ANY("Acme")'.""")
]
Weights = Annotated[
    str | None, typer.Option("--weights", help="Such as image=1,category=0.5; others stay learned.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Show what each score is made of, and why.")]
