"""The score: blocks, item vectors, co-occurrence, weights and the exact sum."""
