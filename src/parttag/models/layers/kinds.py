"""Networks of particles of several kinds: an input network for each kind, and limits of each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from jaxtyping import Float
from pydantic import Discriminator, PositiveInt, Tag
from torch import Tensor, nn

from parttag.errors import InputError
from parttag.jets.kind_features import KindTables
from parttag.jets.kinds import KindLabel, KindLimits, MaxParticles, names_by_kind
from parttag.options import MAPPING, nearest

MostParticles = Annotated[
    Annotated[PositiveInt | None, Tag("(number)")]
    | Annotated[dict[KindLabel, PositiveInt | None], Tag(MAPPING)],
    Discriminator(lambda value: MAPPING if isinstance(value, dict) else "(number)"),
]
"""Particles of highest pT that are used: of all, or of each kind; null for all."""


def particle_limits(most: int | dict[str, int | None] | None, names: Sequence[str]) -> MaxParticles:
    """Return how many particles a network that reads these features is given.

    Particles of kinds of which it reads no feature are left out.

    Raises
    ------
    InputError
        If a number is given for a kind of which there are no features.
    """
    kinds = tuple(names_by_kind(names))
    of_kind = most if isinstance(most, dict) else {}
    require_features("max_particles", of_kind, names)
    together = most if isinstance(most, int) else None
    if not kinds:
        return together
    return KindLimits(tuple((kind, of_kind.get(kind)) for kind in kinds), together)


def require_features(option: str, of_kinds: Iterable[str], names: Sequence[str]) -> None:
    """Refuse an option of a network that speaks of kinds of which there are no features.

    Raises
    ------
    InputError
        If it does.
    """
    kinds = tuple(names_by_kind(names))
    for kind in of_kinds:
        if not kinds:
            raise InputError(
                f"model.{option}.{kind}: features are those of all particles alike; give them for "
                "each kind, or leave the kind out"
            )
        if kind not in kinds:
            raise InputError(
                f"model.{option}.{kind}: there is no such kind in features; the nearest is "
                f"{nearest(kind, kinds)}"
            )


class ByKind(nn.Module):
    """A network for the particles of each kind, with outputs of one width.

    Its parameters are called after the kinds: ``of_charged.weight``.
    """

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        super().__init__()
        for kind, network in networks.items():
            self.add_module(f"of_{kind}", network)

    def forward(self, inputs: KindTables) -> Float[Tensor, "particles width"]:
        """Return the particles of all kinds, in their order."""
        networks = zip(self.children(), inputs.tables, strict=True)
        return inputs.joined([network(table) for network, table in networks])

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile each network; how many particles are of which kind changes with every batch."""
        for network in self.children():
            network.compile(*args, **options)


def input_network(
    names: Sequence[str],
    make: Callable[[tuple[int, ...]], nn.Module],
    dims: tuple[int, ...] = (),
    of_kinds: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> nn.Module:
    """Return what embeds the particles: one network, or one for each kind.

    Parameters
    ----------
    names
        The features that the network reads.
    make
        Returns a network of these widths, the first of which is the number of features.
    dims
        The other widths.
    of_kinds
        Those before the last, of kinds that have their own.
    """
    by_kind = names_by_kind(names)
    if not by_kind:
        return make((len(names), *dims))
    require_features("kind_dims", of_kinds, names)
    return ByKind(
        {
            kind: make((len(own), *of_kinds.get(kind, dims[:-1]), *dims[-1:]))
            for kind, own in by_kind.items()
        }
    )
