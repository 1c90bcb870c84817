"""The sampled softmax loss, computed with its gradients block by block, so that the scores stay in the cache."""

import math
from typing import Any

import torch
from torch import Tensor

BLOCK = 256  # positions whose scores are computed together


class SampledSoftmax(torch.autograd.Function):
    """Mean cross entropy of each position's next item among sampled negatives.

    The scores of all positions are many times as large as everything else: written, masked, exponentiated and read
    again for the gradient, they took half of a step. Here a block of them is turned into its part of the loss and
    of the gradients at once, as in Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models, ICLR 2025.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, positives: Tensor, negatives: Tensor, same: Tensor, draws: float
    ) -> Tensor:
        """Return the loss, a scalar.

        Parameters
        ----------
        ctx
            Keeps the gradients.
        queries, positives
            Of p positions, and the vectors of their next items, shape (p, d).
        negatives
            Vectors of the m sampled items, shape (m, d).
        same
            Which of the negatives is a position's next item, and no negative for it; −1 for none, shape (p,).
        draws
            How many negatives each of them stands for.
        """
        gradients = torch.empty_like(queries), torch.empty_like(positives), torch.zeros_like(negatives)
        loss = queries.new_zeros(())
        for start in range(0, len(queries), BLOCK):
            block = slice(start, start + BLOCK)
            query, positive = queries[block], positives[block]
            score, scores = (query * positive).sum(dim=1), (query @ negatives.T).add_(math.log(draws))
            excluded = torch.nonzero(same[block] >= 0).flatten()
            scores[excluded, same[block][excluded]] = float("-inf")
            highest = torch.maximum(score, scores.amax(dim=1))
            exponentials, of_positive = scores.sub_(highest[:, None]).exp_(), (score - highest).exp_()
            total = exponentials.sum(dim=1) + of_positive
            loss += (total.log() + highest - score).sum()
            shares, excess = exponentials.div_(total[:, None]), (of_positive / total - 1)[:, None]
            gradients[0][block] = shares @ negatives + excess * positive
            gradients[1][block] = excess * query
            gradients[2].addmm_(shares.T, query)
        ctx.save_for_backward(*gradients)
        return loss / len(queries)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients for the queries and both kinds of items."""
        gradients = ctx.saved_tensors
        scale = outputs[0] / len(gradients[0])
        return *(gradient * scale for gradient in gradients), None, None
