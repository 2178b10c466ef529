"""Targets: columns of the jets that a network learns to tell, and how its outputs become such.

A network sees y = (f(t/r) − centre) · scale of the target t, with the ``transform`` f and a
quantity r of the jet, and its outputs go the same way back: into the units of the column. A jet
lacks its target where y is not finite: a missing value, or one that r or a logarithm makes none of.
"""

import math
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float, Float64
from pydantic import BeforeValidator, Field, PositiveFloat, field_validator
from torch import Tensor

from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.jets.columns import column_names
from parttag.options import Name, Options

TargetTransform = Literal["none", "log", "log1p", "sqrt", "asinh"]

_INVERSES = {
    "none": lambda x: x,
    "log": torch.exp,
    "log1p": torch.expm1,
    "sqrt": lambda x: x.clamp(min=0).square(),
    "asinh": torch.sinh,
}
_LEAST = {"log": 0.0, "sqrt": 0.0, "log1p": -1.0}

JET_REFERENCES = {
    "jet_pt": kinematics.pt,
    "jet_mass": kinematics.mass,
    "jet_energy": lambda p4: p4[:, 3],
}
"""What a target may be relative to besides columns: of the jet's four-momentum, in GeV."""

_SPELLINGS = {"mean_squared": "mse", "logcosh": "log_cosh", "quantile": "quantiles"}


def _spelt(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    word = value.strip().lower().replace("-", "_").replace(" ", "_")
    return _SPELLINGS.get(word, word)


TargetLoss = Annotated[
    Literal["mse", "huber", "log_cosh", "quantiles", "gaussian"], BeforeValidator(_spelt)
]


class TargetOptions(Options):
    """A column of the jets that a network learns to tell, in any unit."""

    column: Name
    """A column of ``data.columns.jet_extra``, a branch of the files, or jet_pt, jet_mass or
    jet_energy of the jet's four-momentum. Jets whose value is not
    finite lack the target: they count for the other tasks alone."""
    transform: TargetTransform = "none"
    """Of the value, or of its ratio to ``relative_to``. Logarithm and square root refuse negative
    values; 0 under a logarithm counts as missing."""
    relative_to: Name | None = None
    """What the value is divided by: jet_pt, jet_mass or jet_energy of the jet's four-momentum, or
    another column of the jets. Jets where that is not positive lack the target."""
    loss: TargetLoss = "mse"
    """mse: the squared difference; huber: squared up to ``delta``, linear beyond; log_cosh;
    quantiles: several at once, which never cross; gaussian: one with a width for each jet."""
    delta: PositiveFloat = 1.0
    """Where ``huber`` becomes linear, in units of the target's width."""
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.16, 0.5, 0.84), min_length=1
    )
    """Of ``loss: quantiles``, rising; the one nearest to 0.5 is the prediction itself."""
    centre: float | None = None
    """Subtracted after the transform; null for the median of the training jets."""
    scale: PositiveFloat | None = None
    """Multiplied after that; null for 2 over the width of the middle 68 % of the training jets."""
    beside: tuple[Name, ...] | None = None
    """What an evaluation sets beside the prediction, in the same unit: jet_mass, jet_pt, jet_energy
    or columns of the jets. null: of those three what the name of the column says, with a mass also
    the column jet_sdmass where the files have it; of other names ``relative_to``."""
    bins: tuple[float, ...] | None = Field(default=None, min_length=2)
    """Edges of the bins of the target in an evaluation; null for five of about as many jets."""

    @field_validator("quantiles", "bins")
    @classmethod
    def _rise(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and sorted(set(values)) != list(values):
            raise ValueError(f"{list(values)} must rise; give them in their order, each once")
        return values

    @property
    def num_outputs(self) -> int:
        """Numbers that the network gives of it."""
        return {"quantiles": len(self.quantiles), "gaussian": 2}.get(self.loss, 1)

    @property
    def middle(self) -> int:
        """Which of the quantiles is the prediction."""
        return min(range(len(self.quantiles)), key=lambda n: abs(self.quantiles[n] - 0.5))

    @property
    def is_measured(self) -> bool:
        """Whether centre and scale are known."""
        return self.centre is not None and self.scale is not None

    @property
    def reference_column(self) -> tuple[str, ...]:
        """The column that it is relative to, if it is to one."""
        name = self.relative_to
        return () if name is None or name in JET_REFERENCES else (name,)

    @property
    def compared(self) -> tuple[str, ...]:
        """What an evaluation sets beside the prediction, where the files have it."""
        if self.beside is not None:
            return self.beside
        of_jet = tuple(name for name in JET_REFERENCES if name.removeprefix("jet_") in self.column)
        if not of_jet:
            return () if self.relative_to is None else (self.relative_to,)
        return (*of_jet, "jet_sdmass") if "jet_mass" in of_jet else of_jet

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What follows ``pred_TARGET`` in the names of its columns; nothing for the prediction."""
        if self.loss == "quantiles":
            return ("", *map(quantile_suffix, self.quantiles))
        return ("", "_error") if self.loss == "gaussian" else ("",)

    def values(self, batch: JetBatch) -> Float64[Tensor, " jets"]:
        """Return the target of each jet, in the column's unit."""
        return jet_quantity(batch, self.column)

    def reference(self, batch: JetBatch) -> Float64[Tensor, " jets"]:
        """Return what the target of each jet is divided by."""
        if self.relative_to is None:
            return torch.ones_like(batch.jet_p4[:, 0], dtype=torch.float64)
        return jet_quantity(batch, self.relative_to)

    def transformed(
        self, values: Float64[Tensor, " jets"], reference: Float64[Tensor, " jets"]
    ) -> Float64[Tensor, " jets"]:
        """Return f(t/r), NaN where a jet lacks it."""
        ratio = torch.where(reference > 0, values / reference, math.nan)
        function = (lambda x: x) if self.transform == "none" else getattr(torch, self.transform)
        changed = function(ratio)
        return torch.where(changed.isfinite(), changed, math.nan)

    def is_outside(
        self, values: Float64[Tensor, " jets"], reference: Float64[Tensor, " jets"]
    ) -> Bool[Tensor, " jets"]:
        """Return which values the transform is not made for: negative ones under a logarithm."""
        if self.transform not in _LEAST:
            return torch.zeros_like(values, dtype=torch.bool)
        known = values.isfinite() & (reference > 0)
        return known & (values / reference < _LEAST[self.transform])

    def standardized(self, batch: JetBatch) -> Float[Tensor, " jets"]:
        """Return y of each jet, NaN where it lacks the target."""
        centre, scale = self._measured()
        changed = self.transformed(self.values(batch), self.reference(batch))
        return ((changed - centre) * scale).to(batch.p4.dtype)

    def in_units(
        self, outputs: Float[Tensor, "jets outputs"], reference: Float64[Tensor, " jets"]
    ) -> dict[str, Float64[Tensor, " jets"]]:
        """Return what a network says of each jet, in the column's unit, by ``suffixes``.

        Parameters
        ----------
        outputs
            y; of quantiles each, of a Gaussian its mean and the logarithm of its width.
        reference
            What the target is relative to.
        """
        wide = outputs.double()
        if self.loss == "quantiles":
            known = [self._back(wide[:, n], reference) for n in range(wide.shape[1])]
            return dict(zip(self.suffixes, [known[self.middle], *known], strict=True))
        found = {"": self._back(wide[:, 0], reference)}
        if self.loss == "gaussian":
            width = wide[:, 1].exp()
            high, low = (self._back(wide[:, 0] + side * width, reference) for side in (1, -1))
            found["_error"] = (high - low) / 2
        return found

    def _back(self, standard: Tensor, reference: Tensor) -> Tensor:
        centre, scale = self._measured()
        inverse: Tensor = _INVERSES[self.transform](standard / scale + centre)
        return inverse * reference

    def _measured(self) -> tuple[float, float]:
        if self.centre is None or self.scale is None:
            raise InputError(
                f"targets: centre and scale of {self.column} are not known before a training has "
                "measured them; give both, or use the config.yaml of a run"
            )
        return self.centre, self.scale


def quantile_suffix(share: float) -> str:
    """Return what follows ``pred_TARGET`` of a quantile: ``_q16``, ``_q2p5``."""
    return f"_q{100 * share:g}".replace(".", "p")


def jet_quantity(batch: JetBatch, name: str) -> Float64[Tensor, " jets"]:
    """Return a column of the jets, or else a quantity of their four-momenta, in float64.

    Raises
    ------
    InputError
        If there is neither.
    """
    if name in JET_REFERENCES and name not in column_names(batch.jet_column_types):
        quantity: Tensor = JET_REFERENCES[name](batch.jet_p4.double())
        return quantity
    return _column(batch, name)


def _column(batch: JetBatch, name: str) -> Float64[Tensor, " jets"]:
    there = column_names(batch.jet_column_types)
    if name not in there:
        raise InputError(
            f"targets: the jets have no column {name} (they have "
            f"{', '.join(there) or 'four-momenta only'})"
        )
    return batch.jet_column(name).double()
