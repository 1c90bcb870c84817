"""Trains the co-occurrence table C and the complementary products."""
