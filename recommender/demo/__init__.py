"""A synthetic shop from a seed: drawn products, and users with known tastes."""
