"""Texts in files of arrays, as labels may be."""

from typing import Any

import awkward as ak
import h5py
import numpy as np


def is_text(dtype: np.dtype[Any]) -> bool:
    """Return whether an array holds texts, of fixed length or, in HDF5, of any."""
    return dtype.kind in "SU" or h5py.check_string_dtype(dtype) is not None


def to_texts(values: np.ndarray) -> ak.Array:
    """Return texts, of which files hold the bytes; what is no UTF-8 becomes question marks."""
    flat = [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for value in values.reshape(-1)
    ]
    return ak.Array(flat if flat else np.empty(0, "U1"))
