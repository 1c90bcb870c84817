"""The command line on the demo shop: answers on stdout, all else on stderr, three exit codes."""

import csv
import inspect
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

import recommender
from recommender.cli import app, main
from recommender.demo.shop import Shop
from training.update.compact import compact
from training.update.delta import EmbeddedProducts, publish_delta


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `recommender ARGS` as its entry point does."""

    def run(*args: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["recommender", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ran(int(ended.value.code or 0), *capsys.readouterr())

    return run


def test_help_takes_less_than_half_a_second() -> None:
    def seconds() -> float:
        """CPU seconds, which other processes of a busy machine do not change much."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "recommender.cli", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def commands(group: typer.Typer = app, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Callable | None]:
    """The callback of each command, by its path; None for a group."""
    found = {path: None} | {(*path, str(command.name)): command.callback for command in group.registered_commands}
    for sub in group.registered_groups:
        found |= commands(sub.typer_instance, (*path, str(sub.name)))
    return found


def test_every_command_is_in_one_group_of_the_help(run: Run) -> None:
    sections = run("--help").out.split("\n\n")[3:]
    assert [section.split(":")[0] for section in sections] == [
        "From files to a bundle",
        "Quality",
        "Recommendations",
        "Operation",
    ]
    shown = [line.split()[0] for section in sections for line in section.splitlines()[1:] if line[2] != " "]
    assert sorted(shown) == sorted(path[0] for path in commands() if len(path) == 1)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help_is_not_cut_at_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = run(*path, "--help")
    assert ran.code == 0
    assert "..." not in ran.out.replace("[ARGS]...", "")
    assert max(map(len, ran.out.splitlines())) <= 80


def test_every_option_is_described_and_every_answer_can_be_json() -> None:
    for path, command in commands().items():
        if command is not None:
            parameters = inspect.signature(command).parameters
            assert "as_json" in parameters or path in {("serve",), ("mcp",), ("demo",)}
            for name, parameter in parameters.items():
                if parameter.annotation is typer.Context:
                    continue
                assert parameter.annotation.__metadata__[0].help, f"{path}: {name} has no help"


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").out == f"recommender {recommender.__version__}\n"


@pytest.mark.parametrize(
    ("usage", "nearest"),
    [
        (["simlar", "bundles", "1"], "'similar'"),
        (["benchmark", "serv"], "'serve'"),
        (["similar", "bundles", "1", "--fliter", "price < 5"], "--filter"),
        (["batch", "bundles", "--kind", "users", "--out", "recs.csv"], "user"),
    ],
)
def test_a_misspelt_command_or_option_names_the_nearest(run: Run, usage: list[str], nearest: str) -> None:
    ran = run(*usage)
    assert ran.code == 2
    assert nearest in ran.err.splitlines()[-1]


@pytest.mark.parametrize(
    "usage",
    [
        ["no-such-command"],
        ["similar", "bundles"],
        ["evaluate"],
        ["evaluate", "bundles", "--config", "shop.toml"],
        ["validate"],
        ["fit", "--out", "bundles", "--config", "shop.toml", "--catalog", "products.csv"],
        ["recommend", "bundles"],
        ["recommend", "bundles", "--history", "1", "--user", "u"],
        ["batch", "bundles", "--kind", "both", "--out", "recs.csv"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(run: Run, usage: list[str]) -> None:
    ran = run(*usage)
    assert ran.code == 2
    assert ran.out == ""
    assert "Error" in ran.err


def test_an_expected_error_is_one_line_and_exits_with_1(run: Run, tmp_path: Path) -> None:
    for command in (["similar", tmp_path, "1", "--json"], ["bundles", "list", tmp_path], ["serve", tmp_path]):
        ran = run(*command)
        assert ran.code == 1
        assert ran.out == ""
        assert ran.err.startswith("recommender: ")
        assert ran.err.count("\n") == 1


def test_an_unknown_item_is_an_expected_error(run: Run, demo_bundles: Path) -> None:
    ran = run("similar", demo_bundles, "no-such-id")
    assert (ran.code, ran.out) == (1, "")
    assert "no-such-id" in ran.err


def test_similar_prints_text_and_json(run: Run, demo_bundles: Path, demo_shop: Shop) -> None:
    seed = demo_shop.products[0].id
    command = ("similar", demo_bundles, seed, "-k", 4, "--filter", "price < 60", "--explain")
    answer = run(*command, "--json").json
    price = {product.id: product.price for product in demo_shop.products}
    assert len(answer["items"]) == 4
    assert all(price[item["item_id"]] < 60 for item in answer["items"])
    for item in answer["items"]:
        assert sum(item["explanation"]["parts"].values()) == pytest.approx(item["score"], abs=1e-9)
    shown = run(*command).out
    assert all(item["item_id"] in shown for item in answer["items"])
    assert answer["items"][0]["explanation"]["text"] in shown


def test_weights_change_the_results(run: Run, demo_bundles: Path, demo_shop: Shop) -> None:
    command = ("similar", demo_bundles, demo_shop.products[0].id, "--json", "--explain", "--weights")
    weights = "image=0,text=0,behaviour=0,cooccurrence=0,prior=0,category=1"
    for item in run(*command, weights).json["items"]:
        parts = item["explanation"]["parts"]
        assert parts["category"] == pytest.approx(item["score"])
    assert run(*command, "image:1").code == 2
    assert run(*command, "imagen=1").code == 1


def test_file_store_and_history_give_the_same_recommendations(
    run: Run, demo_bundles: Path, demo_shop: Shop, tmp_path: Path
) -> None:
    user = next(iter(demo_shop.tastes))
    file, store = demo_shop.config.parent / "events.csv", f"sqlite:///{tmp_path}/shop.sqlite"
    count = len(file.read_text().splitlines()) - 1
    assert run("events", "import", file, "--store", store, "--json").json == {
        "new": count,
        "known": 0,
        "left_out": 0,
    }
    assert run("events", "import", file, "--store", store, "--json").json == {
        "new": 0,
        "known": count,
        "left_out": 0,
    }
    from_file, from_store = (
        run("recommend", demo_bundles, "--user", user, *where, "--json").json
        for where in (("--events", file), ("--store", store))
    )
    assert from_file == from_store
    assert from_file["strategy"] == "for_you"
    with file.open() as lines:
        own = [row for row in csv.DictReader(lines) if row["user_id"] == user]
    seen = {row["item_id"] for row in own}
    bought = {row["item_id"] for row in own if row["event_name"] == "purchase"}
    by_ids = run("recommend", demo_bundles, "--history", ",".join(sorted(seen)), "--json").json
    for answer, again in ((from_file, bought), (by_ids, set())):  # ids alone are views
        assert len(answer["items"]) == 10
        assert not (seen - again) & {item["item_id"] for item in answer["items"]}


def test_an_unknown_user_gets_popular_items(run: Run, demo_bundles: Path, demo_shop: Shop) -> None:
    events = demo_shop.config.parent / "events.csv"
    command = ("recommend", demo_bundles, "--user", "nobody", "--events", events)
    ran, warning = run(*command, "--json"), "no events of user 'nobody': answered with popular products"
    answer = ran.json
    assert answer["fallback_used"] == "popular"
    assert len(answer["items"]) == 10
    assert answer["warnings"] == [warning]
    assert ran.err.splitlines() == [warning]
    table = run(*command)
    assert table.err.splitlines() == [warning]
    assert warning not in table.out


@pytest.mark.parametrize("kind", ["similar", "user"])
def test_batch_equals_single_requests(
    run: Run, demo_bundles: Path, demo_shop: Shop, tmp_path: Path, kind: str
) -> None:
    events, out = demo_shop.config.parent / "events.csv", tmp_path / "recs.parquet"
    files = ("--events", events) if kind == "user" else ()
    ran = run("batch", demo_bundles, "--kind", kind, *files, "-k", 3, "--out", out, "--json")
    frame = pd.read_parquet(out)
    name = "users" if kind == "user" else "products"
    asked = frame.iloc[:, 0].nunique()
    assert ran.json.items() >= {"out": str(out), "rows": len(frame), name: asked}.items()
    assert ran.json[f"{name}_per_cpu_second"] > 0
    seed = frame.iloc[0, 0]
    one = ("similar", demo_bundles, seed) if kind == "similar" else ("recommend", demo_bundles, "--user", seed)
    single = run(*one, *files, "-k", 3, "--json").json["items"]
    batch = frame[frame.iloc[:, 0] == seed]
    assert batch["item_id"].tolist() == [item["item_id"] for item in single]
    assert batch["score"].tolist() == pytest.approx([item["score"] for item in single])


def test_metrics_are_printed_as_published(run: Run, demo_bundles: Path) -> None:
    figures = run("evaluate", demo_bundles, "--json").json
    assert figures["evaluation"]
    assert figures["recall"]
    assert "seconds.encoding" in run("evaluate", demo_bundles, "--verbose").out
    if "repeat" not in recommender.load(demo_bundles).weights["user"]:
        refused = run("evaluate", demo_bundles, "--include-history")
        assert refused.code == 2
        assert "--config" in refused.err


def test_the_map_is_a_page_and_nothing_else(run: Run, demo_bundles: Path, tmp_path: Path) -> None:
    ran = run("map", demo_bundles, "--out", tmp_path / "map.png", "--method", "pca")
    assert ran.code == 2
    assert "map.html" in ran.err
    assert not (tmp_path / "map.png").exists()


def test_validate_reports_problems_and_strict_fails(run: Run, demo_shop: Shop, tmp_path: Path) -> None:
    assert run("validate", "--config", demo_shop.config, "--json").code == 0
    broken = tmp_path / "products.csv"
    broken.write_text("id,title,price\nA-1,Chair,10\nA-9,Table,cheap\n")
    ran = run("validate", "--catalog", broken, "--json")
    assert ran.code == 0
    assert "cheap" in json.dumps(ran.json)
    assert run("validate", "--catalog", broken, "--strict").code == 1


def test_init_writes_a_config_that_is_read_and_never_over_another(run: Run, tmp_path: Path) -> None:
    products, out = tmp_path / "products.csv", tmp_path / "shop.toml"
    products.write_text("sku,label,cost\n" + "".join(f"A-{n},Chair of oak no {n},{n}\n" for n in range(20)))
    written = run("init", products, "--out", out)
    assert 'id = "sku"' in written.out
    assert out.read_text() in written.out
    assert run("validate", "--config", out, "--strict").code == 0
    refused = run("init", products, "--out", out)
    assert (refused.code, "--force" in refused.err) == (2, True)
    assert run("init", products, "--out", out, "--force", "--json").json["config"] == out.read_text()


def test_generations_are_listed_rolled_back_and_pruned(run: Run, demo_bundles: Path, tmp_path: Path) -> None:
    (now,) = run("bundles", "list", demo_bundles, "--json").json["generations"]
    assert now["current"]
    rankers = recommender.load(demo_bundles).manifest.metrics["evaluation"]["rankers"]
    own, best = (100 * rankers[name]["all"]["hit_rate"]["mean"] for name in ("hybrid", "popularity"))
    found = f"{own:.1f} of 100 shoppers find, {best:.1f} by best sellers"
    assert run("bundles", "list", demo_bundles).out == f"* {now['generation']}  {now['n']:,} products, {found}\n"
    assert run("bundles", "rollback", demo_bundles).code == 1  # there is no older one
    assert run("bundles", "rollback", demo_bundles, now["generation"], "--json").json == {
        "generation": now["generation"]
    }
    assert run("bundles", "prune", demo_bundles, "--json").json == {"removed": []}
    bundles = shutil.copytree(demo_bundles, tmp_path / "bundles")
    rec = recommender.load(bundles)
    delta = publish_delta(rec, EmbeddedProducts.none(rec), rec.ids[:1])
    newest, first = compact(bundles), now["generation"]
    lines = run("bundles", "list", bundles).out.splitlines()
    assert lines[1] == f"  {delta}  {now['n'] - 1:,} products, {found}, replaced {first}"
    assert lines[2] == f"* {newest}  {now['n'] - 1:,} products, {found}, compacts {delta}"
    assert run("bundles", "rollback", bundles).out.splitlines() == [
        f"{first} is current",
        f"taken back: {newest}, which its name makes current again",
        "this is the oldest",
    ]
