"""`recommender evaluate --off-policy`: estimate other weights, strategies or policies from a log."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from recommender.commands.shared import emit

if TYPE_CHECKING:
    import pandas as pd

    from recommender.evaluation import OffPolicyReport

COLUMNS = ("value", "low", "high", "difference", "difference_low", "difference_high")
SIZES = ("effective_sample_size", "effective_clusters", "mean_weight")


def estimate_from_log(
    log_file: Path,
    bundles: Path | None,
    policy_file: Path | None,
    store: str | None,
    changes: dict[str, Any],
    reward: str,
    as_json: bool,
) -> None:
    """Estimate a policy from a log: that of a file, or what a bundle shows in the place of the logged answers."""
    from recommender.evaluation import off_policy
    from recommender.evaluation.answer_log import read_frame

    if (bundles is None) == (policy_file is None):
        raise typer.BadParameter("--off-policy needs BUNDLES to ask again, or --policy with its probabilities")
    log = read_frame(log_file)
    if policy_file is not None:
        policies = {policy_file.stem: read_frame(policy_file)}
    else:
        assert bundles is not None
        named = ", ".join(f"{name} {value}" for name, value in changes.items())
        policies = {named or "without exploration": _replayed(bundles, log, store, changes)}
    report = off_policy(log, policies, reward=reward)
    emit(_document(report), show_estimates(report), as_json)


def _replayed(bundles: Path, log: "pd.DataFrame", store: str | None, changes: dict[str, Any]) -> "pd.DataFrame":
    import pandas as pd

    from recommender.progress import progress
    from recommender.recommender import load
    from recommender.stores import open_store
    from serving.replay import StoredHistories, replay

    if "request" not in log.columns or "recommendation_id" not in log.columns:
        raise typer.BadParameter("the log has no requests to ask again; give --policy in the place of BUNDLES")
    histories = StoredHistories(())
    if store is not None:
        with open_store(store) as live:
            histories = StoredHistories(live.events.scan())
    first = log[log["request"] != ""]
    answers = first.assign(timestamp=pd.to_datetime(first["timestamp"], utc=True, format="ISO8601"))
    records: list[Any] = answers.to_dict("records")
    rows = progress(records, "answers", unit="answer")
    return pd.DataFrame(replay(load(bundles), rows, histories, changes))


def _document(report: "OffPolicyReport") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(report)


def show_estimates(report: "OffPolicyReport") -> str:
    """Return the estimates as a table, with notes."""
    frame = report.to_frame()[[*COLUMNS, *SIZES]]
    head = f"{report.reward} per shown product; {report.rows:,} rows, {report.clusters:,} clusters"
    table = frame.to_string(float_format=lambda value: f"{value:.4g}", na_rep="")
    return "\n".join([head, table, *(f"note: {warning}" for warning in report.warnings)])
