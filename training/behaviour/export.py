"""Exports the ensemble of sequence models: behaviour vectors, their predictor, and an ONNX graph."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.core.blocks import Float, Mask
from recommender.towers.behaviour import BehaviourPredictor
from recommender.towers.sequence import WINDOW, SequenceTower
from training.behaviour.ensemble import EnsembleMember
from training.behaviour.sequence_model import SequenceModel
from training.behaviour.sequences import Sequences


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
    metrics
        The ``loss`` curve of the first member, and the ``validation`` scores by ``share`` of the schedule.
    """

    vectors: Float
    known: Mask
    predictor: BehaviourPredictor
    tower: SequenceTower
    share: float
    metrics: dict[str, Any] = field(default_factory=dict)


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
    models, known_rows = [member.model.eval().cpu() for member in members], members[0].known
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
        behaviour = Behaviour(scaled.numpy(), known, predictor, tower, share)
    for member in members:
        member.model.to(member.device)
    return behaviour


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
