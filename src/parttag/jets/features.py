"""Particle features: one definition each, computed from a batch on whatever device holds it.

A model standardizes its input with the table below, (value − centre) · scale, clipped. The numbers
are those of the JetClass and top-tagging configurations of the Particle Transformer
(arXiv:2202.03772, table 2 for the variables), so that published weights can be used as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.jets.batch import JetBatch


@dataclass(frozen=True)
class Feature:
    """A particle feature and its standardization; no ``clip`` means that none is done."""

    name: str
    centre: float = 0.0
    scale: float = 1.0
    clip: tuple[float, float] | None = (-5.0, 5.0)


FEATURES: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        # Logarithms of momenta and energies in GeV, then relative to the jet's.
        Feature("log_pt", centre=1.7, scale=0.7),
        Feature("log_energy", centre=2.0, scale=0.7),
        Feature("log_pt_rel", centre=-4.7, scale=0.7),
        Feature("log_energy_rel", centre=-4.7, scale=0.7),
        # Distance from the jet axis in (η, φ).
        Feature("delta_r", centre=0.2, scale=4.0),
        Feature("charge", clip=None),
        Feature("is_charged_hadron", clip=None),
        Feature("is_neutral_hadron", clip=None),
        Feature("is_photon", clip=None),
        Feature("is_electron", clip=None),
        Feature("is_muon", clip=None),
        # Hyperbolic tangents of the impact parameters in mm; their errors in mm.
        Feature("tanh_d0", clip=None),
        Feature("d0_error", clip=(0.0, 1.0)),
        Feature("tanh_dz", clip=None),
        Feature("dz_error", clip=(0.0, 1.0)),
        # Differences to the jet axis; Δη carries the sign of the jet's η.
        Feature("delta_eta", clip=None),
        Feature("delta_phi", clip=None),
    )
}

_KINEMATIC = ("log_pt", "log_energy", "log_pt_rel", "log_energy_rel", "delta_r")
_IDENTITY = (
    "charge",
    "is_charged_hadron",
    "is_neutral_hadron",
    "is_photon",
    "is_electron",
    "is_muon",
)
_TRACK = ("tanh_d0", "d0_error", "tanh_dz", "dz_error")
_ANGLES = ("delta_eta", "delta_phi")

FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "kin": _KINEMATIC + _ANGLES,
    "kinpid": _KINEMATIC + _IDENTITY + _ANGLES,
    "full": _KINEMATIC + _IDENTITY + _TRACK + _ANGLES,
}

# What a feature needs from the file besides the four-momentum, and what is done to it.
_EXTRA_COLUMN: dict[str, tuple[str, Callable[[Tensor], Tensor] | None]] = {
    **{name: (name, None) for name in _IDENTITY},
    "tanh_d0": ("d0", torch.tanh),
    "d0_error": ("d0_error", None),
    "tanh_dz": ("dz", torch.tanh),
    "dz_error": ("dz_error", None),
}

EXTRA_NAMES: tuple[str, ...] = tuple(column for column, _ in _EXTRA_COLUMN.values())
"""Every particle column besides p4 that a feature can use, by the names it has in ``extra``."""


def feature_names(features: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features in a set, or check those of a list.

    Raises
    ------
    InputError
        If the set or one of the features does not exist.
    """
    if isinstance(features, str):
        if features not in FEATURE_SETS:
            raise InputError(
                f"features: there is no set {features!r}; choose one of "
                f"{', '.join(FEATURE_SETS)}, or give a list of features"
            )
        return FEATURE_SETS[features]
    for name in features:
        if name not in FEATURES:
            raise InputError(
                f"features: there is no feature {name!r}; choose from {', '.join(FEATURES)}"
            )
    return tuple(features)


def required_extras(features: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the ``extra`` columns that these features are computed from."""
    return tuple(
        _EXTRA_COLUMN[name][0] for name in feature_names(features) if name in _EXTRA_COLUMN
    )


def particle_features(
    batch: JetBatch, features: str | Sequence[str], *, raw: bool = False
) -> Float[Tensor, "rows features"]:
    """Return the standardized features of every particle, zeros in rows beyond the last particle.

    Jet energies and momenta are those of ``batch.jet_p4``, angles are relative to
    ``batch.jet_axis``, and Δη is multiplied by the sign of the jet's η (+1 at 0). A particle column
    that is not a finite number (an impact parameter of a neutral particle, in some files) counts
    as 0, as in weaver.

    Parameters
    ----------
    batch
        The jets.
    features
        A set of features, or their names.
    raw
        Return them neither standardized nor clipped, Δη without the sign of the jet's η.

    Raises
    ------
    InputError
        If a feature does not exist, or needs a column that the batch does not have.
    """
    names = feature_names(features)
    values = _kinematic_values(batch)
    for name in names:
        if name in _EXTRA_COLUMN:
            column, function = _EXTRA_COLUMN[name]
            if column not in batch.extra_names:
                raise InputError(
                    f"feature {name} needs the particle column {column}, which the data do not "
                    f"have (they have {', '.join(batch.extra_names) or 'four-momenta only'}); "
                    "choose features: kin"
                )
            stored = batch.extra[:, batch.extra_names.index(column)].nan_to_num(0.0, 0.0, 0.0)
            values[name] = stored if function is None else function(stored)
    if raw:
        values["delta_eta"] = values["delta_eta"] * _eta_signs(batch)[_jet_of_row(batch)]
    else:
        values = {name: _standardize(values[name], FEATURES[name]) for name in names}
    # Twice as fast on a CPU as stacking along the last dimension.
    stacked = torch.stack([values[name] for name in names]).t().contiguous()
    if len(batch.p4) == batch.num_particles:
        return stacked
    real = torch.arange(len(batch.p4), device=batch.device) < batch.offsets[-1]
    return torch.where(real[:, None], stacked, 0)


def _kinematic_values(batch: JetBatch) -> dict[str, Tensor]:
    """Return the features that four-momenta and jet axis give, before standardization."""
    jet = _jet_of_row(batch)
    # Each component on its own in memory: on a CPU that is up to ten times as fast.
    p4 = torch.stack(batch.p4.unbind(dim=-1)).t()
    log_pt, log_energy = _log(kinematics.pt(p4)), _log(p4[:, 3])
    log_jet_pt, log_jet_energy = _log(kinematics.pt(batch.jet_p4)), _log(batch.jet_p4[:, 3])
    axis_eta, axis_phi = batch.jet_axis.unbind(dim=-1)
    per_jet = (log_jet_pt, log_jet_energy, _eta_signs(batch), axis_eta, axis_phi)
    log_jet_pt, log_jet_energy, eta_sign, axis_eta, axis_phi = (
        values.index_select(0, jet) for values in per_jet
    )
    delta_eta = (kinematics.eta(p4) - axis_eta) * eta_sign
    delta_phi = kinematics.delta_phi(kinematics.phi(p4), axis_phi)
    return {
        "log_pt": log_pt,
        "log_energy": log_energy,
        "log_pt_rel": log_pt - log_jet_pt,
        "log_energy_rel": log_energy - log_jet_energy,
        "delta_r": kinematics.delta_r(delta_eta, delta_phi),
        "delta_eta": delta_eta,
        "delta_phi": delta_phi,
    }


def _log(value: Tensor) -> Tensor:
    """Return the logarithm, finite even at 0: raw features are not clipped."""
    return value.clamp(min=kinematics.TINY).log()


def _eta_signs(batch: JetBatch) -> Tensor:
    """Return the sign of each jet's η, +1 at 0."""
    return torch.where(batch.jet_p4[:, 2] < 0, -1.0, 1.0).to(batch.p4.dtype)


def _jet_of_row(batch: JetBatch) -> Tensor:
    """Return the jet of every row; those beyond the last particle may read the last jet's."""
    return batch.jet_of_particle.clamp(max=max(len(batch) - 1, 0))


def _standardize(value: Tensor, feature: Feature) -> Tensor:
    if feature.centre != 0 or feature.scale != 1:
        value = (value - feature.centre) * feature.scale
    return value if feature.clip is None else value.clamp(*feature.clip)
