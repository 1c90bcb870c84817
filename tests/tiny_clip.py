"""A CLIP model of a few thousand random weights, saved as a checkpoint: open_clip without a download."""

import json

import torch

from recommender.config import EncoderConfig
from recommender.encoders.support.torchvision_shim import ensure_torchvision

NAME = "tiny-clip"
ARCHITECTURE = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def tiny_clip(folder, seed=0, **changes):
    """Return the config of the tiny model, or of it with `changes`, its random weights saved in `folder`."""
    ensure_torchvision()
    import open_clip

    (folder / f"{NAME}.json").write_text(json.dumps(ARCHITECTURE | changes))
    open_clip.add_model_config(folder / f"{NAME}.json")
    torch.manual_seed(seed)
    checkpoint = folder / f"weights-{seed}.pt"
    torch.save(open_clip.create_model(NAME).state_dict(), checkpoint)
    return EncoderConfig(name="open_clip", model=NAME, checkpoint=checkpoint, batch_size=4)
