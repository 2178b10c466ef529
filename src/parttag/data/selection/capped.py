"""Weights in bins as weaver makes them: flat, or like a class, with a cap (``threshold``)."""

import numpy as np
from jaxtyping import Float64

# A bin with less than this share of the median of the bins that hold something is as good as empty.
_NEGLIGIBLE = 0.01


def capped_factors(
    sums: Float64[np.ndarray, "classes ..."],
    threshold: float,
    class_weights: Float64[np.ndarray, " classes"],
    like: int | None,
) -> Float64[np.ndarray, "classes ..."]:
    """Return what jets are weighed with, by class and bin, at most 1 within a class.

    Flat: the content of the bin at the percentile ``threshold`` over that of each bin, at most 1.
    Like a class: its content over that of each bin, in units of the percentile 100 − ``threshold``
    of these ratios, at most 1. Then all classes have the same sum, times their weight.

    Parameters
    ----------
    sums
        Of the weights in each bin. Each class needs some.
    threshold
        A percentile of bins.
    class_weights
        What the sums of the classes are in the end, relative to each other.
    like
        The class to follow; none for flat.

    References
    ----------
    ``WeightMaker`` of weaver-core 0.5.3 (``weaver/utils/data/preprocess.py``).
    """
    factors = np.stack(
        [
            _flat(own, threshold) if like is None else _like(own, sums[like], threshold)
            for own in sums
        ]
    )
    bins = tuple(range(1, sums.ndim))
    totals = (sums * factors).sum(axis=bins, keepdims=True)
    scale = class_weights.reshape(-1, *(1,) * len(bins))
    equal: Float64[np.ndarray, "classes ..."] = factors * scale / totals
    equal /= equal.max()
    return equal


def _flat(sums: Float64[np.ndarray, " *bins"], threshold: float) -> Float64[np.ndarray, " *bins"]:
    floor = np.median(sums[sums > 0]) * _NEGLIGIBLE
    reference = np.percentile(sums[sums > floor], threshold)
    factors: np.ndarray = np.minimum(_ratio(np.full_like(sums, reference), sums), 1)
    return factors


def _like(
    sums: Float64[np.ndarray, " *bins"], other: Float64[np.ndarray, " *bins"], threshold: float
) -> Float64[np.ndarray, " *bins"]:
    ratio = _ratio(other, sums)
    upper = np.percentile(ratio[ratio > 0], 100 - threshold)
    factors: np.ndarray = np.minimum(ratio / upper, 1)
    return factors


def _ratio(
    one: Float64[np.ndarray, " *bins"], other: Float64[np.ndarray, " *bins"]
) -> Float64[np.ndarray, " *bins"]:
    """Return their ratio, 0 where there is nothing."""
    ratio: np.ndarray = np.divide(one, other, out=np.zeros_like(other), where=other > 0)
    return ratio
