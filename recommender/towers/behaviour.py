"""Predict the behaviour block of products without events from their content and columns."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from recommender.core.blocks import Float, Layout
from recommender.towers.category import ColumnVocabulary, bag
from recommender.towers.words import COLUMN, WordVocabulary

CONTENT = ("image", "text")
WORDS_FILE = "behaviour_words.json"


@dataclass(frozen=True)
class BehaviourPredictor:
    """The content part of behaviour vectors, trained with dropout of the part that is learned per product.

    behaviour(x) = [image(x) ‖ text(x)] matrix + Σ_v weight_v table_v over the values of its columns and the words
    of its text, as in LightFM (Kula, 2015); the dropout is that of DropoutNet (Volkovs et al., NeurIPS 2017). Its
    norm, relative to that of products with many events, is the confidence.

    Parameters
    ----------
    matrix
        Shape (d_image + d_text, d_b).
    table
        One row for each row of the category embedding, then for each of the words, shape (rows, d_b).
    words
        Those of the texts in training, if there were any.
    """

    matrix: Float
    table: Float
    words: WordVocabulary | None = None

    def predict(
        self,
        vectors: Float,
        layout: Layout,
        vocabularies: Sequence[ColumnVocabulary],
        columns: Mapping[str, Sequence[Any]],
        tokens: Sequence[Sequence[str]] | None = None,
    ) -> Float:
        """Return the predicted behaviour block of b items, norm at most 1, shape (b, d_b).

        Parameters
        ----------
        vectors
            Item vectors whose image and text are filled, shape (b, d).
        vocabularies, columns
            The cells of the items, and the vocabularies of their columns.
        tokens
            Those of the items' texts, see `ItemInputs.words`.
        """
        predicted = content_of(vectors, layout) @ self.matrix
        if vocabularies or self.words:
            cells = {COLUMN: tokens or [()] * len(vectors), **columns}
            bags = bag((*vocabularies, *((self.words,) if self.words else ())), cells)
            predicted = predicted + np.add.reduceat(
                self.table[bags.entries] * bags.weights[:, None], bags.starts, axis=0
            )
        norm = np.linalg.norm(predicted, axis=1, keepdims=True)
        return (predicted / np.maximum(norm, 1.0)).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the predictor to the folder of a bundle part, as safetensors and JSON."""
        arrays = {"matrix": self.matrix, "table": self.table}
        if self.words is not None:
            arrays["word_weights"] = self.words.weights
            (folder / WORDS_FILE).write_text(json.dumps(self.words.words, ensure_ascii=False), "utf-8")
        save_file(arrays, folder / "behaviour.safetensors")

    @classmethod
    def open(cls, path_of: Callable[[str], Path], files: Sequence[str]) -> "BehaviourPredictor":
        """Open a saved predictor; bundles up to version 0.2 have no words."""
        arrays = load_file(path_of("behaviour.safetensors"))
        vocabulary = None
        if WORDS_FILE in files:
            known = tuple(json.loads(path_of(WORDS_FILE).read_text("utf-8")))
            vocabulary = WordVocabulary(len(arrays["table"]) - len(known) - 1, known, arrays["word_weights"])
        return cls(arrays["matrix"], arrays["table"], vocabulary)


def content_of(vectors: Float, layout: Layout) -> Float:
    """Return the image and text blocks that the layout has, concatenated, shape (b, d_image + d_text)."""
    slices = [layout.slices[name] for name in CONTENT if name in layout.slices]
    return np.concatenate([np.empty((len(vectors), 0), np.float32), *(vectors[:, s] for s in slices)], axis=1)
