"""Exports the ensemble of sequence models: behaviour vectors, their predictor, and an ONNX graph."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from recommender.core.blocks import Float, Mask
from recommender.towers.behaviour import BehaviourPredictor
from recommender.towers.sequence import WINDOW, SequenceTower
from training.behaviour.ensemble import EnsembleMember
from training.behaviour.sequence_model import SequenceModel
from training.behaviour.sequences import Sequences
from training.checkpoint import Weights

TRANSFORMERS = "behaviour_transformers.safetensors"  # in the part of the towers


@dataclass(frozen=True)
class Behaviour:
    """The trained behaviour block.

    Parameters
    ----------
    vectors
        Behaviour blocks scaled so that the longest has norm 1, shape (n, d_b).
    known
        Which products have events, shape (n,).
    predictor
        Predicts the block of a product without events from its content.
    tower
        Computes the behaviour block of a query from a history.
    share
        Share of the schedule after which the validation score was best, in (0, 1].
    transformers
        Weights of each member's transformer, from which a later training continues: those of its items are parts
        of `vectors` and `predictor`.
    scale
        By which vectors and predictor were divided.
    metrics
        The ``loss`` curve of the first member, and the ``validation`` scores by ``share`` of the schedule.
    """

    vectors: Float
    known: Mask
    predictor: BehaviourPredictor
    tower: SequenceTower
    share: float
    transformers: tuple[Weights, ...]
    scale: float
    metrics: dict[str, Any] = field(default_factory=dict)

    def save_transformers(self, folder: Path) -> None:
        """Write what a later training continues from, beside the towers, to the folder of a bundle part."""
        named = {f"{member}.{name}": w for member, ws in enumerate(self.transformers) for name, w in ws.items()}
        save_file(named | {"scale": torch.tensor(self.scale)}, folder / TRANSFORMERS)


def export_behaviour(members: Sequence[EnsembleMember], sequences: Sequences, share: float) -> Behaviour:
    """Export the members as one model; the members can go on training afterwards.

    Parameters
    ----------
    members
        Of the ensemble.
    sequences
        Their training data: the longest window is the example by which the graph is traced and scaled.
    share
        See `Behaviour`.
    """
    models, known_rows = [member.model.eval().cpu() for member in members], members[0].learned
    with torch.inference_mode():
        vectors = torch.cat([_all_vectors(model, known_rows) for model in models], dim=1)
        max_norm = float(vectors.norm(dim=1).max())
        batch = sequences.pad(np.argsort(-sequences.lengths, kind="stable")[:1])
        ensemble = _Ensemble(models, max_norm, 1.0).eval()
        scaled = vectors / max_norm
        inputs = (scaled[batch.rows.clamp(min=0)], batch.kinds, batch.gaps)
        example = tuple(tensor[:, :WINDOW] for tensor in inputs)
        ensemble.query_norm = float(ensemble(*example).norm(dim=1).mean())
        tables = torch.cat([model.values.weight for model in models], dim=1)
        matrices = torch.cat([_dense_matrix(model) for model in models], dim=1)
        predictor = BehaviourPredictor((matrices / max_norm).numpy(), (tables / max_norm).numpy())
        tower = SequenceTower.of(_to_onnx(ensemble, example), sequences.names)
        known = np.isin(np.arange(len(scaled)), known_rows)
        transformers = tuple(model.transformer_state() for model in models)
        behaviour = Behaviour(scaled.numpy(), known, predictor, tower, share, transformers, max_norm)
    for member in members:
        member.model.to(member.device)
    return behaviour


@torch.no_grad()
def continue_from(members: Sequence[EnsembleMember], start: Behaviour) -> None:
    """Give new members the weights of an ensemble that was trained before, on the same products.

    Its item vectors stay what they were, also where a product's content has changed since.
    """
    blocks = np.split(start.vectors * np.float32(start.scale), len(members), axis=1)
    tables = np.split(start.predictor.table * np.float32(start.scale), len(members), axis=1)
    matrices = np.split(start.predictor.matrix * np.float32(start.scale), len(members), axis=1)
    known = np.flatnonzero(start.known)
    parts = zip(members, start.transformers, blocks, tables, matrices, strict=True)
    for member, transformer, block, table, matrix in parts:
        model = member.model.cpu()
        kinds = model.kind.weight.clone()
        model.load_state_dict(transformer | {"kind.weight": kinds}, strict=False)
        trained = dict(zip(start.tower.kinds, transformer["kind.weight"][1:], strict=True))
        for number, name in enumerate(member.sequences.names, 1):
            if name in trained:
                model.kind.weight[number] = trained[name]
        model.values.weight[: len(table)] = torch.from_numpy(table)
        if model.dense is not None:
            model.dense.weight.copy_(torch.from_numpy(matrix.T))
        rows = torch.from_numpy(known)
        model.ids.weight[rows] = torch.from_numpy(block[known]) - model.content_vectors(rows)
        member.learned = np.union1d(member.known, known)
        model.to(member.device)


class _Ensemble(nn.Module):
    """The members as one graph: their blocks are concatenated, and the last event gives the query."""

    def __init__(self, models: list[SequenceModel], max_norm: float, query_norm: float) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.max_norm, self.query_norm = max_norm, query_norm

    def forward(self, vectors: Tensor, kinds: Tensor, gaps: Tensor) -> Tensor:
        blocks = (vectors * self.max_norm).chunk(len(self.models), dim=2)
        queries = [model(block, kinds, gaps)[:, -1] for model, block in zip(self.models, blocks, strict=True)]
        return torch.cat(queries, dim=1) / self.query_norm


def _all_vectors(model: SequenceModel, known: np.ndarray) -> Tensor:
    """Return the vectors of all products; those without events have no id embedding."""
    rows = torch.arange(model.ids.num_embeddings)
    vectors = model.content_vectors(rows)
    vectors[known] += model.ids.weight[known]
    return vectors


def _dense_matrix(model: SequenceModel) -> Tensor:
    if model.dense is None:
        return torch.zeros(0, model.ids.embedding_dim)
    return model.dense.weight.T


def _to_onnx(ensemble: nn.Module, example: tuple[Tensor, ...]) -> bytes:
    file = io.BytesIO()
    names = ["vectors", "kinds", "gaps"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its age; the new one needs a further package
        torch.onnx.export(
            ensemble,
            example,
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=names,
            output_names=["output"],
            dynamic_axes={name: {0: "b", 1: "t"} for name in names} | {"output": {0: "b"}},
        )
    return file.getvalue()
