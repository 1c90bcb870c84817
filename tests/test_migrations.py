"""Replicas of two versions on one store: migrations only expand it, and older code works with what is newer."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

import recommender.stores.sql.migrations as migrations
from recommender.stores import open_store
from recommender.stores.sql.database import METADATA, Database
from tests.test_serving_server import free_port
from tests.test_stores import event, fresh_schema, postgres  # noqa: F401

RELEASED = "0003"  # of the last release: what it has made is not changed, only expanded
ROOT = Path(__file__).parent.parent


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        opened = Database(f"sqlite:///{tmp_path}/store.db")
        yield opened
        opened.close()
        return
    with fresh_schema(request.getfixturevalue("postgres")) as url:
        opened = Database(url)
        yield opened
        opened.close()


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def revisions_after(revision: str) -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == migrations.HEAD
    return [each.revision for each in reversed([*scripts.walk_revisions(revision, "head")])][1:]


def columns(connection: sa.Connection) -> dict[tuple[str, str], Any]:
    inspector = sa.inspect(connection)
    return {
        (table, column["name"]): column
        for table in inspector.get_table_names()
        for column in inspector.get_columns(table)
    }


def unique_keys(connection: sa.Connection, table: str) -> set[tuple[str, ...]]:
    inspector = sa.inspect(connection)
    found = [inspector.get_pk_constraint(table)["constrained_columns"]]
    found += [each["column_names"] for each in inspector.get_unique_constraints(table)]
    found += [each["column_names"] for each in inspector.get_indexes(table) if each["unique"]]
    return {tuple(str(name) for name in names) for names in found}


def test_migrations_after_the_last_release_only_expand(database: Database) -> None:
    with database.transaction() as connection:
        migrations.upgrade(connection, RELEASED)
        before = columns(connection)
        keys = {table: unique_keys(connection, table) for table, _ in before}
    for revision in revisions_after(RELEASED):
        with database.transaction() as connection:
            migrations.upgrade(connection, revision)
            after = columns(connection)
            for place, column in before.items():
                assert place in after, f"{revision} removes {place}"
                assert str(after[place]["type"]) == str(column["type"]), f"{revision} changes the type of {place}"
                assert after[place]["nullable"] >= column["nullable"], f"{revision} makes {place} required"
            for table, name in after.keys() - before.keys():
                column = after[table, name]
                optional = column["nullable"] or column["default"] is not None
                assert optional or table not in keys, f"{revision}: rows of the version before lack {table}.{name}"
            for table, known in keys.items():
                assert unique_keys(connection, table) == known, f"{revision} changes the keys of {table}"
            before = after


def test_a_store_of_a_newer_version_is_used(database: Database) -> None:
    open_store(url_of(database)).close()
    with database.transaction() as connection:
        for table in METADATA.tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN newer_text TEXT")
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN newer_number INTEGER NOT NULL DEFAULT 0")
        connection.exec_driver_sql("CREATE TABLE newer (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("CREATE INDEX newer_index ON events (newer_text)")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with open_store(url_of(database)) as store:
        assert store.events.add([event(1), event(2)]) == [True, True]
        assert store.events.add([event(1)]) == [False]
        assert store.events.history("u1") == [event(1), event(2)]
        store.overlay.put({"A": {"price": 9}}, queue={"A"})
        assert {id: entry.attributes for id, entry in store.overlay.read().items()} == {"A": {"price": 9}}
        assert [each.item_id for each in store.overlay.queued()] == ["A"]
        store.users.put("u1", {"age": 34})
        assert store.users.get("u1") == {"age": 34}
        assert store.events.erase("u1").events == 2
        assert store.events.add([event(1)]) == [False]
    with database.transaction() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "9999"


# A release, as a revision of git: by default the last tag. Without one the test is skipped.
RELEASE = (
    os.environ.get("RECOMMENDER_TEST_RELEASE")
    or subprocess.run(
        ["git", "-C", ROOT, "describe", "--tags", "--abbrev=0"], capture_output=True, text=True, check=False
    ).stdout.strip()
)


@pytest.mark.slow
def test_the_last_release_and_this_version_serve_side_by_side(
    demo_bundles: Path,
    postgres: sa.URL,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The old one starts first, and again after the new one has migrated the store."""
    if not RELEASE:
        pytest.skip("there is no release yet: tag one, or set RECOMMENDER_TEST_RELEASE")
    archive = subprocess.run(["git", "-C", ROOT, "archive", RELEASE], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(tmp_path / "old", filter="data")
    item_id = "000100"
    with fresh_schema(postgres) as store:
        for number, tree in enumerate([tmp_path / "old", ROOT, tmp_path / "old"]):
            with service(tree, demo_bundles, store) as client, service(ROOT, demo_bundles, store) as newer:
                first, second = (client, newer) if number % 2 else (newer, client)
                body = {
                    "event_id": f"e-{number}",
                    "event_name": "view_item",
                    "timestamp": "2026-11-23T06:40:00Z",
                    "user_id": f"u-{number}",
                    "items": [{"item_id": item_id}],
                }
                assert first.post("/v1/events", json=body).json()["status"] == "stored"
                assert second.post("/v1/events", json=body).json()["status"] == "known"
                first.patch(f"/v1/items/{item_id}", json={"price": number + 0.5}).raise_for_status()
                await_value(second, f"/v1/items/{item_id}", "price", number + 0.5)
                for each in (first, second):
                    answer = each.get(f"/v1/users/u-{number}/recommendations").json()
                    assert answer["strategy"] == "for_you"
                assert second.get(f"/v1/items/{item_id}/similar").json()["items"]


class service:
    """The service of a source tree in a process of its own."""

    def __init__(self, tree: Path, bundles: Path, store: str) -> None:
        self._port = free_port()
        command = [
            sys.executable,
            "-m",
            "recommender.cli",
            "serve",
            bundles,
            "--port",
            self._port,
            "--store",
            store,
        ]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        self._process = subprocess.Popen([*map(str, command)], cwd=tree, env=environment)

    def __enter__(self) -> httpx.Client:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=30)
        await_value(self._client, "/v1/info", None, None)
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.terminate()
        assert self._process.wait(30) in (0, -15)


def await_value(client: httpx.Client, path: str, name: str | None, value: object) -> None:
    """Wait until a request is answered, with a value if one is named."""
    from time import monotonic, sleep

    deadline = monotonic() + 60
    while True:
        try:
            answer = client.get(path)
            if answer.status_code == 200 and (name is None or answer.json()[name] == value):
                return
        except httpx.TransportError:
            pass
        assert monotonic() < deadline, f"{path} does not answer with {value}"
        sleep(0.1)
