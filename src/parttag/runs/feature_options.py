"""The sections ``features`` and ``jet_features`` of a run, and what they say of the data."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns
from parttag.errors import InputError
from parttag.jets.column_features import ColumnFeature, ColumnName
from parttag.jets.feature_lists import is_other_column, refuse_repeated, resolved_features
from parttag.jets.features import FEATURE_SETS, FEATURES
from parttag.jets.jet_features import JET_QUANTITIES
from parttag.options import Options, read_options


def _read_mappings(key: str, value: Any) -> Any:
    """Read the mappings of a list, so that what is said of a wrong one is said of it alone."""
    if not isinstance(value, list | tuple):
        return value
    try:
        return [read_options(ColumnFeature, e) if isinstance(e, Mapping) else e for e in value]
    except InputError as error:
        raise InputError(f"{key}: {error}") from error


Features = Annotated[
    str | tuple[str | ColumnFeature, ...],
    BeforeValidator(lambda value: _read_mappings("features", value)),
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
    return names + (jet.resolved if jet.to == "particles" else ())


def wanted_columns(
    features: Features, jet: JetFeaturesOptions, columns: ColumnsOptions | None
) -> WantedColumns:
    """Return the columns that the features are made of, besides those that parttag knows.

    Raises
    ------
    InputError
        If ``data.columns`` gives a name of parttag's to a column.
    """
    extra = [name for section in columns.sections for name in section.extra] if columns else []
    jet_extra = columns.jet_extra if columns is not None else {}
    for key, named, known in (
        ("particles.extra", extra, FEATURES),
        ("jet_extra", jet_extra, JET_QUANTITIES),
    ):
        for name in named:
            if name in known:
                raise InputError(
                    f"data.columns.{key}.{name}: {name} is a feature of parttag's own; call the "
                    "column something else"
                )
    of_particles = [
        name.feature.column
        for name in resolved_features(features)
        if isinstance(name, ColumnName) and is_other_column(name)
    ]
    of_jets = [
        column for name in jet.resolved if (column := name.feature.column) not in JET_QUANTITIES
    ]
    return WantedColumns(
        particles=tuple(dict.fromkeys(of_particles)),
        jets=tuple(dict.fromkeys(of_jets)),
        known=(*FEATURES, *extra, *JET_QUANTITIES, *jet_extra),
    )


def replaced(
    entries: Iterable[str | ColumnFeature],
    known: Callable[[str], bool],
    change: Callable[[ColumnFeature], ColumnFeature],
) -> tuple[str | ColumnFeature, ...]:
    """Return a list of features with those made of columns changed.

    Parameters
    ----------
    known
        Whether a text stands for something else than a column.
    """

    def entry_of(entry: str | ColumnFeature) -> str | ColumnFeature:
        if isinstance(entry, ColumnFeature):
            return change(entry)
        return entry if known(entry) else change(ColumnFeature(column=entry))

    return tuple(map(entry_of, entries))


def is_known(name: str) -> bool:
    """Return whether a text in ``features`` is a set or a feature, and no column."""
    return name in FEATURE_SETS or name in FEATURES
