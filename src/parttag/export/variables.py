"""The variables of a model's inputs: what they are, and what readers call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from jaxtyping import Float
from torch import Tensor

from parttag.errors import InputError, option
from parttag.jets.column_features import ColumnName
from parttag.jets.features import FEATURES

_LABELS = {
    "log_pt": "part_pt_log",
    "log_energy": "part_e_log",
    "log_pt_rel": "part_logptrel",
    "log_energy_rel": "part_logerel",
    "delta_r": "part_deltaR",
    "charge": "part_charge",
    "is_charged_hadron": "part_isChargedHadron",
    "is_neutral_hadron": "part_isNeutralHadron",
    "is_photon": "part_isPhoton",
    "is_electron": "part_isElectron",
    "is_muon": "part_isMuon",
    "tanh_d0": "part_d0",
    "d0_error": "part_d0err",
    "tanh_dz": "part_dz",
    "dz_error": "part_dzerr",
    "delta_eta": "part_deta",
    "delta_phi": "part_dphi",
    "px": "part_px",
    "py": "part_py",
    "pz": "part_pz",
    "energy": "part_energy",
    "mask": "part_mask",
    "d0": "part_d0val",
    "dz": "part_dzval",
}
"""JetClass's names, as the configurations of its Particle Transformer have them."""

# Column and transform of parttag's own features, which differ in a way that the format has no word
# for: what a momentum is relative to.
_FORMULAS: dict[str, dict[str, str]] = {
    "log_pt": {"column": "pt", "transform": "log"},
    "log_energy": {"column": "energy", "transform": "log"},
    "log_pt_rel": {"column": "pt", "transform": "log", "minus": "log of the jet's pt"},
    "log_energy_rel": {"column": "energy", "transform": "log", "minus": "log of the jet's energy"},
    "delta_r": {"column": "delta_r", "transform": "none", "from": "the jet's axis in (eta, phi)"},
    "tanh_d0": {"column": "d0", "transform": "tanh"},
    "tanh_dz": {"column": "dz", "transform": "tanh"},
    "delta_eta": {
        "column": "eta",
        "transform": "none",
        "minus": "the jet's eta",
        "times": "the sign of the jet's pz, +1 at 0",
    },
    "delta_phi": {"column": "phi", "transform": "none", "minus": "the jet's phi, within ±pi"},
}


@dataclass(frozen=True)
class Variable:
    """A channel of an input: (value − centre) · scale, clipped.

    ``replace`` stands for a value that is not finite, ``column`` and the rest of ``source`` say
    what the value is made of.
    """

    name: str
    label: str
    source: Mapping[str, str | float]
    centre: float = 0.0
    scale: float = 1.0
    clip: tuple[float, float] | None = None
    replace: float = 0.0
    clips_infinite: bool = False
    """Whether what is infinite is clipped, and only what is no number replaced."""

    def standardize(self, values: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Return the numbers that a network sees, as a reader of ``preprocess.json`` makes them."""
        keeps = ~values.isnan() if self.clips_infinite else values.isfinite()
        values = torch.where(keeps, values, self.replace)
        if self.centre != 0 or self.scale != 1:
            values = (values - self.centre) * self.scale
        return values if self.clip is None else values.clamp(*self.clip)


class Labels:
    """What readers call variables.

    Parameters
    ----------
    names
        The reader's names by parttag's, for those that have another than JetClass's.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names
        self.asked: dict[str, None] = {}

    def __call__(self, name: str) -> str:
        """Return the reader's name of a variable."""
        self.asked[name] = None
        return self.names.get(name, _LABELS.get(name, str(name)))

    def refuse_unused(self) -> None:
        """Refuse names of variables that the model does not have.

        Raises
        ------
        InputError
            If there is one.
        """
        for name in self.names:
            if name not in self.asked:
                nearest = get_close_matches(name, self.asked, n=1, cutoff=0)[0]
                raise InputError(
                    f"{option('names', '')}: the model has no variable {name}; the nearest of its "
                    f"own is {nearest}, and all are {', '.join(self.asked)}"
                )


NOT_FINITE = 1e30
"""Stands in raw columns for what is no finite number, which readers always replace; within their
limits of ±1e32."""


def plain(names: Sequence[str], labels: Labels, *, replace: float = 0.0) -> tuple[Variable, ...]:
    """Return variables that are columns as they are."""
    return tuple(
        Variable(name, labels(name), {"column": name, "transform": "none"}, replace=replace)
        for name in names
    )


def of_feature(name: str, labels: Labels) -> Variable:
    """Return the variable that is a feature of particles or of the jet."""
    if isinstance(name, ColumnName):
        return _of_column(name, labels(name))
    known = FEATURES[name]
    source: dict[str, str | float] = {"column": name, "transform": "none"}
    source |= _FORMULAS.get(name, {})
    if known.requires:
        source["missing"] = 0.0
    return Variable(name, labels(name), source, known.centre, known.scale, known.clip)


def _of_column(name: ColumnName, label: str) -> Variable:
    feature = name.feature
    centre = 0.0 if feature.centre is None else feature.centre
    source: dict[str, str | float] = {"column": feature.column, "transform": feature.transform}
    if name.of_jet:
        source["of"] = "jet"
    if feature.infinite == "clip":
        source["infinite"] = "clip"
    return Variable(
        str(name),
        label,
        source,
        centre,
        1.0 if feature.scale is None else feature.scale,
        feature.clip,
        centre if feature.missing is None else feature.missing,
        clips_infinite=feature.infinite == "clip",
    )
