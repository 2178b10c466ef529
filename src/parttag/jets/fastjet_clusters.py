"""FastJet on many events at once, through its awkward interface."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import awkward as ak
import numpy as np
from jaxtyping import Float64, Int64

from parttag.errors import InputError
from parttag.jets.packing import offsets_of

Algorithm = Literal["antikt", "kt", "cambridge"]


def require_fastjet() -> None:
    """Check that FastJet is installed, without importing it.

    Raises
    ------
    InputError
        If it is not; the message says how to install it.
    """
    if find_spec("fastjet") is None:
        raise InputError(
            "jets are made with FastJet, which is not installed here; install it with: "
            'pip install "parttag[cluster]"'
        )


def cluster(
    p4: Float64[np.ndarray, "particles 4"],
    lengths: Int64[np.ndarray, " events"],
    *,
    radius: float,
    min_pt: float,
    algorithm: Algorithm = "antikt",
) -> tuple[
    Int64[np.ndarray, " jets"],
    Int64[np.ndarray, " jets_and_one"],
    Int64[np.ndarray, " constituents"],
]:
    """Return the inclusive jets above ``min_pt`` (GeV), those of one event after the other.

    Parameters
    ----------
    p4
        Of the particles, event by event, in GeV.
    lengths
        Number of particles of each event.

    Returns
    -------
    The event of each jet, where its constituents begin, and their rows of ``p4``.

    Raises
    ------
    InputError
        If FastJet is not installed.
    """
    require_fastjet()
    import fastjet

    if len(lengths) == 0:  # which it does not take
        return np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64)
    px, py, pz, energy = p4.T.copy()
    momenta = ak.zip({"px": px, "py": py, "pz": pz, "E": energy})
    definition = fastjet.JetDefinition(getattr(fastjet, f"{algorithm}_algorithm"), radius)
    clusters = fastjet.ClusterSequence(ak.unflatten(momenta, lengths), definition)
    constituents = clusters.constituent_index(min_pt=min_pt)
    event = np.repeat(np.arange(len(lengths)), ak.to_numpy(ak.num(constituents)))
    rows = ak.flatten(constituents, axis=1) + (np.cumsum(lengths) - lengths)[event]
    return event, offsets_of(ak.to_numpy(ak.num(rows))), ak.to_numpy(ak.flatten(rows))
