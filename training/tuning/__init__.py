"""Tunes the weights of the score and other settings on held-out interactions."""
