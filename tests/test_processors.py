"""The processor that `processors.sh` asks for is the one that its tests run on."""

import os
from pathlib import Path

import annoy
import pytest
from threadpoolctl import threadpool_info

from recommender.retrieval.kernels import kernels

pytestmark = [
    pytest.mark.search,
    pytest.mark.skipif("TEST_ANNOY" not in os.environ, reason="run by tests/processors.sh"),
]


def test_annoy_is_the_build_for_the_processor() -> None:
    assert Path(annoy.__file__).is_relative_to(Path(os.environ["TEST_ANNOY"]).resolve())


def test_openblas_runs_the_kernels_of_the_processor() -> None:
    found = {library["architecture"] for library in threadpool_info() if library["internal_api"] == "openblas"}
    assert found == {os.environ["OPENBLAS_CORETYPE"]}


def test_numba_is_on_or_off() -> None:
    assert (kernels() is None) == (os.environ["TEST_NUMBA"] == "off")
