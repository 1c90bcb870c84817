"""From a request's filter, in either form, to a tree of conditions within bounds."""

from typing import Any

from recommender.errors import RequestError
from recommender.filters.conditions import All, Among, IdIn, Node, leaves
from recommender.filters.text import parse_text
from recommender.filters.tree import parse_tree

MAX_DEPTH = 5
MAX_LEAVES = 200
MAX_VALUES = 10_000


def parse(said: Any, *, trusted: bool = False, pointer: str = "/filter") -> Node:
    """Parse a filter.

    Parameters
    ----------
    said
        A tree as in JSON, see `parse_tree`, or a line of text, see `parse_text`; None asks nothing, and what was
        parsed before stays as it is.
    trusted
        Asked by the library itself: of any depth and size.
    pointer
        Where the filter stands in the request, for messages.

    Returns
    -------
    Node
        The tree, in which no field has been looked up yet.

    Raises
    ------
    RequestError
        It is no filter: with a pointer to the place, and the nearest thing that is; or it is nested deeper than
        5, has more than 200 conditions, or names more than 10 000 values.
    """
    depth = None if trusted else MAX_DEPTH
    if said is None:
        return All()
    if isinstance(said, Node):
        return said
    node = parse_text(said, depth, pointer) if isinstance(said, str) else parse_tree(said, depth, pointer)
    if not trusted:
        _check_size(node, pointer)
    return node


def _check_size(node: Node, pointer: str) -> None:
    found = list(leaves(node))
    if len(found) > MAX_LEAVES:
        raise RequestError(f"filter has {len(found)} conditions; at most {MAX_LEAVES} are allowed", pointer)
    values = sum(len(leaf.ids) for leaf in found if isinstance(leaf, IdIn))
    values += sum(len(leaf.values) for leaf in found if isinstance(leaf, Among))
    if values > MAX_VALUES:
        raise RequestError(f"filter names {values} values; at most {MAX_VALUES} are allowed", pointer)
