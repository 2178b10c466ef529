"""Steps of training as CUDA graphs: the host asks once for what it would ask for a thousand times.

Forwards, backwards and the optimizer's update are captured for each size of batch, and run again on
the jets that have been put in place (``parttag.jets.filled``). The first step of a size is not
captured: what is compiled or set up at first use is then there.
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from parttag.jets.batch import JetBatch
from parttag.jets.filled import BatchSizes, FilledBatch, room_like, sizes_for
from parttag.training.optimizers import Optimizer
from parttag.training.ranger import Factors, Lookahead

logger = logging.getLogger(__name__)

Replay = Callable[[], Tensor]
"""Computes what was captured; the tensor that it returns is overwritten by the next call."""


class GraphCapture:
    """Makes CUDA graphs of functions; they share memory, and so must run one after the other."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, function: Replay) -> Replay:
        """Return what runs a function as a graph: it is called once, while nothing is computed."""
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # Threads that prepare batches may pin memory meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = function()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


@runtime_checkable
class CapturedOptimizer(Protocol):
    """An optimizer whose update can be captured: the host's part comes before and after it."""

    def prepare(self) -> None:
        """Put the numbers of the next step where the update reads them."""

    def update(self) -> None:
        """Update the parameters; run again for each step."""

    def finish(self) -> None:
        """Do what comes after some of the steps only."""


class CapturedRanger:
    """Ranger: the factors of its steps are numbers on the device."""

    def __init__(self, optimizer: Lookahead) -> None:
        self._optimizer = optimizer
        inner = optimizer.inner
        first = inner.param_groups[0]["params"][0]
        self._numbers = torch.zeros(len(inner.param_groups), 3, dtype=first.dtype).to(first.device)
        self._factors = [Factors(*row.unbind()) for row in self._numbers]

    def prepare(self) -> None:
        """Count a step and put its factors in place."""
        _put(self._numbers, [list(map(float, f)) for f in self._optimizer.inner.count()])

    @torch.no_grad()
    def update(self) -> None:
        """Update the parameters by the factors in place."""
        self._optimizer.inner.update_at(self._factors)

    def finish(self) -> None:
        """Update the slow weights if it is time."""
        self._optimizer.follow()


class CapturedAdam:
    """Adam and AdamW, fused: steps are counted on the device, and the rate is a number there."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        groups = optimizer.param_groups
        device = groups[0]["params"][0].device
        self._rates = torch.zeros(len(groups), device=device)

    def prepare(self) -> None:
        """Put the rates in place."""
        _put(self._rates, [group["lr"] for group in self._optimizer.param_groups])

    def update(self) -> None:
        """Update the parameters with the rates in place."""
        groups = self._optimizer.param_groups
        before = [(group["lr"], group["capturable"]) for group in groups]
        for group, rate in zip(groups, self._rates.unbind(), strict=True):
            group["lr"], group["capturable"] = rate, True
        self._optimizer.step()
        for group, (rate, capturable) in zip(groups, before, strict=True):
            group["lr"], group["capturable"] = rate, capturable

    def finish(self) -> None:
        """Do nothing."""


def _put(numbers: Tensor, values: Any) -> None:
    host = torch.tensor(values, dtype=numbers.dtype)
    if numbers.device.type == "cuda":
        host = host.pin_memory()
    numbers.copy_(host, non_blocking=True)


def captured(optimizer: Optimizer) -> CapturedOptimizer:
    """Return an optimizer as steps that are captured use it."""
    if isinstance(optimizer, Lookahead):
        return CapturedRanger(optimizer)
    assert isinstance(optimizer, torch.optim.Optimizer)
    return CapturedAdam(optimizer)


class GraphedSteps:
    """Steps of a training, each a CUDA graph of the size of its batch.

    Parameters
    ----------
    function
        Computes the gradients of a filled batch; returns what is to be known of the step.
    optimizer
        Updates the parameters by them.
    num_jets
        Of the fullest batch.
    longest
        Particles of a jet, at most.
    dtype
        Of the numbers of a batch.
    capture
        Makes of a function what computes it again; by default a CUDA graph.
    """

    def __init__(
        self,
        function: Callable[[FilledBatch], Tensor],
        optimizer: Optimizer,
        num_jets: int,
        longest: int,
        dtype: torch.dtype = torch.float32,
        capture: Callable[[Replay], Replay] | None = None,
    ) -> None:
        self._function, self._plain = function, optimizer
        self._num_jets, self._longest, self._dtype = num_jets, longest, dtype
        self._optimizer = captured(optimizer)
        self._places: dict[BatchSizes, FilledBatch] = {}
        self._replays: dict[BatchSizes, Replay] = {}
        self._capture = capture or GraphCapture()
        self.fault = ""
        """Why a capture has failed, so that steps are as they are without graphs."""

    def __call__(self, batch: JetBatch, device: torch.device) -> Tensor:
        """Take a step; return what the function returned of it."""
        sizes = sizes_for(batch, self._num_jets, self._longest)
        is_new = sizes not in self._places
        if is_new:
            self._places[sizes] = room_like(batch, sizes).to(device, self._dtype)  # type: ignore[assignment]
        place = self._places[sizes]
        place.take_in(batch.to(device, self._dtype))
        if is_new or not self._captures(sizes, place):
            result = self._function(place)
            self._plain.step()
            self._plain.zero_grad()
            return result
        self._optimizer.prepare()
        result = self._replays[sizes]().clone()
        self._optimizer.finish()
        return result

    def _captures(self, sizes: BatchSizes, place: FilledBatch) -> bool:
        """Return whether there is a graph of these sizes, made now if need be; say why not."""
        if sizes in self._replays:
            return True
        if self.fault:
            return False
        try:
            self._replays[sizes] = self._capture(lambda: self._captured_step(place))
        except RuntimeError as error:
            self.fault = str(error).splitlines()[0]
            self._plain.zero_grad()
            logger.warning("steps go on without CUDA graphs: %s", self.fault)
        return not self.fault

    def _captured_step(self, batch: FilledBatch) -> Tensor:
        result = self._function(batch)
        self._optimizer.update()
        self._plain.zero_grad()
        return result
