"""What the sections of a configuration say of kinds of particles, compared with one another."""

from collections.abc import Sequence

from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns, no_momenta
from parttag.errors import InputError
from parttag.jets.feature_lists import required_extras
from parttag.jets.kinds import Kinds, names_by_kind, require_kinds
from parttag.models import MODELS, ModelOptions
from parttag.models.layers.kinds import particle_limits, require_features
from parttag.training.objectives import OBJECTIVES


def momenta_of_network(
    model: ModelOptions, names: Sequence[str]
) -> tuple[tuple[str | None, str], ...]:
    """Return the kinds whose four-momenta a network reads, ``None`` for all, and what it is."""
    if not MODELS[model.name].network.needs_momenta(model):
        return ()
    kinds: tuple[str | None, ...] = tuple(names_by_kind(names)) or (None,)
    return tuple((kind, f"model {model.name}") for kind in kinds)


def check_kinds(
    model: ModelOptions,
    names: Sequence[str],
    columns: ColumnsOptions | None,
    wanted: WantedColumns,
) -> None:
    """Refuse a network that tells no kinds apart, and features and limits of kinds there are not.

    Parameters
    ----------
    names
        What the network reads of particles.

    Raises
    ------
    InputError
        If so, or if a kind has no four-momenta where the network or a feature needs them.
    """
    network = MODELS[model.name].network
    network.refuse_kinds(names)
    if network.takes_kinds:
        particle_limits(getattr(model, "max_particles", None), names)
        require_features("kind_dims", getattr(model, "kind_dims", ()), names)
    by_kind = names_by_kind(names)
    if columns is None:
        return
    require_kinds(tuple(by_kind), columns.kinds, "data.columns")
    for kind, what in wanted.with_momenta:
        for name, has_momentum in columns.kinds:
            if not has_momentum and kind in (None, name):
                raise InputError(no_momenta(name, what, "data.columns"))
    sections = dict(zip((name for name, _ in columns.kinds), columns.sections, strict=False))
    for kind, own in by_kind.items():
        missing = [c for c in required_extras(own) if c not in sections[kind].extra_names]
        if missing:
            raise InputError(
                f"features.{kind} needs the column {missing[0]}, of which no branch is named in "
                f"data.columns.particles.{kind}; name it, or leave the feature out"
            )


def left_out(objective: str, names: Sequence[str], kinds: Kinds) -> list[str]:
    """Return what there is to say of kinds of particles that are in the data and not used.

    Parameters
    ----------
    objective
        Its name.
    names
        What the network reads of particles.
    kinds
        Of the jets.
    """
    said = []
    read = names_by_kind(names)
    unread = [name for name, _ in kinds if name not in read]
    if read and unread:
        said.append(f"of {', '.join(unread)} no features are read: they are left out")
    seen = tuple(kind for kind in kinds if not read or kind[0] in read)
    sentence = OBJECTIVES[objective].what_is_left_out(seen)
    return said if sentence is None else [*said, sentence]
