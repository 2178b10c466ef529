"""Features computed inside of a graph, from four-momenta, columns and the jet's four-momentum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from parttag.errors import InputError, option
from parttag.export import kinematics
from parttag.export.graph import Value
from parttag.export.variables import NOT_FINITE, Labels, Variable, of_feature
from parttag.jets.column_features import ColumnName
from parttag.jets.features import FEATURES
from parttag.jets.jet_features import JET_QUANTITIES
from parttag.jets.kinematics import TINY


class RawJets:
    """Particles and jets in a graph, and what is known of them.

    Parameters
    ----------
    vectors
        (jets, 4, slots): px, py, pz, E in GeV.
    jet
        Quantities of the whole jet by their names, (jets, 1, 1); η and φ are those of the axis.
    columns, jet_columns
        (jets, 1, slots) and (jets, 1, 1) by their names.
    """

    def __init__(
        self,
        vectors: Value,
        jet: Mapping[str, Value],
        columns: Mapping[str, Value],
        jet_columns: Mapping[str, Value],
    ) -> None:
        self.graph = vectors.graph
        self.px, self.py, self.pz, self.energy = self.graph.split(vectors, 1, [1] * 4)
        self.jet = jet
        self.columns, self.jet_columns = (
            {name: _restored(value) for name, value in each.items()}
            for each in (columns, jet_columns)
        )

    @cached_property
    def pt(self) -> Value:
        """Transverse momentum of every slot."""
        return kinematics.pt(self.px, self.py)

    @cached_property
    def eta(self) -> Value:
        """Pseudorapidity of every slot."""
        return kinematics.eta(self.px, self.py, self.pz)

    @cached_property
    def delta_eta(self) -> Value:
        """Difference to the jet's η, with its sign."""
        return (self.eta - self.jet["jet_eta"]) * kinematics.sign_of(self.jet["jet_eta"])

    @cached_property
    def delta_phi(self) -> Value:
        """Difference to the jet's φ, in [−π, π)."""
        return kinematics.wrap(kinematics.phi(self.px, self.py) - self.jet["jet_phi"])

    def column(self, name: str) -> Value:
        """Return a column of the particles; what is not finite counts as 0."""
        return finite(self.columns[name], 0.0)

    def of_particles(self, names: Sequence[str]) -> Value:
        """Return features of the particles, standardized: (jets, variables, slots)."""
        zeros = self.energy * 0.0
        rows = [
            self._standardized(name) + zeros if is_of_jet(name) else self._standardized(name)
            for name in names
        ]
        return self.graph.concat(rows, 1)

    def of_jets(self, names: Sequence[str]) -> Value:
        """Return features of the jet, standardized: (jets, variables, 1)."""
        return self.graph.concat([self._standardized(name) for name in names], 1)

    def _standardized(self, name: str) -> Value:
        return standardize(self._values(name), of_feature(name, Labels({})))

    def _values(self, name: str) -> Value:
        if not isinstance(name, ColumnName):
            return _FEATURES[name](self)
        column = name.feature.column
        if is_of_jet(name):
            own = self.jet_columns.get(column)
            values = _JETS[column](self) if own is None else own
        elif column in self.columns:
            values = self.columns[column]
        else:
            values = (_FEATURES | _QUANTITIES)[column](self)
        return _transformed(values, name.feature.transform)


def columns_of(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns of particles and of jets that features are made of.

    Raises
    ------
    InputError
        If a feature is not parttag's own, so that no graph is known for it.
    """
    of_particles: dict[str, None] = {}
    of_jets: dict[str, None] = {}
    for name in names:
        feature = name.feature.column if isinstance(name, ColumnName) else name
        if is_of_jet(name):
            if feature not in JET_QUANTITIES:
                of_jets[feature] = None
            continue
        if isinstance(name, ColumnName) and feature in _QUANTITIES:
            continue
        is_own = feature in FEATURES and (not isinstance(name, ColumnName) or _is_computed(feature))
        if is_own and feature not in _FEATURES:
            raise InputError(
                f"the feature {feature} of a plug-in has no ONNX graph; leave out "
                f"{option('inputs', 'raw')}, and compute it before the model"
            )
        for column in FEATURES[feature].requires if is_own else (feature,):
            of_particles[column] = None
    return tuple(of_particles), tuple(of_jets)


def is_of_jet(name: str) -> bool:
    """Return whether a feature is one of the jet."""
    return isinstance(name, ColumnName) and name.of_jet


def _is_computed(feature: str) -> bool:
    """Return whether a feature is more than a column of the same name."""
    return FEATURES[feature].requires != (feature,)


def _restored(column: Value) -> Value:
    """Return a column with NaN where its reader had to put something else."""
    graph = column.graph
    is_replaced = graph.op("Equal", column, NOT_FINITE, dtype="bool")
    return graph.op("Where", is_replaced, float("nan"), column, dtype="float32")


def finite(value: Value, replacement: float) -> Value:
    """Return a value with a number in place of what is not finite."""
    is_finite = value.apply("Abs") < float("inf")
    return value.graph.op("Where", is_finite, value, replacement, dtype=value.dtype)


def standardize(value: Value, variable: Variable) -> Value:
    """Return (value − centre) · scale, clipped; what is not finite is replaced before."""
    if variable.clips_infinite:
        is_nan = value.graph.op("IsNaN", value, dtype="bool")
        value = value.graph.op("Where", is_nan, variable.replace, value, dtype=value.dtype)
    else:
        value = finite(value, variable.replace)
    if variable.centre != 0 or variable.scale != 1:
        value = (value - variable.centre) * variable.scale
    return value if variable.clip is None else value.clip(*variable.clip)


def _log(value: Value) -> Value:
    return kinematics.log(value.clip(TINY))


def _transformed(value: Value, transform: str) -> Value:
    if transform == "none":
        return value
    if transform == "log":
        return kinematics.log(value)
    if transform == "log1p":
        return (value.cast("float64") + 1.0).apply("Log").cast("float32")
    return value.apply({"sqrt": "Sqrt", "tanh": "Tanh", "abs": "Abs", "asinh": "Asinh"}[transform])


def _column(name: str) -> Callable[[RawJets], Value]:
    return lambda jets: jets.column(name)


_COLUMNS = (
    "charge",
    "is_charged_hadron",
    "is_neutral_hadron",
    "is_photon",
    "is_electron",
    "is_muon",
    "d0_error",
    "dz_error",
)

_FEATURES: dict[str, Callable[[RawJets], Value]] = {
    "log_pt": lambda jets: _log(jets.pt),
    "log_energy": lambda jets: _log(jets.energy),
    "log_pt_rel": lambda jets: _log(jets.pt) - _log(jets.jet["jet_pt"]),
    "log_energy_rel": lambda jets: _log(jets.energy) - _log(jets.jet["jet_energy"]),
    "delta_r": lambda jets: kinematics.delta_r(jets.delta_eta, jets.delta_phi),
    "tanh_d0": lambda jets: jets.column("d0").apply("Tanh"),
    "tanh_dz": lambda jets: jets.column("dz").apply("Tanh"),
    "delta_eta": lambda jets: jets.delta_eta,
    "delta_phi": lambda jets: jets.delta_phi,
    **{name: _column(name) for name in _COLUMNS},
}

_QUANTITIES: dict[str, Callable[[RawJets], Value]] = {
    "pt": lambda jets: jets.pt,
    "energy": lambda jets: jets.energy,
    "mass": lambda jets: kinematics.mass(jets.px, jets.py, jets.pz, jets.energy),
    "eta": lambda jets: jets.eta,
    "abs_eta": lambda jets: jets.eta.apply("Abs"),
}
"""What features of a kind may name besides, as in ``jets/features.py``."""

_JETS: dict[str, Callable[[RawJets], Value]] = {
    "log_pt": lambda jets: kinematics.log(jets.jet["jet_pt"]),
    "log_energy": lambda jets: kinematics.log(jets.jet["jet_energy"]),
    "log_mass": lambda jets: kinematics.log(jets.jet["jet_mass"]),
    "eta": lambda jets: jets.jet["jet_eta"],
    "abs_eta": lambda jets: jets.jet["jet_eta"].apply("Abs"),
}
