"""The sections ``features`` and ``jet_features`` of a run, and what they say of the data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns
from parttag.errors import InputError
from parttag.jets.column_features import ColumnFeature, ColumnName
from parttag.jets.feature_lists import (
    is_other_column,
    needs_momentum,
    refuse_repeated,
    resolved_features,
)
from parttag.jets.features import FEATURE_SETS, FEATURES
from parttag.jets.jet_features import JET_QUANTITIES
from parttag.jets.kinds import KindLabel, KindName, names_by_kind, own_name
from parttag.options import MAPPING, Options, read_options


def _read_features(value: Any) -> Any:
    """Read a set or list of features, or one for each kind of particles."""
    if isinstance(value, Mapping):
        return {kind: _read_mappings(f"features.{kind}", own) for kind, own in value.items()}
    return _read_mappings("features", value)


def _read_mappings(key: str, value: Any) -> Any:
    """Read the mappings of a list, so that what is said of a wrong one is said of it alone."""
    if not isinstance(value, list | tuple):
        return value
    try:
        return [read_options(ColumnFeature, e) if isinstance(e, Mapping) else e for e in value]
    except InputError as error:
        raise InputError(f"{key}: {error}") from error


FeatureList = str | tuple[str | ColumnFeature, ...]

Features = Annotated[
    Annotated[FeatureList, Tag("(list)")] | Annotated[dict[KindLabel, FeatureList], Tag(MAPPING)],
    Discriminator(lambda value: MAPPING if isinstance(value, Mapping) else "(list)"),
    BeforeValidator(_read_features),
]


class JetFeaturesOptions(Options):
    """Quantities of the jet that the network is given: a list of them, or with where they go."""

    to: Literal["representation", "particles"] = "representation"
    """Beside what the network makes of the jet, before its head; or beside every particle."""
    names: Annotated[
        tuple[str | ColumnFeature, ...],
        BeforeValidator(lambda value: _read_mappings("jet_features", value)),
    ] = ()
    """log_pt, log_energy, log_mass, eta, abs_eta and columns of the jets, each as it is or as in
    features."""

    @property
    def resolved(self) -> tuple[ColumnName, ...]:
        """The names of the features, with what they are."""
        of_jet = (
            entry if isinstance(entry, ColumnFeature) else ColumnFeature(column=entry)
            for entry in self.names
        )
        return tuple(ColumnName(feature, of_jet=True) for feature in of_jet)


def _as_section(value: Any) -> Any:
    if isinstance(value, str):
        return {"names": [value]}
    return {"names": value} if isinstance(value, list | tuple) else value


JetFeatures = Annotated[JetFeaturesOptions, BeforeValidator(_as_section)]


def network_features(features: Features, jet: JetFeaturesOptions) -> tuple[str, ...]:
    """Return the names of what a network reads of every particle.

    Raises
    ------
    InputError
        If the set does not exist, or a name is there twice.
    """
    names = resolved_features(features)
    refuse_repeated("jet_features", jet.resolved)
    beside = jet.resolved if jet.to == "particles" else ()
    if not isinstance(features, Mapping):
        return names + beside
    by_kind = names_by_kind(names)
    return tuple(KindName(kind, n) for kind in features for n in (*by_kind[kind], *beside))


def wanted_columns(
    features: Features,
    jet: JetFeaturesOptions,
    columns: ColumnsOptions | None,
    of_network: tuple[tuple[str | None, str], ...] = (),
) -> WantedColumns:
    """Return the columns that the features are made of, besides those that parttag knows.

    Parameters
    ----------
    of_network
        Kinds of particles whose four-momenta the network needs, ``None`` for all, and its name.

    Raises
    ------
    InputError
        If ``data.columns`` gives a name of parttag's to a column.
    """
    sections = columns.sections if columns is not None else ()
    extra = [name for section in sections for name in section.extra]
    jet_extra = columns.jet_extra if columns is not None else {}
    keys = columns.section_keys if columns is not None and columns.kinds else ["particles"]
    of_keys = [list(section.extra) for section in sections] if len(keys) > 1 else [extra]
    for key, named, known in (
        *((f"{key}.extra", own, FEATURES) for key, own in zip(keys, of_keys, strict=True)),
        ("jet_extra", jet_extra, JET_QUANTITIES),
    ):
        for name in named:
            if name in known:
                raise InputError(
                    f"data.columns.{key}.{name}: {name} is a feature of parttag's own; call the "
                    "column something else"
                )
    names = resolved_features(features)
    by_kind: dict[str, list[str]] = {kind: [] for kind in names_by_kind(names)}
    of_particles = []
    for name in filter(is_other_column, names):
        feature = own_name(name)
        assert isinstance(feature, ColumnName)
        of_particles.append(feature.feature.column)
        if isinstance(name, KindName):
            by_kind[name.kind].append(feature.feature.column)
    of_jets = [
        column for name in jet.resolved if (column := name.feature.column) not in JET_QUANTITIES
    ]
    return WantedColumns(
        particles=tuple(dict.fromkeys(of_particles)),
        jets=tuple(dict.fromkeys(of_jets)),
        of_kinds=tuple((kind, tuple(dict.fromkeys(own))) for kind, own in by_kind.items()),
        with_momenta=(*_needing_momenta(names), *of_network),
        known=(*FEATURES, *extra, *JET_QUANTITIES, *jet_extra),
    )


def _needing_momenta(names: Sequence[str]) -> tuple[tuple[str | None, str], ...]:
    """Return the kinds whose features need four-momenta, ``None`` for all, and one that does."""
    needing: dict[str | None, str] = {}
    for name in filter(needs_momentum, names):
        kind = name.kind if isinstance(name, KindName) else None
        needing.setdefault(kind, f"feature {own_name(name)}")
    return tuple(needing.items())


@dataclass(frozen=True)
class FeatureOfColumn:
    """A feature that is made of a column: of all particles, of one kind of them, or of jets."""

    feature: ColumnFeature
    kind: str | None = None
    of_jet: bool = False

    @property
    def name(self) -> ColumnName:
        """Its name without the kind."""
        return ColumnName(self.feature, of_jet=self.of_jet)

    @property
    def full_name(self) -> str:
        """Its name in messages."""
        return self.name if self.kind is None else KindName(self.kind, self.name)

    @property
    def key(self) -> str:
        """The section of the configuration that it is in."""
        if self.of_jet:
            return "jet_features"
        return "features" if self.kind is None else f"features.{self.kind}"


def column_features(
    features: Features, jet_features: JetFeaturesOptions
) -> tuple[FeatureOfColumn, ...]:
    """Return the features of particles and jets that are made of columns."""
    found = []
    for name in (*resolved_features(features), *jet_features.resolved):
        own = own_name(name)
        if isinstance(own, ColumnName):
            kind = name.kind if isinstance(name, KindName) else None
            found.append(FeatureOfColumn(own.feature, kind, own.of_jet))
    return tuple(found)


def replaced(
    features: Features,
    jet_features: JetFeaturesOptions,
    change: Callable[[FeatureOfColumn], ColumnFeature],
) -> tuple[Features, JetFeaturesOptions]:
    """Return features of particles and jets with those made of columns changed."""

    def entry_of(
        entry: str | ColumnFeature, kind: str | None, *, of_jet: bool
    ) -> str | ColumnFeature:
        if isinstance(entry, str):
            if not of_jet and (entry in FEATURE_SETS or entry in FEATURES):
                return entry
            entry = ColumnFeature(column=entry)
        return change(FeatureOfColumn(entry, kind, of_jet))

    def list_of(own: FeatureList, kind: str | None = None) -> FeatureList:
        if isinstance(own, str):
            return own
        return tuple(entry_of(entry, kind, of_jet=False) for entry in own)

    if isinstance(features, dict):
        changed: Features = {kind: list_of(own, kind) for kind, own in features.items()}
    else:
        changed = list_of(features)
    names = tuple(entry_of(entry, None, of_jet=True) for entry in jet_features.names)
    return changed, jet_features.model_copy(update={"names": names})
