"""Fine-tunes an open_clip model on the catalogue's own texts and photos; ``[train.clip]`` asks for it."""

from training.encoders.finetune.run import FineTuned as FineTuned
from training.encoders.finetune.run import finetune as finetune
