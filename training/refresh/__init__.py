"""Counts new events into a bundle without training: co-occurrence, complementary products and popularity."""
