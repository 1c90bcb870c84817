"""The sequence model: its loss, its dropout, and trainings that continue an earlier one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from training.behaviour.loss import BLOCK, SampledSoftmax
from training.behaviour.sequence_model import Dropout


def vectors(generator: np.random.Generator, size: int) -> Tensor:
    return torch.from_numpy(generator.normal(size=(size, 5))).requires_grad_()


def plain_loss(queries: Tensor, positives: Tensor, negatives: Tensor, same: Tensor, draws: float) -> Tensor:
    """The same with all scores at once, for autograd."""
    scores = queries @ negatives.T + np.log(draws)
    scores = scores.masked_fill(same[:, None] == torch.arange(len(negatives)), float("-inf"))
    scores = torch.cat([(queries * positives).sum(dim=1, keepdim=True), scores], dim=1)
    return F.cross_entropy(scores, torch.zeros(len(queries), dtype=torch.long))


@given(
    st.sampled_from([1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7]),
    st.integers(1, 40),
    st.floats(0.01, 100.0),
    st.integers(0, 1_000),
)
def test_the_loss_and_its_gradients_are_those_of_cross_entropy(p: int, m: int, draws: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    inputs = vectors(generator, p), vectors(generator, p), vectors(generator, m)
    same = torch.from_numpy(generator.integers(-1, m, p))
    found = SampledSoftmax.apply(*inputs, same, draws)
    gradients = torch.autograd.grad(3 * found, inputs)
    expected = plain_loss(*inputs, same, draws)
    torch.testing.assert_close(found, expected)
    for gradient, wanted in zip(gradients, torch.autograd.grad(3 * expected, inputs), strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_dropout_retains_the_mean_and_is_its_generators() -> None:
    values = torch.ones(401, 499)
    dropout = Dropout(0.4, np.random.default_rng(1))
    dropped = dropout(values)
    share = 102 / 256
    assert (dropped == 0).float().mean() == pytest.approx(share, abs=0.01)
    assert dropped.max() == pytest.approx(1 / (1 - share))
    assert not torch.equal(dropout(values), dropped)
    torch.testing.assert_close(Dropout(0.4, np.random.default_rng(1))(values), dropped, rtol=0, atol=0)
    assert dropout.eval()(values) is values
