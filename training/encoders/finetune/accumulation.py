"""Gradient accumulation for a contrastive batch that is too large for memory.

A batch cannot simply be cut into parts, since each pair is contrasted with all others. So the vectors of the whole
batch are computed first, part by part and without a graph; the loss of the whole gives a gradient for each vector;
then each part is computed again and its gradients are propagated back (Gao et al., Scaling Deep Contrastive
Learning Batch Size under Memory Limited Setup, RepL4NLP 2021; open_clip's ``--accum-freq``). The price is one more
forward pass.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from training.encoders.finetune.towers import Tower

Loss = Callable[[Tensor, Tensor], Tensor]


def backward(towers: Sequence[Tower], inputs: Sequence[Tensor], loss: Loss, part: int, seed: int) -> None:
    """Add the gradients of a batch to those of the weights.

    Parameters
    ----------
    towers
        Of images and of texts.
    inputs
        Of each tower, first axis b.
    loss
        From the vectors of both, shape (b, d), to a number; parameters of the loss get their gradients too.
    part
        Rows of a tower's input that fit into memory.
    seed
        Of dropout, the same in both passes.
    """
    if not any(tower.trainable and len(x) > part for tower, x in zip(towers, inputs, strict=True)):
        torch.manual_seed(seed)
        loss(*(tower.vectors(x) for tower, x in zip(towers, inputs, strict=True))).backward()
        return
    torch.manual_seed(seed)
    with torch.no_grad():
        parts = [list(_parts(*each, part)) for each in zip(towers, inputs, strict=True)]
    whole = [torch.cat(each).requires_grad_(tower.trainable) for tower, each in zip(towers, parts, strict=True)]
    loss(*whole).backward()
    torch.manual_seed(seed)
    for tower, x, vectors in zip(towers, inputs, whole, strict=True):
        if vectors.grad is not None:
            for output, gradient in zip(_parts(tower, x, part), vectors.grad.split(part), strict=True):
                output.backward(gradient)


def _parts(tower: Tower, inputs: Tensor, part: int) -> Iterator[Tensor]:
    for rows in inputs.split(part):
        yield tower.vectors(rows)
