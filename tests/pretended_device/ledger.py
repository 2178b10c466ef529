"""What a host would have done for a GPU: waits and copies by the line that asks for them."""

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "parttag"
STEP = str(PACKAGE / "training" / "loop.py")
HERE = str(Path(__file__).parent)


@dataclass
class Ledger:
    """Counts of events, each "what @ file:line", and of the operations and launches of a GPU.

    Operations that CUDA's deterministic mode refuses are in ``refused``.
    What a CUDA graph runs is in ``captured``: the host asks for none of it, and may not wait in it.
    """

    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    launches: Counter[str] = field(default_factory=Counter)
    captured: Counter[str] = field(default_factory=Counter)
    refused: set[str] = field(default_factory=set)
    is_open: bool = False
    is_captured: bool = False

    def wait(self, what: str) -> None:
        """Write down that the host would wait for the device: in a step of training, or if open."""
        if self.is_captured:
            raise RuntimeError(f"{what} @ {caller()}: not while a graph is captured")
        if self.is_open or is_in_step():
            self.waits[f"{what} @ {caller()}"] += 1

    def copy(self, what: str) -> None:
        """Write down a copy between host and device."""
        if self.is_open or is_in_step():
            self.copies[f"{what} @ {caller()}"] += 1

    def operation(self, name: str) -> None:
        """Write down an operation on the device."""
        (self.captured if self.is_captured else self.operations)[name] += 1

    def launch(self, name: str) -> None:
        """Write down a launch of a Triton kernel."""
        (self.captured if self.is_captured else self.launches)[name] += 1


def is_in_step() -> bool:
    """Return whether a step of training is under way."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "_step" and frame.f_code.co_filename == STEP:
            return True
        frame = frame.f_back
    return False


def caller() -> str:
    """Return the innermost line of the package, or else the innermost that is not torch's."""
    frame = sys._getframe(1)
    other = None
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(str(PACKAGE)):
            return f"{Path(path).relative_to(PACKAGE)}:{frame.f_code.co_name}"
        if other is None and not path.startswith(HERE) and "/torch/" not in path:
            other = f"{Path(path).name}:{frame.f_code.co_name}"
        frame = frame.f_back
    return other or "torch"
