"""``data.columns.particles``: what the branches of particles mean.

Momenta, energies and masses are in ``unit``, impact parameters in ``length_unit``.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from parttag.data.readers.of_jet import OfJet
from parttag.data.readers.pdg import IDENTITY_NAMES, Kind, check_pdg_map
from parttag.data.readers.relative import Relative, RelativeColumns, relative_columns
from parttag.jets.arrays import EXTRA_NAMES
from parttag.jets.kinds import KIND_COLUMN, QUANTITIES
from parttag.options import Name, Options

Unit = Literal["eV", "keV", "MeV", "GeV", "TeV"] | Annotated[float, Field(gt=0)]
"""Of momenta, energies and masses: a name, or how many GeV it is."""

LengthUnit = Literal["um", "µm", "mm", "cm", "m"] | Annotated[float, Field(gt=0)]
"""Of impact parameters: a name, or how many mm it is."""

_GEV = {"eV": 1e-9, "keV": 1e-6, "MeV": 1e-3, "GeV": 1.0, "TeV": 1e3}
_MM = {"um": 1e-3, "µm": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3}

Column = str | float
"""A branch, or one number for all."""


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
        if not given and not self.has_momentum:
            return self
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

    @property
    def has_momentum(self) -> bool:
        """Whether the particles have four-momenta."""
        return True

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


class KindColumns(ParticleColumns):
    """The branches of one kind of particles, which may be without four-momenta.

    Of those, every slot holds one unless ``mask`` or ``count`` says which do.
    """

    @property
    def has_momentum(self) -> bool:
        """Whether any component of a four-momentum is named."""
        return any(self.has(name) for name in (*_DIRECTIONS, "energy", "mass"))

    @property
    def leading(self) -> str:
        """The branch whose lengths those of all branches of these particles must equal."""
        if self.has_momentum:
            return super().leading
        values = [getattr(self, name) for name in ("mask", "pdg_id", *EXTRA_NAMES)]
        return next((v for v in (*values, *self.extra.values()) if isinstance(v, str)), "")

    @model_validator(mode="after")
    def _has_no_half_momentum(self) -> "KindColumns":
        for name in (KIND_COLUMN, *QUANTITIES):
            if name in self.extra:
                raise ValueError(
                    f"extra.{name} is a quantity of particles that parttag knows; call the column "
                    "something else"
                )
        if self.has_momentum:
            return self
        if not self.leading:
            raise ValueError("name a branch of these particles: of their momenta, or in extra")
        if self.weight is not None:
            raise ValueError("weight multiplies a four-momentum, of which no branch is named")
        return self
