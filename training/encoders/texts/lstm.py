"""Trains the LSTM text encoder with SimCSE's contrastive objective on two random halves of each text's words.

SimCSE (Gao et al., EMNLP 2021) with dropped words in place of dropout: two views of a text are near, those of
other texts far. It learns without labels which words mean the same of a product.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from recommender.config import EncoderChoice
from recommender.encoders.lstm import Vocabulary
from recommender.encoders.support.onnx_tower import exported
from recommender.encoders.support.tokens import Tokenizer, write_version
from recommender.progress import progress
from recommender.search.tokens import tokens_of
from training.item_tower.category import contrastive_loss

DIM = 192
_MAX_WORDS = 30_000
_MIN_COUNT = 2  # rarer words share rows
_VIEW_SHARE = 0.5  # share of a text's words in a view
_BATCH = 256
_STEPS = 600
_LEARNING_RATE = 3e-3


class LstmNetwork(nn.Module):
    """Embeddings, one LSTM from left to right, the mean of its states over a text's words, norm 1."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, dim, batch_first=True)
        self.words = nn.Linear(dim, dim, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return vectors, shape (b, dim), of word rows, shape (b, length), padded with 0."""
        mask = (ids > 0).float().unsqueeze(2)
        embedded = self.table(ids)
        states = self.lstm(embedded)[0] + self.words(embedded)
        return F.normalize((states * mask).sum(1) / mask.sum(1), dim=1)


def train(folder: Path, texts: Sequence[str], choice: EncoderChoice, seed: int) -> None:
    """Train on the texts; write the network as ONNX, and its vocabulary."""
    counts = Counter(chain.from_iterable(map(tokens_of, texts)))
    known = sorted(word for word, count in counts.most_common(_MAX_WORDS) if count >= _MIN_COUNT)
    words = Vocabulary(known)
    torch.manual_seed(seed)
    network = LstmNetwork(words.size, choice.dimensions or DIM)
    tokenized = map(Tokenizer(words).tokens, texts)
    rows = [words.rows([tokens])["ids"][0] for tokens in tokenized]
    _optimize(network, rows, np.random.default_rng(seed))
    example = {"ids": torch.ones(2, 4, dtype=torch.long)}
    (folder / "lstm.onnx").write_bytes(exported(network.eval(), example, {0: "b", 1: "length"}))
    write_version(folder)
    (folder / "words.json").write_text(json.dumps(known, ensure_ascii=False), "utf-8")
    (folder / "rare.json").write_text(json.dumps(sorted(counts.keys() - set(known)), ensure_ascii=False), "utf-8")


def _optimize(network: LstmNetwork, texts: Sequence[NDArray[np.int64]], rng: np.random.Generator) -> None:
    steps = min(_STEPS, 20 * -(-len(texts) // _BATCH))
    optimizer = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    for batch in progress(_batches(len(texts), steps, rng), "LSTM", steps, "batch"):
        first, second = (network(_view([texts[row] for row in batch], rng)) for _ in range(2))
        loss = contrastive_loss(first, second)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _batches(n: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    for _ in range(steps):
        yield rng.choice(n, min(_BATCH, n), replace=False)


def _view(texts: Sequence[NDArray[np.int64]], rng: np.random.Generator) -> Tensor:
    """Return each text with a random half of its words, at least one, in their order, shape (b, longest)."""
    views = []
    for text in texts:
        mask = rng.random(len(text)) < _VIEW_SHARE
        mask[rng.integers(len(text))] = True
        views.append(torch.from_numpy(text[mask]))
    return nn.utils.rnn.pad_sequence(views, batch_first=True)
