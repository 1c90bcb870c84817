"""The inner loops that numpy has no words for, compiled by numba; without it, other plans answer.

Compiled code is cached on disk beside this file, or in numba's folder for the user where that cannot be written.
"""

from functools import cache
from importlib.util import find_spec
from types import ModuleType


@cache
def kernels() -> ModuleType | None:
    """Return `recommender.retrieval.compiled`, loaded on first use (0.3 s, 60 MiB); None without numba."""
    if find_spec("numba") is None:
        return None
    from recommender.retrieval import compiled

    return compiled
