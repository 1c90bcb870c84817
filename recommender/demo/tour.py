"""The commands that `recommender demo` runs on its shop."""

import shlex

from recommender.demo.shop import Shop


def tour(shop: Shop, port: int | None = None) -> list[list[str]]:
    """Return the arguments of each `recommender` command, in order.

    Parameters
    ----------
    shop
        From `make_shop`; bundles are published beside its files.
    port
        Of the service at the end; None for no service.
    """
    folder = shlex.quote(str(shop.config.parent))
    commands = [
        f"validate --config {folder}/shop.toml",
        f"fit --config {folder}/shop.toml --out {folder}/bundles",
        f"evaluate {folder}/bundles",
        f"similar {folder}/bundles {shop.products[0].id} -k 5 --explain",
        f"recommend {folder}/bundles --user {shopper(shop)} --events {folder}/events.csv -k 5 --explain",
    ]
    if port is not None:
        commands += [
            f"update {folder}/bundles --config {folder}/shop.toml --catalog {folder}/products-sale.csv",
            f"serve {folder}/bundles --config {folder}/service.toml --storefront --query-encoder --port {port}",
        ]
    return [shlex.split(command) for command in commands]


def shopper(shop: Shop) -> str:
    """Return the id of a user with some history; the first have seen everything of their taste."""
    return list(shop.tastes)[len(shop.tastes) // 20]


def introduce(shop: Shop) -> str:
    """Return an introduction: the size of the shop, and the user of the examples with their taste."""
    user = shopper(shop)
    taste = shop.tastes[user]
    likes = ", ".join([*sorted(taste.kinds), *sorted(taste.colors), taste.pattern, taste.brand])
    size = f"{len(shop.products)} products and {len(shop.tastes)} shoppers in {shop.config.parent}"
    return f"{size}. Shopper {user} was given a taste for {likes}."
