"""A small shop made from a seed: drawn products, and shoppers whose tastes are known."""
