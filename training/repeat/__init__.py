"""Learns what users buy again, and when it is due."""
