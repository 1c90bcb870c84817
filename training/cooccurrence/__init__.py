"""Counts what is bought and viewed together, and predicts it for rare products."""
