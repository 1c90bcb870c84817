"""The benchmarks, a module each; their options are in `recommender/commands/benchmark.py`."""
