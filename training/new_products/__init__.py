"""New products: the predicted prior and the factors of products without events."""
