"""Trains the behaviour block and the sequence model of the user tower."""
