"""Particles whose coordinates are relative to their jet's, or logarithms: back to GeV and angles.

Several public sets keep shares of the jet's pT and differences of angles (JetNet, CMS's
HiggsToBBNTuple), others logarithms of the momenta themselves (OmniLearned).
"""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float64, Int64
from pydantic import Discriminator, Tag, model_validator

from parttag.jets import kinematics
from parttag.options import Options

_Values = Float64[np.ndarray, " particles"]


class RelativeColumns(Options):
    """Which coordinates of the particles are relative to the jet's own, and how."""

    pt: Literal["ratio", "log"] | None = None
    """``ratio``: to the jet's pT. ``log``: the natural logarithm of the pT itself, in ``unit``."""
    energy: Literal["ratio", "log"] | None = None
    eta: Literal["difference"] | None = None
    """η minus the jet's."""
    phi: Literal["difference"] | None = None
    eta_sign: bool = False
    """Whether the difference of η has the opposite sign for jets of negative η."""

    @model_validator(mode="after")
    def _says_something(self) -> "RelativeColumns":
        if not any((self.pt, self.energy, self.eta, self.phi)):
            raise ValueError("say which of pt, energy, eta and phi are relative")
        if self.eta_sign and self.eta is None:
            raise ValueError("eta_sign is of eta: difference")
        return self

    @property
    def needs_jet(self) -> bool:
        """Whether the jet's own momentum is needed."""
        return "ratio" in (self.pt, self.energy) or bool(self.eta or self.phi)

    @property
    def has_logarithms(self) -> bool:
        """Whether a zero of a momentum stands for 1 in its unit."""
        return "log" in (self.pt, self.energy)

    def without_unit(self, name: str) -> bool:
        """Return whether a coordinate is a share, which has no unit."""
        return getattr(self, name, None) == "ratio"


Relative = Annotated[
    Annotated[bool, Tag("(flag)")] | Annotated[RelativeColumns, Tag("(each)")],
    Discriminator(lambda value: "(flag)" if isinstance(value, bool) else "(each)"),
]
"""``true``, or what is relative in which way."""


def relative_columns(
    given: bool | RelativeColumns, has: Callable[[str], bool]
) -> RelativeColumns | None:
    """Return what is relative; of ``true``, all coordinates that are named.

    Raises
    ------
    ValueError
        If a coordinate that is said to be relative is not named, or none of those that may be is.
    """
    if given is False:
        return None
    if given is True:
        how = {"pt": "ratio", "energy": "ratio", "eta": "difference", "phi": "difference"}
        given = RelativeColumns.model_validate({name: h for name, h in how.items() if has(name)})
    absent = [n for n in ("pt", "energy", "eta", "phi") if getattr(given, n) and not has(n)]
    if absent:
        raise ValueError(f"relative_to_jet speaks of {absent[0]}, of which no branch is named")
    return given


def to_absolute(
    columns: dict[str, _Values],
    relative: RelativeColumns,
    unit: float,
    jet_p4: Float64[np.ndarray, "jets 4"] | None,
    jet: Int64[np.ndarray, " particles"],
) -> dict[str, _Values]:
    """Return coordinates with those that are relative replaced, momenta in GeV.

    Parameters
    ----------
    columns
        By name; logarithms and shares as they are in the file.
    unit
        GeV of the momenta whose logarithms the file holds.
    jet
        The jet of each particle.
    """
    columns = dict(columns)
    with np.errstate(over="ignore", invalid="ignore"):
        for name in ("pt", "energy"):
            if getattr(relative, name) == "log":
                columns[name] = np.exp(columns[name]) * unit
        if not relative.needs_jet:
            return columns
        assert jet_p4 is not None, "configurations without a jet are refused"
        if relative.pt == "ratio":
            columns["pt"] = columns["pt"] * kinematics.pt(jet_p4)[jet]
        if relative.energy == "ratio":
            columns["energy"] = columns["energy"] * jet_p4[jet, 3]
        if relative.eta is not None:
            jet_eta = kinematics.eta(jet_p4)
            sign = np.where(jet_eta < 0, -1.0, 1.0) if relative.eta_sign else np.ones(len(jet_eta))
            columns["eta"] = jet_eta[jet] + sign[jet] * columns["eta"]
        if relative.phi is not None:
            columns["phi"] = kinematics.phi(jet_p4)[jet] + columns["phi"]
    return columns
