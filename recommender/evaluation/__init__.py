"""Measures recommendations: one module for fit, the command line, benchmarks and notebooks.

Full ranking over all items, the history masked, ties by id; intervals by a paired bootstrap over customers.
"""

from recommender.evaluation.evaluate import evaluate
from recommender.evaluation.report import EvaluationReport
from recommender.evaluation.table import table

__all__ = ["EvaluationReport", "evaluate", "table"]
