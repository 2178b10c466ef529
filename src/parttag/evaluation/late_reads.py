"""Numbers that a GPU sends while it computes others, and batches prepared meanwhile."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")


class Sent:
    """A tensor on its way to the host."""

    def __init__(self, values: Tensor) -> None:
        self._values, self._arrived = values, None
        if values.device.type == "cuda":
            self._values = values.to("cpu", non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> Tensor:
        """Return it, when it has arrived."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._values


def one_behind(asked: Iterable[Item]) -> Iterator[Item]:
    """Yield each item when the next one has been asked for; so a GPU has work while one is read."""
    waiting: deque[Item] = deque()
    for item in asked:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


def prepared_ahead(
    prepare: Callable[[Item], Prepared], items: Iterable[Item], device: torch.device
) -> Iterator[Prepared]:
    """Yield what a function makes of each item; for a GPU, a thread works on the next ones."""
    if device.type != "cuda":
        yield from map(prepare, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="scoring") as pool:
        ahead = deque(pool.submit(prepare, item) for item in islice(rest, 2))
        while ahead:
            ready = ahead.popleft().result()
            ahead.extend(pool.submit(prepare, item) for item in islice(rest, 1))
            yield ready
