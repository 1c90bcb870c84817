"""Fine-tunes an open_clip model on the catalogue's own texts and images, see ``[train.clip]``."""

from training.encoders.finetune.run import FineTuned as FineTuned
from training.encoders.finetune.run import finetune as finetune
