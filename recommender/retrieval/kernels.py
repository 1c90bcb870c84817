"""Load the loops compiled by numba, if it is installed; without it, other search plans are used.

Compiled code is cached on disk beside this file, or in numba's user folder if that is not writable.
"""

import os
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


@cache
def walk_kernels() -> ModuleType | None:
    """Return `recommender.retrieval.compiled_walk`; None without numba, or where it does not compile for AVX2."""
    if kernels() is None:
        return None
    from llvmlite.binding import get_host_cpu_features

    # numba compiles for this processor, unless the environment names another one or its features
    if "NUMBA_CPU_NAME" in os.environ or "NUMBA_CPU_FEATURES" in os.environ:
        has_avx2 = "+avx2" in os.environ.get("NUMBA_CPU_FEATURES", "")
    else:
        has_avx2 = get_host_cpu_features().get("avx2", False)
    if not has_avx2:
        return None
    from recommender.retrieval import compiled_walk

    return compiled_walk
