"""The calibration of a run: fitted once, kept beside its weights, and used wherever it scores."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parttag.errors import InputError, option
from parttag.metrics.estimate import Estimate
from parttag.migrations.applications import CALIBRATION
from parttag.migrations.formats import VERSION_KEY
from parttag.models.scaling import LogitScaling
from parttag.system.files import read_small, refuse_damaged

FILE = "calibration.json"
"""In the directory of a run."""
_LARGEST = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A temperature, and the fractions of classes for which scores are right with it."""

    temperature: float
    temperature_error: float
    fractions: Mapping[str, float]
    """Of the classes, in the jets that it was fitted to."""
    priors: Mapping[str, float] | None = None
    """The fractions that scores are rescaled to; ``None`` for those of the jets."""
    num_jets: int
    """Jets that it was fitted to."""
    data: tuple[str, ...] = ()
    """Their files."""
    before: Estimate
    """The calibration error of these jets without it."""
    after: Estimate
    """With it, at ``fractions``."""
    weights_sha256: str
    """Of the file of weights, or of all files of an ensemble, that it belongs to."""

    @property
    def target(self) -> Mapping[str, float]:
        """The class fractions that scores are meant for."""
        return self.fractions if self.priors is None else self.priors

    @property
    def scaling(self) -> LogitScaling:
        """What becomes of logits."""
        shifts = tuple(
            0.0 if self.priors is None else math.log(self.priors[name] / fraction)
            for name, fraction in self.fractions.items()
        )
        return LogitScaling(self.temperature, shifts)

    @property
    def name(self) -> str:
        """A name that no other calibration has: that of working points made with it."""
        exact = json.dumps([self.temperature, list(self.scaling.shifts), self.weights_sha256])
        digest = hashlib.sha256(exact.encode()).hexdigest()[:8]
        classes = ", ".join(f"{name} {value:.3g}" for name, value in self.target.items())
        return f"T = {self.temperature:.4f} for {classes} [{digest}]"

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``calibration.json``."""
        return {
            VERSION_KEY: CALIBRATION.version,
            "name": self.name,
            "temperature": self.temperature,
            "temperature_error": self.temperature_error,
            "fractions": dict(self.fractions),
            "priors": None if self.priors is None else dict(self.priors),
            "num_jets": self.num_jets,
            "data": list(self.data),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "weights_sha256": self.weights_sha256,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Calibration:
        """Return what ``to_json`` has written."""
        priors = content["priors"]
        return cls(
            temperature=_positive(content["temperature"]),
            temperature_error=float(content["temperature_error"]),
            fractions=_fractions(content["fractions"]),
            priors=None if priors is None else _fractions(priors),
            num_jets=int(content["num_jets"]),
            data=tuple(map(str, content["data"])),
            before=Estimate.from_json(content["before"]),
            after=Estimate.from_json(content["after"]),
            weights_sha256=str(content["weights_sha256"]),
        )


def _fractions(content: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): _positive(value) for name, value in content.items()}


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{number} is not above 0")
    return number


def read_calibration(
    directory: Path, classes: Sequence[str], weights_sha256: str
) -> Calibration | None:
    """Return the calibration in the directory of a run; ``None`` if it has none.

    Raises
    ------
    InputError
        If it is damaged, of other classes, or of other weights than these.
    """
    path = directory / FILE
    if not path.exists():
        return None
    with refuse_damaged(path):
        content = json.loads(read_small(path, _LARGEST))
        found = Calibration.from_json(CALIBRATION.upgraded(content, path))
    if list(found.fractions) != list(classes) or (
        found.priors is not None and list(found.priors) != list(classes)
    ):
        raise InputError(f"{path} is of other classes than the run; calibrate the run again")
    if found.weights_sha256 != weights_sha256:
        again = option("overwrite")
        raise InputError(
            f"{path} is of other weights than those of the run now; fit it again: parttag "
            f"calibrate {directory} {again}, or delete the file"
        )
    return found
