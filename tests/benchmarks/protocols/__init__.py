"""The protocols of `quality.py`: one module each, every figure through fit, bundle and `Recommender`."""
