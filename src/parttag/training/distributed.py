"""Many processes that train one network: started by ``--processes`` or ``torchrun``, gloo or NCCL.

Every rank runs the network on its share of each batch. As the loss of a batch is a sum divided by
the weight of the *whole* batch, the gradient is the sum of the ranks' gradients, whether their
shares are equal or not, or empty.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor

from parttag.errors import InputError, option
from parttag.models import Tagger
from parttag.ops.collectives import gather_tensors
from parttag.training.rendezvous import RENDEZVOUS

DeviceName = Literal["auto", "cpu", "cuda"]

# One message of 64 MB in float32 costs hardly more than its bytes; smaller ones pay latency.
_BUCKET_ELEMENTS = 1 << 24


@dataclass(frozen=True)
class Ranks:
    """One process among those that train together, and what they do together.

    Every method but ``is_first`` must be called by all ranks, in the same order.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over ranks of a tensor, which is overwritten."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace the gradients by their sums over ranks.

        Every rank runs the same network on its share, even an empty one: so all of them have a
        gradient for the same parameters.
        """
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            dist.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            torch._foreach_copy_(bucket, [p.view_as(g) for p, g in zip(parts, bucket, strict=True)])

    def any(self, flag: bool) -> bool:
        """Return whether any rank has the flag; agreed on the host, without the device."""
        return bool(self.sum(torch.tensor([flag], dtype=torch.int64)).item())

    def gather(self, rows: Tensor) -> list[Tensor]:
        """Return the tensors of all ranks, in the order of ranks; see ``gather_tensors``."""
        return [rows] if self.size == 1 else gather_tensors(rows)

    def wait(self) -> None:
        """Return when all ranks have come here."""
        self.any(False)


def _buckets(tensors: Sequence[Tensor], most: int = _BUCKET_ELEMENTS) -> Iterator[list[Tensor]]:
    """Yield the tensors in groups of at most so many elements, but at least one tensor."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(t.numel() for t in bucket) + tensor.numel() > most:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


@contextmanager
def join_ranks(device: DeviceName, timeout_seconds: float) -> Iterator[Ranks]:
    """Join the processes that ``--processes`` or ``torchrun`` started; else be the only one.

    Parameters
    ----------
    device
        Where to compute; ``auto`` is the GPU of this rank if there is one.
    timeout_seconds
        How long ranks wait for one another before they give up.

    Raises
    ------
    InputError
        If there is no GPU for this rank, or if another rank died or did not answer in time.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    here = _choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if size == 1:
        yield Ranks(device=here)
        return
    # Numbers on the host are agreed on by gloo even where gradients go by NCCL.
    backend = "cpu:gloo,cuda:nccl" if here.type == "cuda" else "gloo"
    timeout = timedelta(seconds=timeout_seconds)
    meeting: dict[str, Any] = {}
    if RENDEZVOUS in os.environ:
        store = dist.FileStore(os.environ[RENDEZVOUS], size)  # type: ignore[attr-defined]
        store.set_timeout(timeout)
        meeting = {"store": store, "rank": int(os.environ["RANK"]), "world_size": size}
    dist.init_process_group(backend, timeout=timeout, **meeting)
    ranks = Ranks(dist.get_rank(), size, here)
    try:
        yield ranks
    except RuntimeError as error:
        if _is_lost_connection(error):
            raise InputError(
                f"rank {ranks.rank} of {size} lost another rank, which was killed, stopped or did "
                f"not answer within {timeout_seconds:g} s; the same command continues from the "
                "last checkpoint"
            ) from error
        raise
    # After an error the group is left to the end of the process: the others may never come.
    dist.destroy_process_group()


def first_to_report() -> bool:
    """Return whether no other rank has an error to report already: of many, one message is enough.

    The first is the cause; what follows are ranks that miss it.
    """
    if not dist.is_initialized():
        return True
    try:
        return int(dist.distributed_c10d._get_default_store().add("errors_reported", 1)) == 1
    except RuntimeError:  # the store is gone with the first rank: let the next one speak
        return dist.get_rank() == 1


def _choose_device(name: DeviceName, local_rank: int) -> torch.device:
    num_gpus = torch.cuda.device_count() if name != "cpu" else 0
    if num_gpus == 0 and name != "cuda":
        return torch.device("cpu")
    if local_rank >= num_gpus:
        raise InputError(
            f"training.device: this machine has {num_gpus} GPUs, too few for rank {local_rank} of "
            "it; start fewer processes, or train with training.device=cpu"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _is_lost_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error)


def move_to(model: Tagger, device: DeviceName) -> None:
    """Move a network to the device of this name, in single precision; auto is a GPU if any.

    Raises
    ------
    InputError
        If there is no such device.
    """
    if device not in get_args(DeviceName):
        raise InputError(f"device is {device!r}, but must be auto, cpu or cuda")
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise InputError(f"{option('device', 'cuda')}: this machine has no GPU; choose auto or cpu")
    model.to("cuda" if has_gpu and device != "cpu" else "cpu", torch.float32)
