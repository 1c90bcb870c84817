"""The contrastive projections find a planted alignment, and only where there is one."""

import numpy as np
import pytest
import torch

from recommender.towers.projection import AlignedProjection
from training.encoders import retrieval_metrics
from training.item_tower import alignment
from training.item_tower.alignment import train_alignment

P = 1200


def planted(seed, aligned=True, groups=None):
    """Two views of one hidden vector, each through a random network; variants share their text."""
    rng = np.random.default_rng(seed)
    groups = np.arange(P) if groups is None else groups
    hidden = rng.normal(size=(P, 6))
    image = np.tanh(hidden @ rng.normal(size=(6, 40))) * 3 + 5
    shared = hidden if aligned else rng.permutation(hidden)
    text = np.tanh(shared[groups] @ rng.normal(size=(6, 30))) - 2
    return image.astype(np.float32), text.astype(np.float32), groups


@pytest.fixture(scope="module")
def trained():
    return train_alignment(*planted(0), seed=0, dim=16)


def test_held_out_texts_find_their_image(trained):
    _, metrics = trained
    assert metrics["held_out"] == 120
    assert metrics["pairs"] == P - 120
    assert metrics["recall@10"] > 0.5  # by chance 0.08
    assert metrics["recall@10"] >= metrics["recall@1"] > 0.1


def test_unrelated_texts_and_images_have_no_recall():
    _, metrics = train_alignment(*planted(0, aligned=False), seed=0, dim=16)
    assert metrics["recall@10"] < 0.25


def test_the_same_seed_gives_the_same_projection(trained):
    again, _ = train_alignment(*planted(0), seed=0, dim=16)
    image = planted(1)[0]
    np.testing.assert_allclose(again.image(image), trained[0].image(image), atol=1e-5)


def test_projections_have_norm_one_and_survive_the_export(trained):
    projection, _ = trained
    image, text, _ = planted(0)
    again = AlignedProjection.from_arrays(projection.to_arrays())
    assert again.dim == projection.dim == 16
    for modality, x in (("image", image), ("text", text)):
        vectors = getattr(projection, modality)(x)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(getattr(again, modality)(x), vectors)
        np.testing.assert_allclose(vectors[:3], getattr(projection, modality)(x[:3]), atol=1e-6)


def test_numpy_computes_what_torch_trained():
    image = planted(0)[0]
    torch.manual_seed(0)
    head = alignment._Head(image, 8).eval()
    with torch.inference_mode():
        np.testing.assert_allclose(head.export()(image), head(torch.from_numpy(image)).numpy(), atol=1e-5)


def test_variants_are_held_out_together():
    groups = np.repeat(np.arange(P // 4), 4)
    held = retrieval_metrics.hold_out(groups, 0.1, np.random.default_rng(0))
    assert held.sum() == P // 10
    assert set(groups[held]).isdisjoint(groups[~held])


def test_variants_are_no_negatives():
    """A batch of one product's variants has nothing to contrast: the loss is 0, not the log of its size."""
    logits = torch.randn(4, 4)
    assert alignment._contrastive_loss(logits, torch.zeros(4, dtype=torch.long)).item() == 0
    assert alignment._contrastive_loss(logits, torch.arange(4)).item() > 0


def test_a_constant_column_is_harmless():
    image, text, groups = planted(2)
    image[:, 0] = 7
    projection, metrics = train_alignment(image, text, groups, seed=0, dim=16)
    assert np.isfinite(projection.image(image)).all()
    assert metrics["recall@10"] > 0.5
