"""A PostgreSQL server behind a proxy that can hang; to be used as fixtures."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from recommender.commands.benchmarks.postgres import Postgres, missing
from recommender.commands.benchmarks.proxy import Proxy


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[postgres]'")
    if lacks := missing():
        pytest.skip(lacks)
    with TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        postgres = Postgres(Path(folder))
        postgres.start()
        yield postgres
        postgres.stop()


@pytest.fixture
def proxy(server: Postgres) -> Iterator[Proxy]:
    with Proxy.to_unix_socket(server.socket) as made:
        yield made


def url_of(proxy: Proxy) -> str:
    return f"postgresql://shop@127.0.0.1:{proxy.port}/postgres"
