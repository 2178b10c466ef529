"""Particle features: one definition each, computed from a batch on whatever device holds it.

A model standardizes its input with the numbers below, (value − centre) · scale, clipped. They are
those of the JetClass and top-tagging configurations of the Particle Transformer
(arXiv:2202.03772, table 2 for the variables), so that published weights can be used as they are.
``register_feature`` adds a feature of one's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.jets.column_features import ColumnName
from parttag.jets.jet_features import transformed_of_jets
from parttag.jets.kinds import own_name
from parttag.plugins import Registry

Clip = tuple[float, float] | None


class FeatureContext:
    """What features are computed from: a batch, and what several features have in common.

    Each quantity is computed when it is first asked for, and kept. Rows beyond the last particle
    hold anything.

    Parameters
    ----------
    batch
        The jets.
    raw
        Take features as they are: neither standardized nor clipped, Δη without the sign of the
        jet's η.
    """

    def __init__(self, batch: JetBatch, *, raw: bool = False) -> None:
        self.batch = batch
        self.raw = raw
        self._known: dict[str, Tensor] = {}

    # ``functools.cached_property`` holds a lock, which ``torch.compile`` cannot trace.
    def _once(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        if name not in self._known:
            self._known[name] = compute()
        return self._known[name]

    @property
    def p4(self) -> Float[Tensor, "rows 4"]:
        """(px, py, pz, E) in GeV."""
        # Each component on its own in memory: on a CPU that is up to ten times as fast.
        return self._once("p4", lambda: torch.stack(self.batch.p4.unbind(dim=-1)).t())

    @property
    def energy(self) -> Float[Tensor, " rows"]:
        """Energy in GeV."""
        return self.p4[:, 3]

    @property
    def pt(self) -> Float[Tensor, " rows"]:
        """Transverse momentum in GeV."""
        return self._once("pt", lambda: kinematics.pt(self.p4))

    @property
    def eta(self) -> Float[Tensor, " rows"]:
        """Pseudorapidity."""
        return self._once("eta", lambda: kinematics.eta(self.p4))

    @property
    def phi(self) -> Float[Tensor, " rows"]:
        """Azimuth in [−π, π]."""
        return self._once("phi", lambda: kinematics.phi(self.p4))

    @property
    def delta_eta(self) -> Float[Tensor, " rows"]:
        """Difference to the η of the jet axis, with the sign of the jet's η unless ``raw``."""
        return self._once("delta_eta", self._delta_eta)

    def _delta_eta(self) -> Tensor:
        delta_eta = self.eta - self.of_jet(self.batch.jet_axis[:, 0])
        if self.raw:
            return delta_eta
        # The sign of each jet's η, +1 at 0.
        signs = torch.where(self.batch.jet_p4[:, 2] < 0, -1.0, 1.0).to(self.batch.p4.dtype)
        return delta_eta * self.of_jet(signs)

    @property
    def delta_phi(self) -> Float[Tensor, " rows"]:
        """Difference to the φ of the jet axis, in [−π, π)."""
        return self._once(
            "delta_phi",
            lambda: kinematics.delta_phi(self.phi, self.of_jet(self.batch.jet_axis[:, 1])),
        )

    @property
    def jet(self) -> Int64[Tensor, " rows"]:
        """The jet of every row; rows beyond the last particle may name the last jet."""
        last = max(len(self.batch) - 1, 0)
        return self._once("jet", lambda: self.batch.jet_of_particle.clamp(max=last))

    def of_jet(self, values: Float[Tensor, " jets"]) -> Float[Tensor, " rows"]:
        """Return for every row the value of its jet."""
        return values.index_select(0, self.jet)

    def extra(self, name: str) -> Float[Tensor, " rows"]:
        """Return a particle column of the data; what is not a finite number counts as 0.

        Impact parameters of neutral particles are none in some files; weaver counts them as 0, too.

        Raises
        ------
        InputError
            If the data do not have the column.
        """
        if name not in self.batch.extra_names:
            raise InputError(
                f"the data have no particle column {name} (they have "
                f"{_columns(self.batch)}); a feature that uses one names it in requires"
            )
        return self.batch.extra[:, self.batch.extra_names.index(name)].nan_to_num(0.0, 0.0, 0.0)

    def table(self, features: str | Sequence[str]) -> Float[Tensor, "rows features"]:
        """Return the features of every particle; see ``particle_features``."""
        values = [self._read(name) for name in feature_names(features)]
        # Twice as fast on a CPU as stacking along the last dimension.
        stacked = torch.stack(values).t().contiguous()
        if not self.batch.has_filling:
            return stacked
        return torch.where(self._is_real()[:, None], stacked, 0)

    def _read(self, name: str) -> Float[Tensor, " rows"]:
        given = given_name(name)
        if self.raw or given not in self.batch.extra_names:
            return self._standardized(name)
        return self.batch.extra[:, self.batch.extra_names.index(given)]

    def _standardized(self, name: str) -> Float[Tensor, " rows"]:
        if not isinstance(name, ColumnName):
            return _value(FEATURES[name], self)
        values = name.feature.finite(self.transformed(name))
        return values if self.raw else name.feature.standardize(values)

    def transformed(self, name: ColumnName) -> Float[Tensor, " rows"]:
        """Return the numbers of a feature made of a column after its transform, finite or not.

        Raises
        ------
        InputError
            If the data lack the column.
        """
        if name.of_jet:
            return self.of_jet(transformed_of_jets(self.batch, name))
        column = name.feature.column
        if column in self.batch.particle_column_names:
            values = self.batch.particle_column(column).to(self.batch.p4.dtype)
        elif column in FEATURES:
            values = FEATURES[column].compute(self)
        elif column in _QUANTITIES:
            values = _QUANTITIES[column](self)
        else:
            raise InputError(
                f"features: the data have no particle column {column} (they have "
                f"{_columns(self.batch)})"
            )
        return name.feature.transformed(values)

    def _is_real(self) -> Bool[Tensor, " rows"]:
        rows = torch.arange(len(self.batch.p4), device=self.batch.device)
        return rows < self.batch.offsets[-1]


@dataclass(frozen=True)
class Feature:
    """A particle feature and its standardization; no ``clip`` means that none is done.

    ``requires`` are the particle columns of the data that it is computed from.
    """

    name: str
    function: Callable[[FeatureContext], Tensor]
    centre: float = 0.0
    scale: float = 1.0
    clip: Clip = (-5.0, 5.0)
    requires: tuple[str, ...] = ()

    def compute(self, context: FeatureContext) -> Float[Tensor, " rows"]:
        """Return the feature of every row, not yet standardized.

        Raises
        ------
        InputError
            If the data lack a particle column that it needs.
        """
        for column in self.requires:
            if column not in context.batch.extra_names:
                raise InputError(
                    f"feature {self.name} needs the particle column {column}, which the data do "
                    f"not have (they have {_columns(context.batch)}); choose features: kin"
                )
        return self.function(context)

    def standardize(self, value: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Return (value − centre) · scale, clipped."""
        if self.centre != 0 or self.scale != 1:
            value = (value - self.centre) * self.scale
        return value if self.clip is None else value.clamp(*self.clip)


def given_name(name: str) -> str:
    """Return the column of ``extra`` that, where a batch has it, stands for a feature.

    It holds what networks read, standardized: for gradients by features, and for other values.
    """
    return f"given.{own_name(name)}"


FEATURES: Registry[Feature] = Registry("feature")
"""The features by their names: the published ones, and those that are registered."""


_QUANTITIES: dict[str, Callable[[FeatureContext], Tensor]] = {
    "pt": lambda particles: particles.pt,
    "energy": lambda particles: particles.energy,
    "mass": lambda particles: kinematics.mass(particles.p4.double()).to(particles.p4.dtype),
    "eta": lambda particles: particles.eta,
    "abs_eta": lambda particles: particles.eta.abs(),
}
"""The ``QUANTITIES`` of particles, which are standardized as columns of the data are."""


def register_feature(
    name: str,
    *,
    centre: float = 0.0,
    scale: float = 1.0,
    clip: Clip = (-5.0, 5.0),
    requires: Sequence[str] = (),
) -> Callable[[Callable[[FeatureContext], Tensor]], Callable[[FeatureContext], Tensor]]:
    """Make a function a particle feature, which configurations then call by its name.

    Parameters
    ----------
    name
        What configurations call it.
    centre, scale, clip
        Networks see (value − centre) · scale, clipped; None for no clipping.
    requires
        Particle columns of the data that the function reads with ``FeatureContext.extra``.

    Raises
    ------
    InputError
        If there is another feature of that name.

    Examples
    --------
    >>> @register_feature("log_pt_squared", centre=3.4, scale=0.35)
    ... def log_pt_squared(particles: FeatureContext) -> Tensor:
    ...     return 2 * particles.pt.log()
    >>> feature_names(["charge", "log_pt_squared"])
    ('charge', 'log_pt_squared')
    """

    def register(
        function: Callable[[FeatureContext], Tensor],
    ) -> Callable[[FeatureContext], Tensor]:
        entry = Feature(name, function, centre, scale, clip, tuple(requires))
        FEATURES.add(name, entry, function)
        return function

    return register


def _log(value: Tensor) -> Tensor:
    """Return the logarithm, finite even at 0: raw features are not clipped."""
    return value.clamp(min=kinematics.TINY).log()


# Logarithms of momenta and energies in GeV, then relative to the jet's.
@register_feature("log_pt", centre=1.7, scale=0.7)
def _log_pt(particles: FeatureContext) -> Tensor:
    return _log(particles.pt)


@register_feature("log_energy", centre=2.0, scale=0.7)
def _log_energy(particles: FeatureContext) -> Tensor:
    return _log(particles.energy)


@register_feature("log_pt_rel", centre=-4.7, scale=0.7)
def _log_pt_rel(particles: FeatureContext) -> Tensor:
    jet_pt = kinematics.pt(particles.batch.jet_p4)
    return _log(particles.pt) - particles.of_jet(_log(jet_pt))


@register_feature("log_energy_rel", centre=-4.7, scale=0.7)
def _log_energy_rel(particles: FeatureContext) -> Tensor:
    return _log(particles.energy) - particles.of_jet(_log(particles.batch.jet_p4[:, 3]))


# Distance from the jet axis in (η, φ).
@register_feature("delta_r", centre=0.2, scale=4.0)
def _delta_r(particles: FeatureContext) -> Tensor:
    return kinematics.delta_r(particles.delta_eta, particles.delta_phi)


def _register_column(column: str, *, clip: Clip = None) -> None:
    """Register a particle column as it is."""
    register_feature(column, clip=clip, requires=[column])(lambda p: p.extra(column))


_IDENTITY = (
    "charge",
    "is_charged_hadron",
    "is_neutral_hadron",
    "is_photon",
    "is_electron",
    "is_muon",
)
for _name in _IDENTITY:
    _register_column(_name)


# Hyperbolic tangents of the impact parameters in mm; their errors in mm.
@register_feature("tanh_d0", clip=None, requires=["d0"])
def _tanh_d0(particles: FeatureContext) -> Tensor:
    return particles.extra("d0").tanh()


_register_column("d0_error", clip=(0.0, 1.0))


@register_feature("tanh_dz", clip=None, requires=["dz"])
def _tanh_dz(particles: FeatureContext) -> Tensor:
    return particles.extra("dz").tanh()


_register_column("dz_error", clip=(0.0, 1.0))


# Differences to the jet axis; Δη carries the sign of the jet's η.
@register_feature("delta_eta", clip=None)
def _delta_eta(particles: FeatureContext) -> Tensor:
    return particles.delta_eta


@register_feature("delta_phi", clip=None)
def _delta_phi(particles: FeatureContext) -> Tensor:
    return particles.delta_phi


_KINEMATIC = ("log_pt", "log_energy", "log_pt_rel", "log_energy_rel", "delta_r")
_TRACK = ("tanh_d0", "d0_error", "tanh_dz", "dz_error")
_ANGLES = ("delta_eta", "delta_phi")

FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "kin": _KINEMATIC + _ANGLES,
    "kinpid": _KINEMATIC + _IDENTITY + _ANGLES,
    "full": _KINEMATIC + _IDENTITY + _TRACK + _ANGLES,
}


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
    for name in map(own_name, features):
        if name not in FEATURES and not isinstance(name, ColumnName):
            nearest = get_close_matches(name, FEATURES, n=1, cutoff=0)[0]
            raise InputError(
                f"features: there is no feature {name!r}; the nearest known one is {nearest}; "
                f"choose from {', '.join(FEATURES)}"
            )
    return tuple(features)


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
    return FeatureContext(batch, raw=raw).table(features)


def _value(feature: Feature, context: FeatureContext) -> Float[Tensor, " rows"]:
    value = feature.compute(context)
    return value if context.raw else feature.standardize(value)


def _columns(batch: JetBatch) -> str:
    return ", ".join(batch.particle_column_names) or "four-momenta only"
