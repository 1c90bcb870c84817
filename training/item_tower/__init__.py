"""Trains the item tower: content blocks, category embeddings, alignment and imputation."""
