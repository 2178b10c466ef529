"""Groups of inputs to kinds of constituents, and what is known of each kind.

``pf_points``, ``pf_features``, ``pf_vectors`` and ``pf_mask`` are of the kind ``pf``. A group of
numbers of the jet itself (no ``length``, or 1, and nothing else of its kind) is of no kind.
"""

from dataclasses import dataclass

from parttag.runs.weaver.source import Group, Input, WeaverFile

OTHER = "other"
_ROLES = ("points", "features", "vectors", "mask")


@dataclass(frozen=True)
class Kind:
    """The groups of one kind of constituents."""

    name: str
    groups: dict[str, Group]

    def inputs(self, role: str) -> tuple[Input, ...]:
        """Return the variables of one of its groups."""
        return self.groups[role].inputs if role in self.groups else ()

    @property
    def length(self) -> int | None:
        """Constituents that a network sees at most."""
        return max((g.length for g in self.groups.values() if g.length is not None), default=None)

    @property
    def line(self) -> int | None:
        """Of its first group."""
        return next(iter(self.groups.values())).line

    @property
    def is_of_jet(self) -> bool:
        """Whether these are numbers of the jet itself."""
        if len(self.groups) > 1 or not {"features", OTHER} & set(self.groups):
            return False
        return self.length is None or self.length == 1


def split_kinds(file: WeaverFile) -> tuple[list[Kind], list[Kind], list[Kind]]:
    """Return the kinds of constituents, the groups that are of the jet, and tensors of neither."""
    found: dict[str, Kind] = {}
    for group in file.inputs:
        name, _, role = group.name.rpartition("_")
        if role not in _ROLES or not name:
            name, role = (group.name, OTHER) if role not in _ROLES else ("particles", role)
        kind = found.setdefault(name, Kind(name, {}))
        kind.groups[role] = group
    of_jets = [kind for kind in found.values() if kind.is_of_jet]
    others = [kind for kind in found.values() if OTHER in kind.groups and not kind.is_of_jet]
    kinds = [kind for kind in found.values() if kind not in of_jets and kind not in others]
    return _with_stray_points(kinds), of_jets, others


def _with_stray_points(kinds: list[Kind]) -> list[Kind]:
    """Give points of a name of their own to the one kind that has none."""
    stray = [kind for kind in kinds if set(kind.groups) == {"points"}]
    homes = [kind for kind in kinds if "features" in kind.groups and "points" not in kind.groups]
    if len(stray) != 1 or len(homes) != 1:
        return kinds
    homes[0].groups["points"] = stray[0].groups["points"]
    return [kind for kind in kinds if kind is not stray[0]]
