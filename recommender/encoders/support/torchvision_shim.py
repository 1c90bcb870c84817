"""Make torchvision importable beside a torch build that its compiled operators were not linked against.

open_clip, timm and transformers all import torchvision. Its wheel from the registry is linked against the
CUDA build of torch; beside the CPU build the import dies with ``operator torchvision::nms does not exist``,
because two operators are described before torch checks whether they were loaded. None of them is used here.
Call `ensure_torchvision` before importing any of the three.
"""

import importlib
import sys

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[object] = []  # a torch.library.Library takes its schemas along when it is collected


def ensure_torchvision() -> None:
    """Import torchvision, declaring its two unguarded operators if that is all that is missing.

    Nothing is faked: an operator declared here has no kernel, and calling it raises. On a well-paired install
    nothing is done but the import.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _forget_half_imported()
        _declare_operators()
        importlib.import_module("torchvision")


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]


def _declare_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
