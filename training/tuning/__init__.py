"""Tunes the weights of the score and other hyperparameters on held-out interactions."""
