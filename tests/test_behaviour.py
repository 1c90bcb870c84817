"""The sequence model: its loss, its dropout and its validation score."""

from pickle import dumps, loads

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from recommender.catalog import Catalog, Interactions
from recommender.events import EVENT_WEIGHTS
from recommender.towers.sequence import WINDOW
from recommender.towers.user import UserTower
from training.behaviour.loss import BLOCK, SampledSoftmax
from training.behaviour.on_ray import cpus_of_a_member
from training.behaviour.sequence_model import Dropout, ItemContent, SequenceModel
from training.behaviour.sequences import Batch, Sequences
from training.behaviour.train import train_sequence_models
from training.behaviour.validation import Validation
from training.tuning.held_out import user_cases
from training.tuning.weights import soft_recall


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


@pytest.mark.parametrize("dense", [0, 6])
def test_mixed_precision_rounds_the_loss_and_its_gradients(dense: int) -> None:
    """As on a GPU, but on this processor: bfloat16 has three decimal digits."""
    generator = np.random.default_rng(0)
    content = ItemContent.of(generator.normal(size=(50, dense)).astype(np.float32), None, 0)
    torch.manual_seed(0)
    model = SequenceModel(50, 2, content, np.random.default_rng(0)).eval()
    rows, kinds, gaps = (torch.from_numpy(generator.integers(1, high, (16, 9))) for high in (50, 3, 5))
    batch, negatives = Batch(rows, kinds, gaps), torch.arange(0, 50, 2)
    found = {}
    for mixed in (False, True):
        model.zero_grad()
        loss = model.loss(batch, negatives, mixed=mixed)
        loss.backward()
        gradients = torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
        found[mixed] = loss.detach(), gradients
    assert found[True][1].dtype == torch.float32
    assert not torch.equal(found[True][0], found[False][0])
    torch.testing.assert_close(found[True][0], found[False][0], rtol=1e-2, atol=0)
    assert torch.cosine_similarity(found[True][1], found[False][1], dim=0) > 0.99


@pytest.mark.parametrize(
    ("cpus", "each"),
    [([16, 16, 16, 16], 16), ([16, 16], 8), ([16], 5), ([0, 8, 8, 2], 4), ([1, 1], 1 / 3), ([1], 1 / 3)],
)
def test_members_get_as_many_cores_as_leave_room_for_all(cpus: list[float], each: float) -> None:
    assert cpus_of_a_member(cpus) == each


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


def test_the_validation_score_is_the_mean_of_its_cases() -> None:
    """Histories of one length are answered together; of long ones the latest events count."""
    shop = Catalog.from_frame(pd.DataFrame({"id": [f"p{row:02}" for row in range(30)], "title": "t"}))
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, WINDOW + 9, 200)
    frame = pd.DataFrame(
        {
            "user_id": np.repeat([f"u{user}" for user in range(200)], lengths),
            "item_id": np.array(shop.ids)[generator.integers(0, 30, lengths.sum())],
            "event_name": generator.choice(["purchase", "view_item", "dismiss"], lengths.sum()),
            "timestamp": pd.Timestamp("2026-01-01") + pd.to_timedelta(generator.permutation(lengths.sum()), "h"),
        }
    )
    events = Interactions.from_frame(frame, shop)
    content = ItemContent.of(np.zeros((30, 0), np.float32), None, 0)
    behaviour = train_sequence_models(Sequences.of(events), content, seed=0)
    assert behaviour is not None
    moment = events.frame["timestamp"].quantile(0.5)
    cases = user_cases(events.before(moment), events.since(moment), 0, repeats=True)
    tower, recalls = UserTower(EVENT_WEIGHTS), []
    for case in cases:
        steps, liked = case.steps, tower.positive(case.steps)
        if len(liked):
            names = [steps.names[step] for step in liked]
            query = behaviour.tower.query(behaviour.vectors[steps.rows[liked]], names, steps.times[liked])
            recalls.append(soft_recall(behaviour.vectors @ query, case.targets))
    assert len(recalls) > 20
    assert Validation.of(cases).score(behaviour) == pytest.approx(np.mean(recalls), abs=1e-4)
    assert Validation.of([]).score(behaviour) == 0.0
    sent = loads(dumps(behaviour))
    assert Validation.of(cases).score(sent) == Validation.of(cases).score(behaviour), "as on another machine"
