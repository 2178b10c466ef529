"""Small files that ``data.columns`` describes, one of each kind, written from ``JetArrays``.

An event holds up to three of the jets, their particles in an order that is not theirs, and
particles of no jet. In event files the first two axes are those of jets and particles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pyarrow.parquet as pq
import uproot

from parttag.jets.arrays import JetArrays

JETS_OF_EVENT = 3
_KEYS = 0x1D3890DB, 0x15788D1F
"""Of ATLAS's tracks, and of something else."""


@dataclass(frozen=True)
class MappedFile:
    """How a file of a kind is written, and the YAML of ``columns`` that reads it."""

    write: Callable[[Path, JetArrays], Path]
    text: str


def events_of(jets: JetArrays) -> dict[str, Any]:
    """Return branches of events: particles, jets, and every way to say whose the particles are."""
    columns: dict[str, list[Any]] = {}
    for first in range(0, len(jets), JETS_OF_EVENT):
        own = range(first, min(first + JETS_OF_EVENT, len(jets)))
        for name, value in _event(jets, own, first).items():
            columns.setdefault(name, []).append(value)
    branches = {name: ak.Array(values) for name, values in columns.items()}
    # Whole numbers of 4 bytes: unsigned, uproot takes them for counters of its own.
    whole = [n for n in branches if n.startswith(("pair", "begin", "end", "index", "number"))]
    branches |= {name: ak.values_astype(branches[name], np.int32) for name in whole}
    momenta = {n: b for n, b in branches.items() if n.startswith(("p_", "Jet_"))}
    return branches | {n: ak.values_astype(b, np.float32) for n, b in momenta.items()}


def _event(jets: JetArrays, own: range, seed: int) -> dict[str, Any]:
    lengths = jets.lengths[own.start : own.stop]
    total, loose = int(lengths.sum()), 4
    stored = np.random.default_rng(seed).permutation(total + loose)  # place of each in the event
    p4 = np.zeros((total + loose, 4))
    particles = slice(jets.offsets[own.start], jets.offsets[own.stop])
    p4[stored[:total]] = jets.p4[particles]
    p4[stored[total:]] = [0.1, 0.2, 60.0, 60.5]  # along the beam, far from every jet
    extra = np.zeros(total + loose)
    extra[stored[:total]] = jets["charge"][particles]
    ends = np.cumsum(lengths)
    lists = [part.tolist() for part in np.split(stored[:total], ends[:-1])]
    kind = np.arange(total + loose) % 2  # particles of two kinds, as references name them
    number = 7 + np.arange(total + loose)
    jet = jets.jet_p4[own.start : own.stop].astype(float)
    pt = np.hypot(jet[:, 0], jet[:, 1])
    values = {f"p_{n}": p4[:, i].tolist() for i, n in enumerate(("px", "py", "pz", "energy"))}
    values |= {f"Jet_{n}": jet[:, i].tolist() for i, n in enumerate(("px", "py", "pz", "energy"))}
    values |= {
        "p_charge": extra.tolist(),
        "Jet_eta": np.arcsinh(jet[:, 2] / pt).tolist(),
        "number_top": jets.labels[own.start : own.stop, 0].tolist(),
        "pair_jet": np.repeat(np.arange(len(own)), lengths).tolist(),
        "pair_particle": stored[:total].tolist(),
        "index": stored[:total].tolist(),
        "begin": (ends - lengths).tolist(),
        "end": ends.tolist(),
        "lists": lists,
        "refs": [{"refs": [7 + i for i in part]} for part in lists],
        "links": [[{"m_persKey": _KEYS[0], "m_persIndex": i} for i in part] for part in lists],
        "number_event": 1000 + seed,
    }
    for which, name in enumerate(("Track", "Tower")):
        chosen = kind == which
        values |= {f"{name}.{n}": p4[chosen, i].tolist() for i, n in enumerate(("px", "py", "pz"))}
        values[f"{name}.energy"] = p4[chosen, 3].tolist()
        values[f"{name}.fUniqueID"] = (number[chosen] | 1 << 24).tolist()
    return values


def _tree(path: Path, branches: dict[str, Any], *, rntuple: bool, name: str = "Events") -> Path:
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        make = file.mkrntuple if rntuple else file.mktree
        make(name, {n: ak.type(b).content for n, b in branches.items()}).extend(branches)
    return path


def _of_events(
    names: tuple[str, ...], *, kind: str = "tree", start: tuple[str, ...] = ("p_", "Jet_")
) -> Callable[[Path, JetArrays], Path]:
    def write(path: Path, jets: JetArrays) -> Path:
        events = events_of(jets)
        kept = {n: b for n, b in events.items() if n.startswith(start) or n in names}
        kept |= {n: events[n] for n in ("number_top", "number_event")}
        if kind == "parquet":
            table = ak.to_arrow_table(ak.zip(kept, depth_limit=1))
            pq.write_table(table, path, write_page_checksum=True)
            return path
        return _tree(path, kept, rntuple=kind == "rntuple")

    return write


_MOMENTA = "px: {0}px, py: {0}py, pz: {0}pz, energy: {0}energy"


def _text(of_jet: str, *, jet: bool = True, labels: bool = True, more: str = "") -> str:
    axis = f"jets: Jet\njet: {{{_MOMENTA.format('Jet_')}}}\n" if jet else "jets: Jet\n"
    truth = "labels: {branch: number_top, values: {label_top: 1, label_QCD: 0}}\n" if labels else ""
    particles = f"particles: {{{_MOMENTA.format('p_')}, charge: p_charge, of_jet: {of_jet}}}\n"
    return f"tree: Events\n{axis}{truth}{particles}{more}"


_REFERENCES = (
    f"tree: Events\njets: Jet\njet: {{{_MOMENTA.format('Jet_')}}}\nparticles:\n"
    f"- {{{_MOMENTA.format('Track.')}, of_jet: {{references: refs}}}}\n"
    f"- {{{_MOMENTA.format('Tower.')}}}\n"
)
_CLUSTER = "{cluster: {radius: 0.8, min_pt: 100, max_abs_eta: 2.5}}"
_LINKS = f"{{links: links, key: {_KEYS[0]}}}"


# ------------------------------------------------------------------------------ one jet an entry


def _slots(jets: JetArrays) -> dict[str, np.ndarray]:
    """Return rectangular arrays: four-momenta by slot, labels, texts and jets' own momenta."""
    width = int(jets.lengths.max())
    p4 = np.zeros((len(jets), width, 4), np.float32)
    for row, (start, stop) in enumerate(zip(jets.offsets, jets.offsets[1:], strict=False)):
        p4[row, : stop - start] = jets.p4[start:stop]
    return {"p4": p4, "top": jets.labels[:, 0].astype(np.int32), "jet": jets.jet_p4}


def _npz(path: Path, jets: JetArrays, save: Callable[..., None]) -> Path:
    with path.open("wb") as file:
        save(file, **_slots(jets))
    return path


def _hdf5(path: Path, jets: JetArrays, *, rows: bool = False, flat: bool = False) -> Path:
    arrays = _slots(jets)
    if rows:
        arrays["p4"] = arrays["p4"].reshape(len(jets), -1)
    if flat:
        arrays |= {"p4": jets.p4, "first": jets.offsets[:-1].astype(np.int32)}
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, compression="gzip", fletcher32=True, chunks=True)
    return path


def _records(path: Path, jets: JetArrays) -> Path:
    names = ("px", "py", "pz", "energy")
    particles = ak.zip({n: jets.p4[:, i].copy() for i, n in enumerate(names)})
    array = ak.zip(
        {
            "particles": ak.unflatten(particles, jets.lengths),
            "kind": ak.Array(["top" if top else "QCD" for top in jets.labels[:, 0]]),
        },
        depth_limit=1,
    )
    pq.write_table(ak.to_arrow_table(array, extensionarray=False), path, write_page_checksum=True)
    return path


def _with_friend(path: Path, jets: JetArrays) -> Path:
    number = np.arange(len(jets), dtype=np.int64)
    p4 = {
        f"p_{n}": ak.unflatten(jets.p4[:, i], jets.lengths)
        for i, n in enumerate(("px", "py", "pz", "energy"))
    }
    jet = {f"Jet_{n}": ak.Array(jets.jet_p4[:, i]) for i, n in enumerate(("px", "py", "pz"))}
    jet |= {"Jet_energy": ak.Array(jets.jet_p4[:, 3])}
    friend = {"event": ak.Array(number[::-1]), **{n: b[::-1] for n, b in jet.items()}}
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        for name, branches in {"tree": {"event": ak.Array(number), **p4}, "more": friend}.items():
            file.mktree(name, {n: ak.type(b).content for n, b in branches.items()}).extend(branches)
    return path


_SLOTS = ", ".join(f"{n}: 'p4[:, :, {i}]'" for i, n in enumerate(("px", "py", "pz", "energy")))
_JET = ", ".join(f"{n}: 'jet[:, {i}]'" for i, n in enumerate(("px", "py", "pz", "energy")))
_STEPS = ", ".join(f"{n}: 'p4[:, {i}::4]'" for i, n in enumerate(("px", "py", "pz", "energy")))
_FLAT = _SLOTS.replace("[:, :, ", "[:, ")
_TRUTH = "labels: {branch: top, values: {label_top: 1, label_QCD: 0}}"

MAPPED: dict[str, MappedFile] = {
    "pairs, TTree": MappedFile(
        _of_events(("pair_jet", "pair_particle")),
        _text("{jet: pair_jet, particle: pair_particle}"),
    ),
    "pairs, RNTuple": MappedFile(
        _of_events(("pair_jet", "pair_particle"), kind="rntuple"),
        _text("{jet: pair_jet, particle: pair_particle}"),
    ),
    "lists of indices, RNTuple": MappedFile(
        _of_events(("lists",), kind="rntuple"), _text("{particles: lists}")
    ),
    "lists of indices, parquet": MappedFile(
        _of_events(("lists",), kind="parquet"), _text("{particles: lists}")
    ),
    "ranges, TTree": MappedFile(
        _of_events(("begin", "end", "index")), _text("{begin: begin, end: end, through: index}")
    ),
    "references, RNTuple": MappedFile(
        _of_events(("refs",), kind="rntuple", start=("Track", "Tower", "Jet_")), _REFERENCES
    ),
    "ElementLinks, RNTuple": MappedFile(_of_events(("links",), kind="rntuple"), _text(_LINKS)),
    "within, TTree": MappedFile(_of_events(()), _text("{within: 0.8}")),
    "cluster, TTree": MappedFile(_of_events(()), _text(_CLUSTER, jet=False, labels=False)),
    "npz by columns, deflated": MappedFile(
        lambda path, jets: _npz(path, jets, np.savez_compressed),
        f"particles: {{{_SLOTS}}}\njet: {{{_JET}}}\n{_TRUTH}",
    ),
    "npz by columns, stored": MappedFile(
        lambda path, jets: _npz(path, jets, np.savez),
        f"particles: {{{_SLOTS}}}\njet: {{{_JET}}}\n{_TRUTH}",
    ),
    "slices, HDF5": MappedFile(_hdf5, f"particles: {{{_SLOTS}}}\njet: {{{_JET}}}\n{_TRUTH}"),
    "interleaved rows, HDF5": MappedFile(
        lambda path, jets: _hdf5(path, jets, rows=True),
        f"particles: {{{_STEPS}}}\njet: {{{_JET}}}\n{_TRUTH}",
    ),
    "flat rows, HDF5": MappedFile(
        lambda path, jets: _hdf5(path, jets, flat=True),
        f"particles: {{{_FLAT}, offsets: first}}\njet: {{{_JET}}}\n{_TRUTH}",
    ),
    "records, parquet": MappedFile(
        _records,
        "particles: {px: particles.px, py: particles.py, pz: particles.pz, "
        "energy: particles.energy}\n"
        "labels: {branch: kind, values: {label_top: top, label_QCD: QCD}}",
    ),
    "friends, TTree": MappedFile(
        _with_friend,
        f"particles: {{{_MOMENTA.format('p_')}}}\njet: {{{_MOMENTA.format('Jet_')}}}\n"
        "friends: [{tree: more, 'on': [event]}]",
    ),
}
"""The kinds of files that ``columns`` describes."""
