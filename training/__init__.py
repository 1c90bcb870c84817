"""Learns weights from a shop's products and events, and publishes bundles."""
