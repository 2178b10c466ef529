"""Where a trained network computes."""

import torch

from parttag.errors import InputError
from parttag.models import Tagger
from parttag.training.distributed import DeviceName


def move_to(model: Tagger, device: DeviceName) -> None:
    """Move a network to the device of this name, in single precision; auto is a GPU if any.

    Raises
    ------
    InputError
        If there is no such device.
    """
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise InputError("--device cuda: this machine has no GPU; choose auto or cpu")
    model.to("cuda" if has_gpu and device != "cpu" else "cpu", torch.float32)
