"""``data.columns``: what the branches of the user's own files mean.

Every option that names a branch takes its name in the file. Momenta, energies and masses are in
``unit``, impact parameters in ``length_unit``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from parttag.data.readers.derived import DerivedColumns
from parttag.data.readers.friend_columns import FriendColumns
from parttag.data.readers.layout import MAX_PARTICLES
from parttag.data.readers.named_layouts import complete
from parttag.data.readers.of_jet import OfJet
from parttag.data.readers.pdg import IDENTITY_NAMES, Kind, check_pdg_map
from parttag.data.readers.relative import Relative, RelativeColumns, relative_columns
from parttag.jets.arrays import EXTRA_NAMES
from parttag.options import Name, Options, Texts

Unit = Literal["eV", "keV", "MeV", "GeV", "TeV"] | Annotated[float, Field(gt=0)]
"""Of momenta, energies and masses: a name, or how many GeV it is."""

LengthUnit = Literal["um", "µm", "mm", "cm", "m"] | Annotated[float, Field(gt=0)]
"""Of impact parameters: a name, or how many mm it is."""

_GEV = {"eV": 1e-9, "keV": 1e-6, "MeV": 1e-3, "GeV": 1.0, "TeV": 1e3}
_MM = {"um": 1e-3, "µm": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3}

Column = str | float
"""A branch, or one number for all."""

Values = Annotated[
    tuple[int, ...] | tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, int | str) else value),
]
"""One whole number or text, or a list of them."""


def in_gev(unit: Unit) -> float:
    """Return how many GeV a unit is."""
    return _GEV[unit] if isinstance(unit, str) else unit


def in_mm(unit: LengthUnit) -> float:
    """Return how many mm a unit is."""
    return _MM[unit] if isinstance(unit, str) else unit


_DIRECTIONS = ("px", "pt", "py", "pz", "eta", "rapidity", "ctg_theta", "phi")


class ParticleColumns(Options):
    """The branches of the particles, each a list or a row of slots a jet, or an event of several.

    A number in place of a branch holds for all particles.

    The momentum is ``px, py, pz`` or ``pt, phi`` with ``eta``, ``rapidity`` or ``ctg_theta``;
    then ``energy`` or ``mass``, or neither where ``pdg_id`` says what the particle is.
    """

    px: Column | None = None
    py: Column | None = None
    pz: Column | None = None
    pt: Column | None = None
    eta: Column | None = None
    rapidity: Column | None = None
    ctg_theta: Column | None = None
    """pz/pT, in place of eta (Delphes' ``CtgTheta``, whose ``Eta`` is of where a track ends)."""
    phi: Column | None = None
    energy: Column | None = None
    mass: Column | None = None
    """0: massless particles."""
    unit: Unit = "GeV"
    weight: str | None = None
    """What the four-momentum is multiplied by (PUPPI); particles of weight 0 are left out."""
    of_jet: OfJet | None = None
    """Which of the particles of an event are a jet's; see ``columns.jets``."""
    mask: str | None = None
    """True or 1 for slots that hold a particle. Without it, slots of zero pT and E are padding."""
    count: str | None = None
    """Number of particles of each jet: its first slots; in HDF5 and npz files also of arrays of one
    axis that hold the particles of all jets one after the other."""
    offsets: str | None = None
    """The row of each jet's first particle in such arrays, in place of ``count``; it may end with
    the number of all particles."""
    relative_to_jet: Relative = False
    """Which coordinates are relative to the jet's own; ``true``: all of pt, energy, eta and phi
    that are named, shares of pT and energy and differences of angles."""
    pdg_id: Column | None = None
    """PDG number, which gives charge and identity where no branch is named for them."""
    pdg_map: dict[int, Kind | int] = Field(default={})
    """What numbers of the file stand for that are none of the PDG's: a kind of particle, or a PDG
    number. CMS's 1 and 2, of its forward calorimeter, are known."""
    charge: Column | None = None
    is_charged_hadron: Column | None = None
    is_neutral_hadron: Column | None = None
    is_photon: Column | None = None
    is_electron: Column | None = None
    is_muon: Column | None = None
    d0: Column | None = None
    """Transverse impact parameter."""
    d0_error: Column | None = None
    dz: Column | None = None
    """Longitudinal impact parameter."""
    dz_error: Column | None = None
    length_unit: LengthUnit = "mm"
    extra: dict[Name, str] = Field(default={})
    """More columns by the names that ``features`` know them by, as the files have them."""

    @field_validator("extra")
    @classmethod
    def _is_no_known_column(cls, extra: dict[str, str]) -> dict[str, str]:
        for name in extra:
            if name in EXTRA_NAMES:
                raise ValueError(f"{name} is a column that parttag knows: name it beside extra")
        return extra

    @model_validator(mode="after")
    def _is_a_momentum(self) -> "ParticleColumns":
        given = {name for name in _DIRECTIONS if self.has(name)}
        angles = ({"pt", "phi", angle} for angle in ("eta", "rapidity", "ctg_theta"))
        if given not in ({"px", "py", "pz"}, *angles):
            raise ValueError(
                "name the branches of px, py and pz, or of pt, phi and one of eta and rapidity "
                f"(or ctg_theta), and no others; there are {', '.join(sorted(given)) or 'none'}"
            )
        if not self.leading:
            raise ValueError("one of the components of the momentum must be a branch")
        if self.energy is not None and self.mass is not None:
            raise ValueError("name energy or mass, not both")
        if self.energy is None and self.mass is None and self.pdg_id is None:
            raise ValueError("energy or mass is missing; mass: 0 makes the particles massless")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> "ParticleColumns":
        relative_columns(self.relative_to_jet, self.has)
        if self.count is not None and self.offsets is not None:
            raise ValueError("name count or offsets, not both")
        if self.pdg_map and self.pdg_id is None:
            raise ValueError("pdg_map is of pdg_id, which is not named")
        check_pdg_map(self.pdg_map, has_charge=self.charge is not None)
        return self

    @property
    def relative(self) -> RelativeColumns | None:
        """Which coordinates are relative to the jet's; ``None`` if none is."""
        return relative_columns(self.relative_to_jet, self.has)

    def has(self, name: str) -> bool:
        """Return whether an option names a branch, or gives a number for all particles."""
        return getattr(self, name) is not None

    @property
    def leading(self) -> str:
        """The branch whose lengths those of all branches of these particles must equal."""
        values = [getattr(self, name) for name in _DIRECTIONS]
        return next((value for value in values if isinstance(value, str)), "")

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The columns of the particles that come of it, besides the four-momentum."""
        known = IDENTITY_NAMES if self.pdg_id is not None else ()
        return tuple(name for name in EXTRA_NAMES if self.has(name) or name in known)


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


Sections = Annotated[
    Annotated[ParticleColumns, Tag("(one)")]
    | Annotated[tuple[ParticleColumns, ...], Field(min_length=1), Tag("(several)")],
    Discriminator(lambda value: "(several)" if isinstance(value, list | tuple) else "(one)"),
]
"""The branches of all particles, or of each kind of them."""


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
    kinds: a column that one of them lacks is 0 for its particles."""
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
    def _leading_is_of_the_file(self) -> "ColumnsOptions":
        DerivedColumns(self.derived)
        for name in (*(section.leading for section in self.sections), self.leading_jets):
            if name in self.derived:
                raise ValueError(
                    f"{name} is derived, but says how many particles or jets there are: name a "
                    "branch of the file first"
                )
        return self

    @model_validator(mode="after")
    def _jets_have_particles(self) -> "ColumnsOptions":
        of_jet = self.of_jet
        if any(section.of_jet is not None for section in self.sections[1:]):
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
        several = of_jet.references or of_jet.within
        if len(self.sections) > 1 and not several:
            raise ValueError(
                "of several sections of particles, of_jet can be references, within or cluster"
            )
        return self

    @property
    def sections(self) -> tuple[ParticleColumns, ...]:
        """The branches of each kind of particles."""
        if self.particles is None:
            return ()
        return self.particles if isinstance(self.particles, tuple) else (self.particles,)

    @property
    def of_jet(self) -> OfJet | None:
        """Which of an event's particles are a jet's; ``None`` where an entry is one jet."""
        return self.sections[0].of_jet if self.sections else None

    @property
    def leading_jets(self) -> str | None:
        """A branch whose lists have one entry a jet of an event; there is none of made jets."""
        names = ("pt", "eta", "phi", "px", "py", "pz", "energy", "mass")
        values = [getattr(self.jet, name) for name in names] if self.jet is not None else []
        branches = [value for value in values if isinstance(value, str)]
        return branches[0] if branches else self.of_jet.one_a_jet if self.of_jet else None

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The columns of the particles that come of it, besides the four-momentum."""
        known = {name for section in self.sections for name in section.extra_names}
        return tuple(name for name in EXTRA_NAMES if name in known)
