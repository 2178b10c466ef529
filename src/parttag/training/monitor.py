"""Watch over a training without waiting for the device: losses, time, SIGTERM."""

import signal
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import FrameType, TracebackType

import torch
from torch import Tensor


class Stopwatch:
    """Measures time from lap to lap."""

    def __init__(self) -> None:
        self._last = self._now()

    def lap(self) -> tuple[float, float]:
        """Return the seconds since the last lap: by the clock, and of the processor.

        Those of the processor are this process's, of all its threads together.
        """
        now = self._now()
        clock, processor = (new - old for new, old in zip(now, self._last, strict=True))
        self._last = now
        return clock, processor

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


class PreemptionError(Exception):
    """SIGTERM stopped the training, and a checkpoint was written: the same command continues."""


class Termination:
    """Within this context SIGTERM is remembered instead of ending the process.

    So the loop can write a checkpoint between two steps: what Slurm asks for at preemption. Outside
    the main thread, where Python forbids it, signals are left alone.

    Parameters
    ----------
    outlive_error
        After an error, go on ignoring SIGTERM to the end of the process: torchrun sends it to the
        ranks that another one has left, and they have to say so first.
    """

    def __init__(self, *, outlive_error: bool = False) -> None:
        self.asked = False
        self._outlive_error = outlive_error

    def __enter__(self) -> None:
        self._previous = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._remember)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._previous is not None and not (error and self._outlive_error):
            signal.signal(signal.SIGTERM, self._previous)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True


@dataclass(frozen=True)
class SeenLoss:
    """The loss of a step, on its way to the host, and the jets that it comes from."""

    step: int
    value: Tensor
    arrived: torch.cuda.Event | None
    index: Tensor


class LossWatch:
    """Finds the first loss that is not finite, some steps late.

    Reading a loss at once would make the host wait for the device at every step. Here it is copied
    in the background and looked at ``lag`` steps later, when it has long arrived; until then the
    jets of its batch are remembered.
    """

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._recent: deque[SeenLoss] = deque()

    def add(self, step: int, loss: Tensor, index: Tensor) -> None:
        """Watch the loss of a step, whose batch on this rank has these jets."""
        arrived = None
        value = loss.detach()
        if value.is_cuda:
            value = value.to("cpu", non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._recent.append(SeenLoss(step, value, arrived, index))

    def first_bad(self, *, wait: bool = False) -> SeenLoss | None:
        """Return the first loss that is not finite among those old enough, or all if ``wait``."""
        while len(self._recent) > (0 if wait else self._lag):
            seen = self._recent.popleft()
            if seen.arrived is not None:
                seen.arrived.synchronize()
            if not torch.isfinite(seen.value):
                return seen
        return None
