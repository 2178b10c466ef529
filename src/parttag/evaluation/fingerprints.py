"""One number for the particles of a jet, so that jets that occur twice are found."""

import numpy as np
from jaxtyping import UInt64

from parttag.jets import JetArrays


def fingerprint(jets: JetArrays) -> UInt64[np.ndarray, " jets"]:
    """Return one number for each jet that depends on every bit of its particles' four-momenta.

    Of n different jets about n²/2⁶⁵ pairs have the same number by chance: none in practice.
    """
    # −0 and 0 are equal, and so are jets that differ in them only.
    bits = (jets.p4 + np.float32(0)).view(np.uint32).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = _scramble(bits @ _FACTORS)
        # Particles count by their order, jets by their length.
        jet = np.repeat(np.arange(len(jets)), jets.lengths)
        rank = (np.arange(len(jets.p4)) - jets.offsets[:-1][jet]).astype(np.uint64)
        mixed = _scramble(mixed + rank * _FACTORS[0])
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
        totals: UInt64[np.ndarray, " jets"] = sums[jets.offsets[1:]] - sums[jets.offsets[:-1]]
    return totals


# Odd numbers without a pattern: the digits of √2, √3, √5 and √7.
_FACTORS = np.array(
    [0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1],
    dtype=np.uint64,
)


def _scramble(values: UInt64[np.ndarray, " values"]) -> UInt64[np.ndarray, " values"]:
    """Spread every bit over all 64, one to one (the finalizer of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scrambled: UInt64[np.ndarray, " values"] = values ^ (values >> np.uint64(31))
    return scrambled
