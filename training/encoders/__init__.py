"""Chooses, fine-tunes, trains and quantizes encoders."""
