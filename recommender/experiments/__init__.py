"""Experiments: compare the arms of an A/B test, which may be looked at on any day, and plan one."""

from recommender.experiments.compare import ArmEffect, ExperimentResult, compare
from recommender.experiments.power import Plan, plan
from recommender.experiments.sample_ratio import SampleRatio, sample_ratio
from recommender.experiments.sequential import confidence_sequence, p_value

__all__ = [
    "ArmEffect",
    "ExperimentResult",
    "Plan",
    "SampleRatio",
    "compare",
    "confidence_sequence",
    "p_value",
    "plan",
    "sample_ratio",
]
