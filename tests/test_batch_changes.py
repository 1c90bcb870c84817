"""Batches as the service answers, for users who changed, into folders and tables."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import typer

import recommender
from recommender.batch import (
    FileEvents,
    Job,
    RunState,
    SqlTable,
    StoredEvents,
    by_user,
    is_sql,
    write_changed,
    write_users,
)
from recommender.batch.answers import schema
from recommender.batch.folder import Folder, Partition
from recommender.batch.histories import tables_of_events
from recommender.batch.jobs import in_process
from recommender.cli import app
from recommender.errors import ConfigError, RecommenderError, RequestError, StoreError
from recommender.events import Event
from recommender.stores import open_store
from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from tests.made_bundles import draw_product, publish_products
from tests.test_stores import fresh_schema, postgres  # noqa: F401

DAY = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = """
[placements.home]
question = {limit = 5, filter = "price < 30", fallback = ["popular"]}
block = 'brand = "Best"'
bury = ['availability = "out_of_stock"', 'tags = "a"']
pin = [{position = 2, item_id = "007"}]

[placements.diverse]
question = {limit = 8, diversity = {mmr = 0.4, max_per = {brand = 3}}, exclude = {seen = false}}
block = {should = [{field = "product_type", match = "A"}]}

[placements.bought]
question = {strategy = "buy_again", limit = 4}

[placements.trends]
question = {strategy = "trending", limit = 4}

[placements.test]
question = {limit = 3}
experiment = {name = "test", arms = [{name = "a", share = 0.5}, {name = "b", share = 0.5, strategy = "popular"}]}
"""
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(3)
    ids = [f"{number:03}" for number in range(60)]
    root = tmp_path_factory.mktemp("batch") / "bundles"
    publish_products(root, [draw_product(generator, item_id, ids) for item_id in ids])
    return root


@pytest.fixture(scope="module")
def events() -> list[Event]:
    generator = np.random.default_rng(4)
    now = datetime.now(UTC) - timedelta(days=2)
    return [
        Event(
            f"{generator.integers(60):03}",
            str(generator.choice(["view_item", "add_to_cart", "purchase"])),
            now - timedelta(minutes=number),
            f"u{generator.integers(30):02}",
            event_id=f"e{number}",
        )
        for number in range(250)
    ]


@pytest.fixture
def url(tmp_path: Path, events: list[Event]) -> str:
    """A store with the events, and a live change."""
    url = f"sqlite:///{tmp_path}/shop.sqlite"
    with open_store(url) as store:
        store.events.add(events)
        store.overlay.put({"001": {"availability": "out_of_stock"}, "002": {"price": 1.0}})
    return url


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> Any:
        capsys.readouterr()
        app(["batch", *map(str, arguments), "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "service.toml"
    path.write_text(SETTINGS)
    return path


@pytest.mark.parametrize("placement", ["home", "diverse", "bought", "trends"])
def test_a_batch_answers_as_the_service_at_a_placement(
    bundles: Path, url: str, settings: Path, command: Command, tmp_path: Path, placement: str
) -> None:
    arguments = ["--kind", "user", "--store", url, "--placement", placement, "--settings", settings]
    done = command(bundles, *arguments, "--out", tmp_path / "recs.parquet")
    batch = pd.read_parquet(tmp_path / "recs.parquet").groupby("user_id")["item_id"].agg(list).to_dict()
    service = create_app(bundles, Settings.load(settings, store=url), watch_seconds=None)
    client = service.test_client()
    assert done["users"] == 30
    for number in range(30):
        body = {"seeds": {"user_id": f"u{number:02}"}}
        answer = client.post(f"/v1/placements/{placement}/recommendations", json=body).json
        assert batch.get(f"u{number:02}", []) == [item["item_id"] for item in answer["items"]], placement
    service.extensions[KEY].close()
    command(bundles, *arguments, "--out", tmp_path / "parts")
    parts = pd.read_parquet([*(tmp_path / "parts").glob("part-*.parquet")])
    assert parts.groupby("user_id")["item_id"].agg(list).to_dict() == batch


def test_similar_items_at_a_placement(
    bundles: Path, url: str, settings: Path, command: Command, tmp_path: Path
) -> None:
    arguments = ["--kind", "similar", "--store", url, "--placement", "home", "--settings", settings]
    command(bundles, *arguments, "--out", tmp_path / "recs.parquet")
    batch = pd.read_parquet(tmp_path / "recs.parquet").groupby("seed_item_id")["item_id"].agg(list)
    service = create_app(bundles, Settings.load(settings, store=url), watch_seconds=None)
    for item_id in ("000", "013", "059"):
        body = {"seeds": {"items": [{"item_id": item_id}]}}
        answer = service.test_client().post("/v1/placements/home/recommendations", json=body).json
        assert batch[item_id] == [item["item_id"] for item in answer["items"]]
    service.extensions[KEY].close()


def test_an_experiment_is_answered_by_arm(
    bundles: Path, url: str, settings: Path, command: Command, tmp_path: Path
) -> None:
    arguments = [
        bundles,
        "--kind",
        "user",
        "--store",
        url,
        "--settings",
        settings,
        "--out",
        tmp_path / "r.parquet",
    ]
    with pytest.raises(RequestError, match="name its arm: a, b"):
        command(*arguments, "--placement", "test")
    command(*arguments, "--placement", "test", "--arm", "b")
    assert set(pd.read_parquet(tmp_path / "r.parquet")["strategy"]) == {"popular"}
    with pytest.raises(RequestError, match="has no experiment"):
        command(*arguments, "--placement", "home", "--arm", "b")
    with pytest.raises(ConfigError, match=r"no placement 'hom'.*did you mean 'home'"):
        command(*arguments, "--placement", "hom")
    with pytest.raises(typer.BadParameter, match="says its filter"):
        command(*arguments, "--placement", "home", "--filter", "price < 3")
    with pytest.raises(typer.BadParameter, match="need --placement"):
        command(*arguments)


def answers(folder: Path) -> dict[str, list[str]]:
    paths = [*folder.glob("part-*.parquet")]
    return {} if not paths else pd.read_parquet(paths).groupby("user_id")["item_id"].agg(list).to_dict()


def test_only_users_with_other_events_are_answered_again(
    bundles: Path, url: str, command: Command, tmp_path: Path, events: list[Event]
) -> None:
    arguments = [bundles, "--kind", "user", "--store", url, "-k", 3, "--changed-since", tmp_path / "state.parquet"]
    assert command(*arguments, "--out", tmp_path / "1")["users"] == 30
    assert command(*arguments, "--out", tmp_path / "2")["users"] == 0
    late = replace(events[0], event_id="late", timestamp=DAY, user_id="u03")  # older than what they have
    with open_store(url) as store:
        store.events.add([late, replace(late, event_id="new", user_id="new"), replace(late, user_id="")])
        store.events.erase("u05")
    assert command(*arguments, "--out", tmp_path / "3")["users"] == 2
    assert answers(tmp_path / "3").keys() == {"new", "u03"}
    first = answers(tmp_path / "1")
    assert len(first) == 30
    # another request is another job
    assert command(*arguments, "--filter", "price < 15", "--out", tmp_path / "4")["users"] == 30
    with pytest.raises(RequestError, match="another job"):
        command(*arguments, "--out", tmp_path / "3")


def test_another_generation_answers_all(bundles: Path, url: str, command: Command, tmp_path: Path) -> None:
    generator = np.random.default_rng(9)
    root = tmp_path / "other"
    arguments = ["--kind", "user", "--store", url, "--changed-since", tmp_path / "state.parquet"]
    for run in (1, 2):
        publish_products(root, [draw_product(generator, f"{n:03}", []) for n in range(20)])
        assert command(root, *arguments, "--out", tmp_path / f"{run}")["users"] == 30


def test_events_of_a_file_are_compared_too(bundles: Path, events: list[Event], tmp_path: Path) -> None:
    generation = recommender.load(bundles).generation
    job = Job(str(bundles), generation, "user", str(tmp_path / "1"), 3, size=7)
    tables = [*tables_of_events(events)]
    first = write_changed(job, FileEvents(lambda: iter(tables)), RunState())
    assert (len(first.users), first.is_whole) == (30, True)
    more = [*tables, *tables_of_events([Event("001", "view_item", DAY, "u07"), Event("001", "view_item", DAY)])]
    job = replace(job, out=str(tmp_path / "2"))
    second = write_changed(job, FileEvents(lambda: iter(more)), first.state)
    assert (second.users, second.removed, second.is_whole) == (["u07"], [], False)
    rec = recommender.load(bundles)
    history = by_user([*events, Event("001", "view_item", DAY, "u07")])["u07"]
    write_users(rec, {"u07": history}, tmp_path / "one.parquet", 3)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "2" / "part-00000.parquet"), pd.read_parquet(tmp_path / "one.parquet")
    )


def test_an_interrupted_run_goes_on_with_the_users_that_it_had_read(
    bundles: Path, url: str, events: list[Event], tmp_path: Path
) -> None:
    job = Job(
        str(bundles), recommender.load(bundles).generation, "user", str(tmp_path / "1"), 3, size=7, store=url
    )
    done: list[str] = []

    def stopped(job: Job, names: list[str]) -> Iterator[Partition]:
        yield from in_process(job, names[:2])
        raise KeyboardInterrupt

    def watched(job: Job, names: list[str]) -> Iterator[Partition]:
        done.extend(names)
        return in_process(job, names)

    with open_store(url) as store:
        with pytest.raises(KeyboardInterrupt):
            write_changed(job, StoredEvents(store.events), RunState(), stopped)
        store.events.add([replace(events[0], event_id="meanwhile", user_id="u00")])
        first = write_changed(job, StoredEvents(store.events), RunState(), watched)
        assert len(done) == 3  # of five
        job = replace(job, out=str(tmp_path / "2"))
        assert write_changed(job, StoredEvents(store.events), first.state).users == ["u00"]


def test_a_state_is_read_as_it_was_written_at_any_url(tmp_path: Path) -> None:
    state = RunState({"generation": "g", "options": {"filter": "price < 3"}}, {"u": (3, datetime(2026, 1, 2))})
    for url in (str(tmp_path / "state.parquet"), "memory://states/state.parquet"):
        state.write(url)
        assert RunState.read(url) == state
        assert RunState.read(url).digest == state.digest
    assert RunState.read(str(tmp_path / "none.parquet")) == RunState()
    (tmp_path / "other.parquet").write_bytes(b"nothing")
    with pytest.raises(RequestError, match="is no state of a batch"):
        RunState.read(str(tmp_path / "other.parquet"))
    pq.write_table(pa.table({"user_id": ["u"]}), tmp_path / "table.parquet")
    with pytest.raises(RequestError, match="is no state of a batch"):
        RunState.read(str(tmp_path / "table.parquet"))


def rows_of(path: Path, table: str = "recommendations") -> dict[str, list[str]]:
    with closing(sqlite3.connect(path)) as connection:
        frame = pd.read_sql(f"SELECT * FROM {table} ORDER BY user_id, rank", connection)
        others = connection.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '%\\_\\_%' ESCAPE '\\'"
        ).fetchall()
    assert others == []
    return frame.groupby("user_id")["item_id"].agg(list).to_dict()


def test_a_table_has_the_latest_answers_of_all_users(
    bundles: Path, url: str, command: Command, tmp_path: Path, events: list[Event]
) -> None:
    path = tmp_path / "recs.sqlite"
    state = ("--changed-since", tmp_path / "state.parquet", "--partition-size", 7)
    arguments = [bundles, "--kind", "user", "--store", url, "-k", 3, "--out", f"sqlite:///{path}", *state]
    assert command(*arguments)["users"] == 30
    first = rows_of(path)
    with open_store(url) as store:
        store.events.add([replace(events[0], event_id="late", item_id="050", user_id="u03")])
        store.events.add([replace(events[0], event_id="other", user_id="new")])
        store.events.erase("u05")
    assert command(*arguments)["users"] == 2
    second = rows_of(path)
    assert second.keys() == {*first, "new"} - {"u05"}
    assert {user for user in second if first.get(user) != second[user]} <= {"u03", "new"}
    command(bundles, "--kind", "user", "--store", url, "-k", 3, "--out", tmp_path / "all.parquet")
    whole = pd.read_parquet(tmp_path / "all.parquet").groupby("user_id")["item_id"].agg(list).to_dict()
    assert second == whole
    assert not [*bundles.with_name("bundles.batch").glob("*")]  # the partitions are removed
    command(bundles, "--kind", "similar", "--out", f"sqlite:///{path}", "--table", "neighbours", "-k", 2)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(DISTINCT seed_item_id) FROM neighbours").fetchone() == (60,)


# COPY's own signs among them
TEXTS = ["", "a,b", '"', 'say "no"', "two\nlines", "\\.", "\\N", "NULL", " ", "größe\t漢", "u1"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/recs.sqlite"
        return
    with fresh_schema(request.getfixturevalue("postgres")) as url:
        yield url


def read(database: str) -> list[tuple[Any, ...]]:
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT * FROM recs ORDER BY user_id, rank")).all()
    engine.dispose()
    return [tuple(row) for row in rows]


def table_of(users: list[str], score: float = 1 / 3) -> pa.Table:
    columns = [users, [1] * len(users), users[::-1], [score] * len(users), ["for_you"] * len(users)]
    return pa.table([*columns, [None, *users[1:]], users, users], schema("user_id", explain=True))


def test_every_text_is_delivered_as_it_is(database: str, tmp_path: Path) -> None:
    folder, columns = Folder(str(tmp_path / "parts")), schema("user_id", explain=True)
    folder.write("part-00000.parquet", columns, [table_of(TEXTS)])
    SqlTable(database, "recs", columns).deliver(folder, None)
    expected = {tuple(row.values()) for row in table_of(TEXTS).to_pylist()}
    assert {*read(database)} == expected
    folder.write("part-00000.parquet", columns, [table_of(["u1"], 0.5)])
    SqlTable(database, "recs", columns).deliver(folder, ["u1", *TEXTS[:3]])
    kept = {row for row in expected if row[0] not in ("u1", *TEXTS[:3])}
    assert {*read(database)} == kept | {("u1", 1, "u1", 0.5, "for_you", None, "u1", "u1")}


def test_a_delivery_that_the_database_refuses_leaves_the_table(database: str, tmp_path: Path) -> None:
    folder, columns = Folder(str(tmp_path / "parts")), schema("user_id", explain=True)
    folder.write("part-00000.parquet", columns, [table_of(["u1"])])
    SqlTable(database, "recs", columns).deliver(folder, None)
    before = read(database)
    folder.write("part-00001.parquet", columns, [table_of(["u2", "u2"])])
    with pytest.raises(StoreError, match=r"refuses: .*(unique|UNIQUE)"):
        SqlTable(database, "recs", columns).deliver(folder, None)
    assert read(database) == before


def test_readers_see_the_run_before_until_the_swap(
    bundles: Path, url: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recs.sqlite"
    arguments = [bundles, "--kind", "user", "--store", url, "--out", f"sqlite:///{path}", "-k"]
    command(*arguments, 3)
    before = rows_of(path)
    with monkeypatch.context() as patch:
        patch.setattr(SqlTable, "_swap", lambda self, connection, everything: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            command(*arguments, 4)
    with closing(sqlite3.connect(path)) as connection:
        frame = pd.read_sql("SELECT * FROM recommendations ORDER BY user_id, rank", connection)
    assert frame.groupby("user_id")["item_id"].agg(list).to_dict() == before
    command(*arguments, 4)
    assert {len(items) for items in rows_of(path).values()} == {4}


def test_a_killed_run_into_a_table_resumes(bundles: Path, url: str, tmp_path: Path, command: Command) -> None:
    path, size = tmp_path / "recs.sqlite", ("--partition-size", 7)
    arguments = [bundles, "--kind", "user", "--store", url, "-k", 3, "--out", f"sqlite:///{path}", *size]
    code = f"""
import os, signal
from recommender.batch.jobs import Job
from recommender.cli import app
run, done = Job.run, []
def killed(job, name):
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(name)
    return run(job, name)
Job.run = killed
app({["batch", *map(str, arguments)]!r})
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == -signal.SIGKILL
    parts = bundles.with_name("bundles.batch") / "recommendations"
    written = {part.name: part.stat().st_mtime_ns for part in parts.glob("part-*")}
    assert len(written) == 2
    swap, seen = SqlTable.deliver, {}

    def watched(self: SqlTable, folder: Folder, seeds: Any) -> None:
        seen.update({part.name: part.stat().st_mtime_ns for part in parts.glob("part-*")})
        swap(self, folder, seeds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqlTable, "deliver", watched)
        command(*arguments)
    assert len(seen) == 5
    assert seen.items() >= written.items()
    assert len(rows_of(path)) == 30


def test_a_table_of_other_columns_or_a_bad_name_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/recs.sqlite"
    with closing(sqlite3.connect(tmp_path / "recs.sqlite")) as connection:
        connection.execute("CREATE TABLE recs (user_id TEXT)")
    with pytest.raises(StoreError, match="recs has no column 'rank'"):
        SqlTable(url, "recs", schema("user_id")).deliver(Folder(str(tmp_path / "parts")), None)
    with pytest.raises(RequestError, match="expected a name"):
        SqlTable(url, "recs; drop", schema("user_id"))
    assert [out for out in ("sqlite:///a", "postgresql+psycopg://h/d", "s3://b", "recs/") if is_sql(out)] == [
        "sqlite:///a", "postgresql+psycopg://h/d"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "similar", "--out", "recs/", "--changed-since", "state"], "is for users"),
        (["--kind", "user", "--out", "recs.csv", "--changed-since", "state"], "writes a folder or a table"),
        (["--kind", "user", "--out", "recs/", "--changed-since", "state"], "give either --events or --store"),
    ],
)
def test_what_does_not_go_together_is_refused(
    bundles: Path, command: Command, arguments: list[str], words: str
) -> None:
    with pytest.raises((typer.BadParameter, RecommenderError), match=words):
        command(bundles, *arguments)
