"""Files of ``torch.save`` from anybody: tensors and plain values, and never code.

What comes of a file takes no more memory than the file has bytes.
"""

import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parttag.errors import InputError

_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def load_tensors(path: Path) -> Any:
    """Return what ``torch.save`` put into a file, on the CPU.

    Raises
    ------
    InputError
        If a part is damaged, or compressed, which may be a thousand times as large in memory and is
        nothing that ``torch.save`` does.
    OSError, zipfile.BadZipFile
        If the file cannot be read, or is of another format.
    Exception
        Whatever torch raises for what is in it.
    """
    if path.exists() and not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise InputError(f"{path} is no regular file: copy its content into one")
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.compress_type != zipfile.ZIP_STORED:
                raise InputError(
                    f"{path} is no file that torch.save made: its part {part.filename} is "
                    "compressed; save it again with torch.save"
                )
        # torch does not look at the checksums that it writes.
        damaged = archive.testzip()
    if damaged is not None:
        raise InputError(f"{path} is damaged, in its part {damaged}; get it again")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kinds of tensors that are refused below
        return torch.load(path, map_location="cpu", weights_only=True)


def refuse_unusual_tensor(tensor: Tensor, name: str, path: Path) -> None:
    """Refuse a tensor whose numbers are not all there, each once, as real or whole ones.

    Raises
    ------
    InputError
        If it is sparse, quantized, nested, complex, of 8-bit floats, of no device that holds
        numbers, or a view that repeats its numbers.
    """
    problem = _problem(tensor)
    if problem:
        raise InputError(
            f"{path}: {name} is {problem}, but must be a plain tensor of real numbers; save it "
            "after .to_dense().float().contiguous()"
        )


def _problem(tensor: Tensor) -> str:
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout != torch.strided:
        return f"stored as {str(tensor.layout).removeprefix('torch.')}"
    if tensor.is_quantized:
        return "quantized"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device.type}, without its numbers"
    if tensor.dtype not in (*_REAL, *_WHOLE):
        return f"of {str(tensor.dtype).removeprefix('torch.')}"
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        return f"a {type(tensor).__name__}"
    if _num_bytes(tensor) > tensor.untyped_storage().nbytes():
        return "a view that repeats its numbers"
    return ""


def refuse_shared_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that together have more numbers than the file: views of the same ones.

    Raises
    ------
    InputError
        If they do.
    """
    storages = [tensor.untyped_storage() for tensor in tensors.values()]
    stored = {storage.data_ptr(): storage.nbytes() for storage in storages}
    if sum(map(_num_bytes, tensors.values())) > sum(stored.values()):
        raise InputError(
            f"{path}: some of its tensors share their numbers; save a copy of each, .clone()"
        )


def _num_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
