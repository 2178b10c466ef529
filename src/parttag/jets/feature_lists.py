"""Lists of features as configurations have them: sets, names of the table and columns."""

from collections.abc import Mapping, Sequence

from parttag.errors import InputError
from parttag.jets.arrays import EXTRA_NAMES
from parttag.jets.column_features import ColumnFeature, ColumnName
from parttag.jets.features import FEATURE_SETS, FEATURES, feature_names
from parttag.jets.kinds import QUANTITIES, KindName, own_name


def is_other_column(name: str) -> bool:
    """Return whether a feature is of a particle column that parttag knows nothing of."""
    feature = own_name(name)
    if not isinstance(feature, ColumnName) or feature.of_jet:
        return False
    column = feature.feature.column
    is_quantity = isinstance(name, KindName) and column in QUANTITIES
    return not (is_quantity or column in EXTRA_NAMES or column in FEATURES)


def needs_momentum(name: str) -> bool:
    """Return whether a feature of particles is computed from their four-momenta."""
    feature = own_name(name)
    if not isinstance(feature, ColumnName):
        return not FEATURES[feature].requires
    column = feature.feature.column
    if feature.of_jet or is_other_column(name) or column in EXTRA_NAMES:
        return False
    return column not in FEATURES or not FEATURES[column].requires


def resolved_features(
    features: str
    | Sequence[str | ColumnFeature]
    | Mapping[str, str | Sequence[str | ColumnFeature]],
) -> tuple[str, ...]:
    """Return the names of the features that a configuration lists.

    Parameters
    ----------
    features
        A set, or a list of sets, features and columns. What else a text may be is a column, which
        is standardized by what the training jets say. Or such a set or list for each kind of
        particles.

    Raises
    ------
    InputError
        If the one set does not exist, or two features have one name.
    """
    if isinstance(features, Mapping):
        return tuple(
            KindName(kind, name)
            for kind, own in features.items()
            for name in resolved_features(own)
        )
    if isinstance(features, str):
        return feature_names(features)
    names: list[str] = []
    for entry in features:
        if isinstance(entry, ColumnFeature):
            names.append(ColumnName(entry))
        elif entry in FEATURE_SETS:
            names += FEATURE_SETS[entry]
        else:
            known = isinstance(entry, ColumnName) or entry in FEATURES
            names.append(entry if known else ColumnName(ColumnFeature(column=entry)))
    refuse_repeated("features", names)
    return tuple(names)


def refuse_repeated(key: str, names: Sequence[str]) -> None:
    """Refuse features of which two have one name, one of them made of a column.

    Raises
    ------
    InputError
        If there are such.
    """
    for name in names:
        if isinstance(name, ColumnName) and names.count(name) > 1:
            raise InputError(f"{key}: {name} is there twice; leave one of them out")


def required_extras(features: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the ``extra`` columns that these features are computed from."""
    columns = [column for name in feature_names(features) for column in _required(name)]
    return tuple(dict.fromkeys(columns))


def _required(name: str) -> tuple[str, ...]:
    name = own_name(name)
    if not isinstance(name, ColumnName):
        return FEATURES[name].requires
    column = name.feature.column
    if column in EXTRA_NAMES and not name.of_jet:
        return (column,)
    return () if name.of_jet or column not in FEATURES else FEATURES[column].requires
