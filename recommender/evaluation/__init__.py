"""Evaluate recommendations: used by fit, the command line, benchmarks and notebooks.

Full ranking over all items, items of the history masked, ties by id; intervals by a paired bootstrap over users.
"""

from recommender.evaluation.ablation import Ablation
from recommender.evaluation.bootstrap import Interval, Intervals, bootstrap
from recommender.evaluation.comparison import ChangedAnswer, Comparison
from recommender.evaluation.evaluate import evaluate
from recommender.evaluation.off_policy import OffPolicyEstimate, OffPolicyReport, off_policy
from recommender.evaluation.report import EvaluationReport
from recommender.evaluation.stored import PairedDifference, StoredEvaluation, paired
from recommender.evaluation.table import table

__all__ = [
    "Ablation",
    "ChangedAnswer",
    "Comparison",
    "EvaluationReport",
    "Interval",
    "Intervals",
    "OffPolicyEstimate",
    "OffPolicyReport",
    "PairedDifference",
    "StoredEvaluation",
    "bootstrap",
    "evaluate",
    "off_policy",
    "paired",
    "table",
]
