"""One number for the particles of a jet, so that jets that occur twice are found."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt64

from parttag.jets.arrays import JetArrays


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


@dataclass(frozen=True)
class SharedJets:
    """How many jets of one input have exactly the particles of a jet of another."""

    name: str
    other: str
    num_shared: int
    num_jets: int
    """Of the first input."""


def num_repeated(fingerprints: UInt64[np.ndarray, " jets"]) -> int:
    """Return how many jets are equal to an earlier one."""
    return len(fingerprints) - len(np.unique(fingerprints))


def shared_jets(inputs: Mapping[str, UInt64[np.ndarray, " jets"]]) -> list[SharedJets]:
    """Return every pair of inputs that share jets, in both orders, most shared first.

    Parameters
    ----------
    inputs
        The fingerprints of the jets of each.
    """
    names, sizes = list(inputs), [len(jets) for jets in inputs.values()]
    owner = np.repeat(np.arange(len(names)), sizes)
    _, jet = np.unique(np.concatenate(list(inputs.values())), return_inverse=True)
    # Only jets of several inputs matter, and there are few of them.
    held = np.unique(np.stack([jet, owner]), axis=1)[0]
    several = np.bincount(held, minlength=len(jet)) > 1
    kept = several[jet]
    jet, owner = jet[kept], owner[kept]
    found = []
    for other, other_name in enumerate(names):
        in_other = np.isin(jet, jet[owner == other])
        counts = np.bincount(owner[in_other], minlength=len(names))
        found += [
            SharedJets(name, other_name, int(counts[i]), sizes[i])
            for i, name in enumerate(names)
            if i != other and counts[i]
        ]
    order = {name: i for i, name in enumerate(names)}
    return sorted(found, key=lambda s: (-s.num_shared, order[s.name], order[s.other]))


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
