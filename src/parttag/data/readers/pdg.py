"""Mass, charge and kind of the particles that a detector sees, by their PDG numbers."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from parttag.errors import InputError

IDENTITY_NAMES = (
    "charge",
    "is_charged_hadron",
    "is_neutral_hadron",
    "is_photon",
    "is_electron",
    "is_muon",
)
"""What an identity says, in the order of ``identify``'s columns."""

_CHARGED, _NEUTRAL, _PHOTON, _ELECTRON, _MUON = range(1, 6)

# Mass in GeV (Particle Data Group, 2024), charge and kind, by the number of the particle; where
# there is an antiparticle, it has the opposite number and charge.
_PARTICLES = {
    11: (0.00051099895, -1, _ELECTRON),
    13: (0.1056583755, -1, _MUON),
    211: (0.13957039, 1, _CHARGED),
    321: (0.493677, 1, _CHARGED),
    2212: (0.93827208816, 1, _CHARGED),
    3112: (1.197449, -1, _CHARGED),
    3222: (1.18937, 1, _CHARGED),
    3312: (1.32171, -1, _CHARGED),
    3334: (1.67245, -1, _CHARGED),
    2112: (0.93956542052, 0, _NEUTRAL),
    3122: (1.115683, 0, _NEUTRAL),
    3212: (1.192642, 0, _NEUTRAL),
    3322: (1.31486, 0, _NEUTRAL),
}
_OWN_ANTIPARTICLES = {
    22: (0.0, 0, _PHOTON),
    111: (0.1349768, 0, _NEUTRAL),
    130: (0.497611, 0, _NEUTRAL),
    310: (0.497611, 0, _NEUTRAL),
}
_ALL = {
    **_OWN_ANTIPARTICLES,
    **_PARTICLES,
    **{-number: (mass, -charge, kind) for number, (mass, charge, kind) in _PARTICLES.items()},
}
_NUMBERS = np.array(sorted(_ALL), dtype=np.float64)
_MASSES = np.array([_ALL[int(number)][0] for number in _NUMBERS])
_IDENTITIES = np.zeros((len(_NUMBERS), len(IDENTITY_NAMES)), dtype=np.float32)
for _row, _number in enumerate(_NUMBERS):
    _, _charge, _kind = _ALL[int(_number)]
    _IDENTITIES[_row, 0], _IDENTITIES[_row, _kind] = _charge, 1


_SPECIES = {
    "is_long_kaon": 130,
    "is_pion": 211,
    "is_kaon": 321,
    "is_neutron": 2112,
    "is_proton": 2212,
}
SPECIES_NAMES = tuple(_SPECIES)
"""What tells hadrons apart, beyond what a detector mostly sees; with electron, muon and photon the
eight classes of the published networks for quarks and gluons."""


def species(
    numbers: Float64[np.ndarray, " particles"],
) -> dict[str, UInt8[np.ndarray, " particles"]]:
    """Return the columns ``SPECIES_NAMES`` of particles, or antiparticles, by their PDG numbers."""
    return {name: (np.abs(numbers) == number).astype(np.uint8) for name, number in _SPECIES.items()}


Kind = Literal["charged_hadron", "neutral_hadron", "photon", "electron", "muon"]
"""Of a particle, where its number is none of the PDG's."""

_NUMBER_OF_KIND = {
    "charged_hadron": 211,
    "neutral_hadron": 130,
    "photon": 22,
    "electron": 11,
    "muon": 13,
}
# The candidates of CMS's forward calorimeter, hadronic and electromagnetic: its particle flow gives
# them numbers of its own (DataFormats/ParticleFlowCandidate/src/PFCandidate.cc).
_KNOWN = {1: 130, 2: 22}


def check_pdg_map(pdg_map: Mapping[int, Kind | int], *, has_charge: bool) -> None:
    """Check what numbers are said to stand for.

    Raises
    ------
    ValueError
        If one stands for a number that is not in the table, or for a kind of charged particle whose
        charge nothing tells.
    """
    for number, meaning in pdg_map.items():
        if isinstance(meaning, int):
            if meaning not in _ALL:
                raise ValueError(f"pdg_map: {number} stands for {meaning}, which is not known")
        elif meaning not in ("neutral_hadron", "photon") and not has_charge:
            raise ValueError(
                f"pdg_map: {number} stands for a {meaning}, whose charge is not known; name the "
                "branch of charge, or a PDG number instead (211, -211)"
            )


def identify(
    numbers: Float64[np.ndarray, " particles"],
    name: Callable[[int], str],
    pdg_map: Mapping[int, Kind | int] = {},
) -> tuple[Float64[np.ndarray, " particles"], Float32[np.ndarray, "particles 6"]]:
    """Return mass in GeV and the columns ``IDENTITY_NAMES`` of particles by their PDG numbers.

    Parameters
    ----------
    name
        How a message calls the particle of a row.
    pdg_map
        What numbers stand for that are none of the PDG's, besides those of CMS.

    Raises
    ------
    InputError
        If a number is not that of a particle of the table: electrons, muons, photons, pions, kaons,
        nucleons and the hyperons that live long enough to reach a detector.
    """
    given = numbers
    for number, meaning in {**_KNOWN, **pdg_map}.items():
        chosen = given == number
        if chosen.any():
            meant = meaning if isinstance(meaning, int) else _NUMBER_OF_KIND[meaning]
            numbers = np.where(chosen, float(meant), numbers)
    rows = np.searchsorted(_NUMBERS, numbers).clip(max=len(_NUMBERS) - 1)
    unknown = np.flatnonzero(_NUMBERS[rows] != numbers)
    if len(unknown):
        raise InputError(
            f"{name(int(unknown[0]))} has the PDG number {numbers[unknown[0]]:g}, which is none of "
            "a stable particle: say what it stands for in data.columns.particles.pdg_map "
            f"({{{numbers[unknown[0]]:g}: neutral_hadron}}), name the branches of what is to be "
            "known (charge, mass, is_photon and the like), or leave such particles out"
        )
    return _MASSES[rows], _IDENTITIES[rows]
