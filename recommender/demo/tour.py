"""Which commands the demo runs on its shop: the same ones that a user runs on theirs."""

from pathlib import Path

from recommender.demo.shop import Shop


def tour(shop: Shop, port: int | None = None) -> list[list[str]]:
    """Return the arguments of each `recommender` command, in order.

    Parameters
    ----------
    shop
        From `make_shop`; bundles are published beside its files.
    port
        Ends the tour by serving there; None leaves that out.
    """
    folder: Path = shop.config.parent
    bundles = str(folder / "bundles")
    keenest = next(iter(shop.tastes))
    steps = [
        ["validate", "--config", str(shop.config)],
        ["fit", "--config", str(shop.config), "--out", bundles],
        ["evaluate", bundles],
        ["similar", bundles, shop.products[0].id, "-k", "5", "--explain"],
        [
            "recommend",
            bundles,
            "--user",
            keenest,
            "--events",
            str(folder / "events.csv"),
            "-k",
            "5",
            "--explain",
        ],
    ]
    return steps if port is None else [*steps, ["serve", bundles, "--port", str(port)]]


def introduce(shop: Shop) -> str:
    """Return what there is to know before the tour: the keenest shopper and their planted taste."""
    user, taste = next(iter(shop.tastes.items()))
    likes = ", ".join([*sorted(taste.kinds), *sorted(taste.colors), taste.pattern, taste.brand])
    made = f"{len(shop.products)} products and {len(shop.tastes)} shoppers in {shop.config.parent}"
    return f"{made}. Shopper {user} was given a taste for {likes}."
