"""Features that a configuration makes of columns: which column, and what is done to its numbers.

A network sees (transform(x) − centre) · scale, clipped. What is not finite after the transform is
replaced before that by ``missing``; what is infinite can also be clipped as other numbers are.
Without ``centre`` or ``scale`` they are measured on the jets of a training (``value_counts.py``),
and written into its configuration.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from parttag.errors import InputError
from parttag.options import Name, Options

Transform = Literal["none", "log", "log1p", "sqrt", "tanh", "abs", "asinh"]


class ColumnFeature(Options):
    """A column of the data, or a quantity of parttag's, as networks see it."""

    column: Name
    """A column of ``data.columns``, a known column or feature, or a branch of the files."""
    transform: Transform = "none"
    centre: float | None = None
    """Subtracted from the transformed column; null to measure its median on the training jets."""
    scale: float | None = None
    """Multiplied after that; null to measure it: 2 over the width of the middle 68 %."""
    clip: tuple[float, float] | None = (-5.0, 5.0)
    """Least and largest number that a network sees; null for no limits."""
    missing: float | None = Field(default=0.0, allow_inf_nan=False)
    """Stands for what is not finite once it is transformed; ``centre`` and ``scale`` follow. null:
    the centre, so that a network sees 0."""
    infinite: Literal["missing", "clip"] = "missing"
    """Whether what is infinite is missing, or the end of ``clip`` on its side."""
    width: Literal["middle", "wider_side"] = "middle"
    """What a measured scale is of: the width of the middle 68 %, or, as in weaver, the wider of the
    two parts in which the median divides it, 1 where all numbers are the same."""

    @field_validator("clip")
    @classmethod
    def _is_a_range(cls, clip: tuple[float, float] | None) -> tuple[float, float] | None:
        if clip is not None and not clip[0] < clip[1]:
            raise ValueError(f"the lower limit must be below the upper one, not {list(clip)}")
        return clip

    @field_validator("scale")
    @classmethod
    def _is_not_zero(cls, scale: float | None) -> float | None:
        if scale == 0:
            raise ValueError("a scale of 0 leaves nothing of the column")
        return scale

    @model_validator(mode="after")
    def _can_be_clipped(self) -> "ColumnFeature":
        if self.infinite == "clip" and self.clip is None:
            raise ValueError("infinite: clip needs the limits that clip has; there are none")
        return self

    @property
    def name(self) -> str:
        """What the feature is called."""
        return self.column if self.transform == "none" else f"{self.transform}_{self.column}"

    @property
    def is_measured(self) -> bool:
        """Whether centre and scale are known."""
        return self.centre is not None and self.scale is not None

    def transformed(self, values: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Return the numbers of the column after the transform, finite or not."""
        if self.transform == "none":
            return values
        function = getattr(torch, self.transform)
        transformed: Tensor = function(values)
        return transformed

    def finite(self, values: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Return transformed numbers, those that are not finite replaced as is said.

        Raises
        ------
        InputError
            If the centre is to replace them, which is not known.
        """
        missing = self.missing
        if missing is None:
            missing = self._measured()[0]
        if self.infinite == "clip":
            return torch.where(values.isnan(), missing, values)
        return torch.where(values.isfinite(), values, missing)

    def standardize(self, values: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Return (value − centre) · scale, clipped.

        Raises
        ------
        InputError
            If they are not known: the configuration is none of a run that was trained.
        """
        centre, scale = self._measured()
        values = (values - centre) * scale
        return values if self.clip is None else values.clamp(*self.clip)

    def _measured(self) -> tuple[float, float]:
        """Return centre and scale, or refuse a feature that lacks them."""
        if self.centre is None or self.scale is None:
            raise InputError(
                f"features: centre and scale of {self.name} are not known before a training has "
                "measured them; give both, or use the config.yaml of a run"
            )
        return self.centre, self.scale


class ColumnName(str):
    """The name of a feature that a configuration made of a column, with what it is.

    For networks it is a name like any other.
    """

    __slots__ = ("feature", "of_jet")

    feature: ColumnFeature
    of_jet: bool

    def __new__(cls, feature: ColumnFeature, *, of_jet: bool = False) -> "ColumnName":
        """Return the name of a feature; one of the jet gets ``jet_`` before it."""
        name = super().__new__(cls, f"jet_{feature.name}" if of_jet else feature.name)
        name.feature, name.of_jet = feature, of_jet
        return name

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to another process."""
        return _named, (self.feature, self.of_jet)


def _named(feature: ColumnFeature, of_jet: bool) -> ColumnName:
    return ColumnName(feature, of_jet=of_jet)
