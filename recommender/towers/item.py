"""The item tower: from encoder vectors and columns to the blocks of an item."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from recommender.core.blocks import Float, Layout, Mask, unit
from recommender.towers.behaviour import BehaviourPredictor
from recommender.towers.category import CategoryEmbedding
from recommender.towers.content import ContentBlock
from recommender.towers.predictor import BlockPredictor
from recommender.towers.projection import AlignedProjection


@dataclass(frozen=True)
class ItemInputs:
    """The inputs of b items.

    Parameters
    ----------
    image, text
        Encoder vectors, shape (b, d_e); None if no item has the modality.
    has_image, has_text
        Shape (b,).
    columns
        Column name to b cells.
    words
        The tokens of each item's text, length b; None where there are no texts.
    colors
        Colour histograms of the photos, shape (b, d_c); None without photos.
    """

    image: Float | None
    has_image: Mask
    text: Float | None
    has_text: Mask
    columns: Mapping[str, Sequence[Any]]
    words: Sequence[Sequence[str]] | None = None
    colors: Float | None = None

    @property
    def b(self) -> int:
        """Number of items."""
        return len(self.has_image)


@dataclass(frozen=True)
class ItemTower:
    """Computes item vectors: each block from its inputs, missing blocks imputed from the others.

    Parameters
    ----------
    layout
        The blocks of the bundle.
    content
        The blocks of the modalities 'image' and 'text' that the shop has.
    projection
        Contrastive projections over an unaligned encoder; None with an aligned encoder or too few pairs.
    category
        The trained embedding of the columns, if there are columns.
    predictor
        Fills missing image, text and category blocks.
    behaviour
        Predicts the behaviour block of products without events; None without events.
    """

    layout: Layout
    content: Mapping[str, ContentBlock]
    projection: AlignedProjection | None
    category: CategoryEmbedding | None
    predictor: BlockPredictor
    behaviour: BehaviourPredictor | None = None

    def present_blocks(self, inputs: ItemInputs) -> tuple[Float, Mask]:
        """Return the blocks that the inputs give, zero where missing.

        Returns
        -------
        tuple
            Vectors, shape (b, d), and which blocks are present, shape (b, M).
        """
        vectors = np.zeros((inputs.b, self.layout.d), dtype=np.float32)
        present = np.zeros((inputs.b, len(self.layout.names)), dtype=bool)
        for name, block in self.content.items():
            encoded, has = getattr(inputs, name), getattr(inputs, f"has_{name}")
            if encoded is not None:
                values = block.vectors(encoded, self._project(name, encoded), inputs.colors) * has[:, None]
                vectors[:, self.layout.slices[name]] = values
                present[:, self.layout.index(name)] = has & values.any(axis=1)
        if self.category is not None:
            values, known = self.category.vectors(inputs.columns)
            vectors[:, self.layout.slices["category"]] = values
            present[:, self.layout.index("category")] = known & values.any(axis=1)
        return vectors, present

    def blocks(self, inputs: ItemInputs) -> tuple[Float, Mask]:
        """Return vectors with missing blocks imputed, shape (b, d), and which are present, shape (b, M)."""
        vectors, present = self.present_blocks(inputs)
        filled = self.predictor.fill(vectors, present)
        if self.behaviour is not None:
            vocabularies = () if self.category is None else self.category.vocabularies
            predicted = self.behaviour.predict(filled, self.layout, vocabularies, inputs.columns, inputs.words)
            filled[:, self.layout.slices["behaviour"]] = predicted
        return filled, present

    @property
    def sees_colors(self) -> bool:
        """Whether the image block has a part for the colours of photos."""
        return "image" in self.content and len(self.content["image"].color_mean) > 0

    def query(self, modality: str, encoded: Float, aligned: bool, colors: Float | None = None) -> Float:
        """Return the query vector of a text or an image, shape (d,).

        It sets the block of its modality, and with an aligned space also that of the other.

        Parameters
        ----------
        modality
            'text' or 'image'.
        encoded
            The encoder's vector, shape (1, d_e).
        aligned
            Whether the encoder's own text and image vectors share one space.
        colors
            The colour histogram of an image, shape (1, d_c), if the tower `sees_colors`.
        """
        vector = np.zeros((1, self.layout.d), dtype=np.float32)
        projected = self._project(modality, encoded)
        other = "image" if modality == "text" else "text"
        block = self.content.get(modality)
        if block is not None:
            vector[:, self.layout.slices[modality]] = block.vectors(encoded, projected, colors)
        if block is not None and other in self.content and (projected is not None or aligned):
            mean = block.mean if projected is None else block.aligned_mean
            vector[:, self.layout.slices[other]] = self.content[other].from_other(encoded, projected, mean)
        return vector[0]

    def _project(self, modality: str, encoded: Float) -> Float | None:
        if self.projection is None:
            return None
        return unit(getattr(self.projection, modality)(encoded))

    def save(self, folder: Path) -> None:
        """Write the tower to the folder of a bundle part, as safetensors and JSON."""
        for name, block in self.content.items():
            save_file(block.to_arrays(), folder / f"{name}_block.safetensors")
        if self.projection is not None:
            save_file(self.projection.to_arrays(), folder / "projection.safetensors")
        if self.category is not None:
            save_file({"table": self.category.table, "mean": self.category.mean}, folder / "category.safetensors")
            (folder / "category.json").write_text(json.dumps(self.category.to_dict()), "utf-8")
        save_file(self.predictor.to_arrays(), folder / "predictor.safetensors")
        if self.behaviour is not None:
            self.behaviour.save(folder)

    @classmethod
    def open(cls, path_of: Callable[[str], Path], files: Sequence[str], layout: Layout) -> "ItemTower":
        """Open a saved tower; `files` are the names of the part's files."""
        content = {
            name: ContentBlock.from_arrays(load_file(path_of(f"{name}_block.safetensors")))
            for name in ("image", "text")
            if f"{name}_block.safetensors" in files
        }
        projection = (
            AlignedProjection.from_arrays(load_file(path_of("projection.safetensors")))
            if "projection.safetensors" in files
            else None
        )
        category = None
        if "category.json" in files:
            arrays = load_file(path_of("category.safetensors"))
            exported = json.loads(path_of("category.json").read_text("utf-8"))
            category = CategoryEmbedding.from_exported(exported, arrays["table"], arrays["mean"])
        predictor = BlockPredictor.from_arrays(load_file(path_of("predictor.safetensors")), layout)
        behaviour = BehaviourPredictor.open(path_of, files) if "behaviour.safetensors" in files else None
        return cls(layout, content, projection, category, predictor, behaviour)
