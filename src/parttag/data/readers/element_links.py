"""Which container ATLAS's ElementLinks are to: their ``persKey`` is a hash of its name and class.

The lower 30 bits of a CRC-64 over the name and then the number of its class (``StringPool`` of
Athena's Control/SGTools; numbers by ``CLASS_DEF`` in the headers of Event/xAOD).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

_KEY_BITS = 30
# Of the reversed polynomial 0xAD93D23594C935A9; begins with all bits set.
_POLYNOMIAL = 0x95AC9329AC4BC9B5
_INITIAL = 0xFFFFFFFFFFFFFFFF

_CLASS_NUMBERS = {
    "CaloClusterContainer": 1219821989,
    "ElectronContainer": 1087532415,
    "FlowElementContainer": 1158384067,
    "IParticleContainer": 1241842700,
    "JetContainer": 1244316195,
    "MuonContainer": 1178459224,
    "PFOContainer": 1177172577,
    "PhotonContainer": 1105575213,
    "TauJetContainer": 1177172564,
    "TrackCaloClusterContainer": 1138314170,
    "TrackParticleContainer": 1287425431,
    "TruthParticleContainer": 1237340765,
}
"""Of the containers of particles."""


def container_of(branch: str) -> str | None:
    """Return the container of a branch as xAOD names it (``NAMEAuxDyn.pt``); ``None`` if not so."""
    found = re.match(r"([^./:]+)Aux(?:Dyn)?[.:]", branch)
    return None if found is None else found[1]


def persistent_keys(container: str) -> tuple[int, ...]:
    """Return the values of ``persKey`` that a container of this name can have, one a class."""
    of_name = _crc64(container.encode(), _INITIAL)
    numbers = (
        number.to_bytes((number.bit_length() + 7) // 8, "little")
        for number in _CLASS_NUMBERS.values()
    )
    return tuple(_crc64(number, of_name) & ((1 << _KEY_BITS) - 1) for number in numbers)


def key_of(container: str, keys: Collection[int]) -> int | None:
    """Return which of the keys is the container's; ``None`` if none is."""
    return next((key for key in persistent_keys(container) if key in keys), None)


def _crc64(data: bytes, crc: int) -> int:
    table = _table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


@cache
def _table() -> tuple[int, ...]:
    def of_byte(value: int) -> int:
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        return value

    return tuple(of_byte(value) for value in range(256))
