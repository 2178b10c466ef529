"""``data.columns``: what the branches of the user's own files mean.

Every option that names a branch takes its name in the file. Momenta, energies and masses are in
``unit``, impact parameters in ``length_unit``.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    model_validator,
)

from parttag.data.readers.derived import DerivedColumns
from parttag.data.readers.friend_columns import FriendColumns
from parttag.data.readers.layout import MAX_PARTICLES
from parttag.data.readers.named_layouts import complete
from parttag.data.readers.of_jet import OfJet
from parttag.data.readers.particle_columns import Column, KindColumns, ParticleColumns, Unit
from parttag.jets.arrays import EXTRA_NAMES
from parttag.jets.kinds import KindLabel, Kinds, check_number_of_kinds
from parttag.options import MAPPING, Name, Options, Texts

Values = Annotated[
    tuple[int, ...] | tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, int | str) else value),
]
"""One whole number or text, or a list of them."""

_JET_MOMENTA = (("pt", "eta", "phi"), ("px", "py", "pz"))


class JetColumns(Options):
    """The branches of the jets' own momenta, one number a jet; ``energy`` or ``mass``.

    A number in place of a branch holds for all jets.
    """

    pt: Column | None = None
    eta: Column | None = None
    phi: Column | None = None
    px: Column | None = None
    py: Column | None = None
    pz: Column | None = None
    energy: Column | None = None
    mass: Column | None = None
    unit: Unit = "GeV"

    @model_validator(mode="after")
    def _is_a_momentum(self) -> "JetColumns":
        given = [name for names in _JET_MOMENTA for name in names if self.has(name)]
        if tuple(given) not in _JET_MOMENTA:
            raise ValueError(
                "name the branches of pt, eta and phi, or of px, py and pz; there are "
                f"{', '.join(given) or 'none'}"
            )
        if (self.energy is None) == (self.mass is None):
            raise ValueError("name one of energy and mass")
        return self

    def has(self, name: str) -> bool:
        """Return whether an option names a branch, or gives a number for all jets."""
        return getattr(self, name) is not None


class LabelColumns(Options):
    """What the labels of a jet are; one of ``branches``, ``values``, ``one_hot`` and ``files``.

    In each, the key is the name that ``data.classes`` knows the label by.
    """

    branches: dict[Name, str] = Field(default={})
    """Label: the branch that is 1 for its jets and 0 for others."""
    branch: str | None = None
    """The branch that ``values`` are of."""
    values: dict[Name, Values] = Field(default={})
    """Label: the value of ``branch`` that its jets have, or a list of them; numbers or texts."""
    one_hot: str | None = None
    """The branch that holds one 0 or 1 a label, in the order of ``names``."""
    names: tuple[Name, ...] = ()
    """The labels of ``one_hot``."""
    files: dict[Name, Texts] = Field(default={})
    """Label: a pattern that the names of its files match (``*ttbar*.root``), or a list; a pattern
    with a slash is for the whole path."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> "LabelColumns":
        if sum(map(bool, (self.branches, self.values, self.one_hot, self.files))) != 1:
            raise ValueError("give one of branches, values, one_hot and files")
        if bool(self.values) != (self.branch is not None):
            raise ValueError("branch and values belong together")
        if bool(self.names) != (self.one_hot is not None):
            raise ValueError("one_hot and names belong together")
        if len(set(self.names)) < len(self.names):
            raise ValueError("names has a label twice")
        if len({type(value) for values in self.values.values() for value in values}) > 1:
            raise ValueError("values must be all whole numbers or all texts")
        return self

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels."""
        return self.names or tuple(self.branches or self.values or self.files)

    @property
    def are_texts(self) -> bool:
        """Whether ``branch`` holds texts."""
        return any(isinstance(value, str) for values in self.values.values() for value in values)


def _form(value: Any) -> str:
    """Return which form a value has: options are no names of kinds, and kinds are sections."""
    if isinstance(value, list | tuple):
        return "(several)"
    if not isinstance(value, Mapping) or not value or value.keys() & ParticleColumns.model_fields:
        return "(one)"
    sections = (isinstance(own, Mapping | KindColumns) for own in value.values())
    return MAPPING if all(sections) else "(one)"


Sections = Annotated[
    Annotated[ParticleColumns, Tag("(one)")]
    | Annotated[tuple[ParticleColumns, ...], Field(min_length=1), Tag("(several)")]
    | Annotated[dict[KindLabel, KindColumns], Tag(MAPPING)],
    Discriminator(_form),
]
"""The branches of all particles; of several collections of them; or of each kind by its name."""


class ColumnsOptions(Options):
    """What the branches of the user's own ROOT, parquet, HDF5 or npz files mean."""

    layout: Name | None = None
    """The name of a known layout, such as ``pfnano_fatjet``; ``parttag layouts`` lists them. Keys
    beside it win: mappings are merged key by key, ``null`` leaves a key out, and everything else,
    ``labels``, ``of_jet`` and ``relative_to_jet`` as wholes, replaces what the layout says. What
    comes of it is what a run keeps."""
    jets: Name | None = None
    """What the file calls its jets (``FatJet``), where an entry is an event that holds several of
    them; without it an entry is one jet. Branches of jets, labels and weights then hold one value a
    jet of the event, or one for all of them; ``particles.of_jet`` says which particles are a
    jet's."""
    particles: Sections | None = None
    """The four-momenta of the particles, and what else is known of them; without them particles and
    jets are those of JetClass's branches. A list of such sections is for particles of several
    collections: a column that one of them lacks is 0 for its particles. A mapping of such sections
    (``{charged: …, neutral: …, vertices: …}``) is for kinds of particles that a network tells
    apart; see ``features``."""
    jet: JetColumns | None = None
    """Jet quantities; without them a jet is the sum of its particles."""
    labels: LabelColumns | None = None
    """The truth; not needed for jets that are only to be scored."""
    jet_extra: dict[Name, str] = Field(default={})
    """More columns of the jets by the names that ``jet_features`` know them by."""
    derived: dict[Name, str] = Field(default={})
    """More branches, by formulas of others: ``{log_chi2: "log(chi2 + 1)"}``; every option that
    names a branch takes them. Formulas have numbers, branches, arithmetic, comparisons, slices and
    functions of NumPy and Awkward Array (``sqrt``, ``where``, ``ak.sum``); nothing runs as code."""
    jet_weight: str | None = None
    """The weight of the jet in loss and metrics; 1 if not given. What negative ones count for,
    ``data.negative_weights`` says."""
    tree: str | tuple[str, ...] | dict[str, str] | None = None
    """The TTree or RNTuple of ROOT files; needed if there are several and none is named tree.
    ``dir/T;2`` is a cycle of it. Of a list, the first that a file has is read; where files differ,
    patterns of their names say which (``{"*ttbar*.root": Events, "*": tree}``)."""
    friends: tuple[FriendColumns, ...] = ()
    """Trees with more branches of the same entries."""
    max_particles: PositiveInt = MAX_PARTICLES
    """Files with more particles, or slots, in one jet are refused: a few bytes can claim any number
    of them."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, section: Any) -> Any:
        return complete(section) if isinstance(section, Mapping) else section

    @model_validator(mode="after")
    def _says_something(self) -> "ColumnsOptions":
        if self.particles is None and self.jet is not None:
            raise ValueError("jet is given without particles; name their branches too")
        relative = [section.relative for section in self.sections]
        if self.jet is None and any(r is not None and r.needs_jet for r in relative):
            raise ValueError("particles.relative_to_jet needs the jet's own momentum: name jet")
        return self

    @model_validator(mode="after")
    def _jets_are_counted_in_the_file(self) -> "ColumnsOptions":
        DerivedColumns(self.derived)
        if self.leading_jets in self.derived:
            raise ValueError(
                f"{self.leading_jets} is derived, but says how many jets there are: name a branch "
                "of the file first"
            )
        return self

    @model_validator(mode="after")
    def _has_countable_kinds(self) -> "ColumnsOptions":
        check_number_of_kinds(len(self.kinds))
        return self

    @model_validator(mode="after")
    def _kinds_have_relations(self) -> "ColumnsOptions":
        of_jets = [section.of_jet for section in self.sections] if self.kinds else []
        without = [n for (n, _), of_jet in zip(self.kinds, of_jets, strict=True) if of_jet is None]
        if without and len(without) < len(of_jets):
            raise ValueError(f"particles.{without[0]} has no of_jet; of kinds, each has its own")
        if any(of_jet is not None and of_jet.cluster is not None for of_jet in of_jets):
            raise ValueError("no jets can be made of kinds of particles: leave out of_jet.cluster")
        for (name, has_momentum), of_jet in zip(self.kinds, of_jets, strict=True):
            if of_jet is not None and of_jet.within is not None and not has_momentum:
                raise ValueError(
                    f"particles.{name}.of_jet.within needs directions: name those of {name}"
                )
        return self

    @model_validator(mode="after")
    def _jets_have_particles(self) -> "ColumnsOptions":
        of_jet = self.of_jet
        if not self.kinds and any(section.of_jet is not None for section in self.sections[1:]):
            raise ValueError("of_jet belongs to the first section of particles, and holds for all")
        if of_jet is None:
            if self.jets is not None:
                raise ValueError(
                    "jets is given, but not which particles are a jet's: say it in particles.of_jet"
                )
            return self
        if of_jet.cluster is not None:
            if self.jet is not None:
                raise ValueError("with particles.of_jet.cluster jets are made: leave out jet")
            return self
        if self.jets is None:
            raise ValueError(
                "particles.of_jet is for events of several jets: name those in jets, or leave it "
                "out"
            )
        if self.leading_jets is None:
            raise ValueError(
                "name a branch of the jets in jet, which says how many of them an event has"
            )
        several = of_jet.references or of_jet.within or self.kinds
        if len(self.sections) > 1 and not several:
            raise ValueError(
                "of several sections of particles, of_jet can be references, within or cluster"
            )
        return self

    @property
    def sections(self) -> tuple[ParticleColumns, ...]:
        """The branches of each collection of particles."""
        if self.particles is None:
            return ()
        if isinstance(self.particles, dict):
            return tuple(self.particles.values())
        return self.particles if isinstance(self.particles, tuple) else (self.particles,)

    @property
    def section_keys(self) -> tuple[str, ...]:
        """Where each section of particles is said: ``particles.charged``."""
        if isinstance(self.particles, ParticleColumns):
            return ("particles",)
        names = self.particles if isinstance(self.particles, dict) else range(len(self.sections))
        return tuple(f"particles.{name}" for name in names)

    @property
    def kinds(self) -> Kinds:
        """The kinds of particles, where there are several, and which have four-momenta."""
        if not isinstance(self.particles, dict):
            return ()
        return tuple((name, own.has_momentum) for name, own in self.particles.items())

    @property
    def of_jet(self) -> OfJet | None:
        """Which of an event's particles are a jet's; ``None`` where an entry is one jet.

        Of kinds, each section has its own; this is the first one's.
        """
        return self.sections[0].of_jet if self.sections else None

    @property
    def leading_jets(self) -> str | None:
        """A branch whose lists have one entry a jet of an event; there is none of made jets."""
        names = ("pt", "eta", "phi", "px", "py", "pz", "energy", "mass")
        values = [getattr(self.jet, name) for name in names] if self.jet is not None else []
        branches = [value for value in values if isinstance(value, str)]
        of_jets = [section.of_jet for section in self.sections if section.of_jet is not None]
        branches += [of_jet.one_a_jet for of_jet in of_jets if of_jet.one_a_jet is not None]
        return branches[0] if branches else None

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The columns of the particles that come of it, besides the four-momentum."""
        known = {name for section in self.sections for name in section.extra_names}
        return tuple(name for name in EXTRA_NAMES if name in known)
