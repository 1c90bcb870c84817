"""The protocols of `recommender benchmark quality`, a module each; all measure a bundle that `fit` published."""
