"""Off-policy estimates: of policies whose truth is known, and what they say where a log cannot tell."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from recommender.cli import app
from recommender.commands.benchmarks.protocols.off_policy import SHOPS, SimulatedLogs, covered
from recommender.errors import DataError
from recommender.evaluation import off_policy
from recommender.evaluation.delta_method import Ratio

SHOP = SimulatedLogs.draw(3, visits=300, rate=0.1, logging=1.5, evaluated=1.0, items=8)


def uniform_log(rows: int = 400, items: int = 4, seed: int = 0) -> pd.DataFrame:
    """Items drawn evenly at two positions; item 0 is clicked always, the others never."""
    rng = np.random.default_rng(seed)
    item = rng.integers(items, size=rows)
    return pd.DataFrame(
        {
            "recommendation_id": np.repeat(np.arange(rows // 2), 2),
            "position": np.tile([1, 2], rows // 2),
            "item_id": [f"i{each}" for each in item],
            "propensity": 1 / items,
            "click": (item == 0).astype(float),
        }
    )


def always(item: str) -> pd.DataFrame:
    return pd.DataFrame({"item_id": [item], "probability": [1.0]})


def test_a_policy_that_shows_what_is_clicked_is_found() -> None:
    report = off_policy(uniform_log(), {"best": always("i0"), "worst": always("i1")})
    assert report.of("best").value == 1
    assert report.of("worst").value == 0
    assert report.of("best", "DR").low > report.of("logged", "mean").high
    assert report.of("worst", "DR").high < report.of("logged", "mean").low
    assert report.of("best").difference_low > 0 > report.of("worst").difference_high
    assert report.of("best").mean_weight == pytest.approx(1, abs=0.25)
    assert [*report.to_frame().index] == [
        ("logged", "mean"),
        *[(policy, estimator) for policy in ("best", "worst") for estimator in ("SNIPS", "DR")],
    ]


def test_the_logging_policy_is_estimated_as_it_is() -> None:
    log, _ = SHOP.log(0)
    contexts, items = np.indices(SHOP.logging.shape).reshape(2, -1)
    same = {"recommendation_id": contexts, "item_id": items, "probability": SHOP.logging.ravel()}
    report = off_policy(log, {"same": pd.DataFrame(same)})
    logged, snips = report.of("logged", "mean"), report.of("same")
    assert logged.value == log["click"].mean() == pytest.approx(snips.value)
    assert (snips.std_error, snips.difference) == pytest.approx((logged.std_error, 0))
    assert snips.effective_sample_size == pytest.approx(len(log))


def test_snips_and_its_error_agree_with_a_count_by_hand() -> None:
    log, policy = SHOP.log(1)
    chance = {(row.recommendation_id, row.item_id): row.probability for row in policy.itertuples()}
    total = weighted = 0.0
    by_session: dict[int, list[tuple[float, float]]] = {}
    for row in log.itertuples():
        weight = chance[row.recommendation_id, row.item_id] / row.propensity
        total, weighted = total + weight, weighted + weight * row.click
        by_session.setdefault(row.session_id, []).append((weight, row.click))
    value = weighted / total
    squares = [sum(w * (click - value) for w, click in rows) ** 2 for rows in by_session.values()]
    report = off_policy(log, {"evaluated": policy})
    assert report.clusters == len(by_session)
    assert report.of("evaluated").value == pytest.approx(value)
    n = len(by_session)
    assert report.of("evaluated").std_error == pytest.approx((n / (n - 1) * sum(squares)) ** 0.5 / total)


def test_both_estimators_have_no_bias() -> None:
    reports = [off_policy(log, {"e": policy}) for log, policy in map(SHOP.log, range(40))]
    for estimator in ("SNIPS", "DR"):
        values = np.array([report.of("e", estimator).value for report in reports])
        assert abs(values.mean() - SHOP.truth) < 4 * values.std() / len(values) ** 0.5
        logged = np.mean([report.of("logged", "mean").value for report in reports])
        assert abs(values.mean() - SHOP.truth) < abs(logged - SHOP.truth) / 4  # the log's own mean is another


def test_answers_of_one_session_are_no_independent_evidence() -> None:
    log = uniform_log()
    twice = pd.concat([log, log]).assign(session_id=lambda rows: rows["recommendation_id"])
    once = off_policy(log, {"best": always("i2")})
    assert off_policy(twice, {"best": always("i2")}).of("logged", "mean").std_error == pytest.approx(
        once.of("logged", "mean").std_error
    )


def test_what_the_log_never_shows_is_said() -> None:
    half = pd.DataFrame({"item_id": ["i0", "never shown"], "probability": [0.5, 0.5]})
    report = off_policy(uniform_log(), {"half": half})
    assert report.of("half").mean_weight == pytest.approx(0.5, abs=0.1)
    assert any("no support" in warning for warning in report.warnings)
    rare = uniform_log(2000).assign(click=0.0)
    rare.loc[:2, "click"] = 1.0
    few = off_policy(rare, {"even": pd.DataFrame({"item_id": [f"i{n}" for n in range(4)], "probability": 0.25})})
    assert any("effective clusters" in warning for warning in few.warnings)
    assert (
        off_policy(uniform_log(), {"best": always("i0").assign(position=1)})
        .warnings[0]
        .startswith("best: 200 rows are left out")
    )


def test_a_few_heavy_clusters_make_the_interval_wide() -> None:
    values = np.zeros(1000)
    values[:2] = 1.0
    few = Ratio.of(values, np.ones(1000), np.arange(1000))
    low, high = few.interval()
    assert few.effective_clusters == pytest.approx(2, abs=0.01)
    assert high - low > 2 * 10 * few.std_error


def test_no_click_at_all_is_no_certainty() -> None:
    report = off_policy(uniform_log(), {"worst": always("i1")})
    worst = report.of("worst")
    assert (worst.value, worst.low) == (0, 0)
    assert worst.high == pytest.approx(3 / worst.effective_sample_size)
    assert any("effective clusters" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log: log.rename(columns={"propensity": "propensities"}), "did you mean 'propensities'"),
        (lambda log: log.assign(propensity=0.0), "propensity is 0 in row 0"),
        (lambda log: log.assign(propensity=1.5), "at most 1"),
        (lambda log: log.assign(click=[None, *log["click"][1:]]), "no click in row 0"),
        (lambda log: log[:0], "no rows"),
    ],
)
def test_wrong_logs_are_refused(change, message) -> None:
    with pytest.raises(DataError, match=message):
        off_policy(change(uniform_log()), {"best": always("i0")})


def test_wrong_policies_are_refused() -> None:
    for policy, message in (
        (always("i0").assign(probability=0.4), "sum to 0.4"),
        (always("i0").assign(position=9), "no position of the log"),
        (pd.DataFrame({"item_id": ["i0"]}), "no column 'probability'"),
    ):
        with pytest.raises(DataError, match=message):
            off_policy(uniform_log(), {"best": policy})


def test_the_benchmark_reads_two_logs_of_one_shop(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rates = np.linspace(0.02, 0.4, 6)
    policies = {"random": np.full(6, 1 / 6), "bts": rates / rates.sum()}
    for campaign in ("men", "women"):
        for name, chances in policies.items():
            item = rng.choice(6, 4000, p=chances)
            log = {"item_id": item, "position": 1, "click": rng.random(4000) < rates[item]}
            frame = pd.DataFrame({**log, "propensity_score": chances[item]}).astype({"click": int})
            frame.to_csv(tmp_path / f"{name}_{campaign}.csv", index=False)
    run = ["benchmark", "quality", "off-policy", "--data", str(tmp_path), "--runs", "1"]
    figures = json.loads(CliRunner().invoke(app, [*run, "--json"], catch_exceptions=False).stdout)
    assert len(figures["estimates"]) == 4
    for found in figures["estimates"].values():
        assert found["rows"]["SNIPS"]["value"] == pytest.approx(found["rows"]["truth"]["value"], rel=0.15)
    shown = CliRunner().invoke(app, run, catch_exceptions=False).stdout
    assert "women: random estimated from the log of bts" in shown
    (tmp_path / "bts_men.csv").unlink()
    with pytest.raises(DataError, match=r"bts_men\.csv is missing"):
        CliRunner().invoke(app, run, catch_exceptions=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["many clicks", "few clicks"])
def test_intervals_hold_the_truth_as_often_as_they_say(name: str) -> None:
    figures = covered(SimulatedLogs.draw(0, **SHOPS[name]), 500)
    assert 0.92 <= figures["SNIPS"] <= 0.98
    assert 0.92 <= figures["DR"] <= 0.98
