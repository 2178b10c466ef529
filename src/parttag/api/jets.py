"""Jets in Python and for the command line: read, make and look at them. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from parttag.data.jet_files import JetFiles
from parttag.data.preparation.prepare import PrepareReport
from parttag.data.preparation.prepare import prepare as prepare_store
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.named_layouts import NamedLayout, named_layouts
from parttag.data.selection.cuts import CutOptions
from parttag.data.store.store import JetStore
from parttag.errors import InputError, option
from parttag.inspection.compare import Comparison, compare
from parttag.inspection.duplicates import SharedJets, num_repeated, shared_jets
from parttag.inspection.inspect import (
    Inspection,
    by_input,
    draw,
    inspect_files,
    num_common,
    picture_paths,
)
from parttag.jets.arrays import JetArrays
from parttag.jets.awkward_arrays import from_awkward
from parttag.jets.variables import JET_VARIABLES
from parttag.options import read_options
from parttag.progress import Progress, no_progress
from parttag.runs.sections import load_columns, parse_cuts
from parttag.samples.download import Download
from parttag.samples.download import download as download_record
from parttag.samples.simulation.campaign import simulate as simulate_sample
from parttag.samples.simulation.samples import make_sample
from parttag.system.atomic_files import refuse_existing

__all__ = [
    "JET_VARIABLES",
    "Comparison",
    "Inspection",
    "PrepareReport",
    "SampleComparison",
    "SharedJets",
    "by_input",
    "compare_samples",
    "download",
    "draw",
    "from_awkward",
    "inspect",
    "layouts",
    "num_repeated",
    "open_store",
    "picture_paths",
    "prepare",
    "read",
    "refuse_existing",
    "shared_jets",
    "simulate",
]

FileNames = str | Path | Sequence[str | Path]
"""A file, glob, directory, store or URL, or several of them."""

ColumnsLike = str | Path | Mapping[str, Any] | ColumnsOptions | None
"""A YAML file with a section ``columns``, what such a section holds, or its options."""

CutsLike = str | Mapping[str, Any] | CutOptions | None
"""Cuts as ``data.cuts`` has them: ``{"jet_pt": [500, 1000]}``, or the same as YAML."""


def file_list(files: FileNames) -> list[str | Path]:
    """Return one or several file names as a list.

    Raises
    ------
    InputError
        If it is something else, or there is none.
    """
    several = [files] if isinstance(files, str | Path) else files
    if not isinstance(several, Sequence) or not all(isinstance(f, str | Path) for f in several):
        raise InputError(
            f"files are given by a {type(files).__name__}; give a name, a glob, or a list of them"
        )
    if not several:
        raise InputError("no file is named; give a name, a glob, or a list of them")
    return list(several)


def name_list(names: str | Sequence[str]) -> list[str]:
    """Return one name or several as a list; commas separate those of one text."""
    return names.split(",") if isinstance(names, str) else list(names)


def read_columns(columns: ColumnsLike) -> ColumnsOptions | None:
    """Return what branches mean, from whatever says it.

    Raises
    ------
    InputError
        If a file cannot be read, or a key is unknown.
    """
    if isinstance(columns, str | Path):
        return load_columns(columns)
    if isinstance(columns, Mapping):
        return read_options(ColumnsOptions, columns)
    return columns


def layouts() -> dict[str, NamedLayout]:
    """Return the layouts of public files that ``columns: {layout: NAME}`` reads, by name.

    Examples
    --------
    >>> print(pt.layouts()["jetnet"].description)
    JetNet: particles relative to their jet. https://zenodo.org/records/6975118
    """
    return dict(named_layouts())


def read_cuts(cuts: CutsLike) -> CutOptions | None:
    """Return cuts, from whatever says them.

    Raises
    ------
    InputError
        If a text is no YAML, or a quantity is unknown.
    """
    if isinstance(cuts, str):
        return parse_cuts(cuts)
    if isinstance(cuts, Mapping):
        return read_options(CutOptions, cuts)
    return cuts


def read(
    files: FileNames,
    *,
    columns: ColumnsLike = None,
    cuts: CutsLike = None,
    progress: Progress = no_progress,
) -> JetArrays:
    """Return all jets of files in memory, bad ones too, in the order of the files.

    Parameters
    ----------
    files
        Files, globs, directories, stores or URLs, in any format that is read.
    columns
        What the branches of the files mean, if not what they do in the public sets.
    cuts
        Ranges outside of which jets are left out.

    Raises
    ------
    InputError
        If a file cannot be read, or the files differ in labels or columns.

    Examples
    --------
    >>> jets = pt.read("train_*.root", cuts={"jet_pt": [0, 5000]})
    >>> pt_in_gev, mass, d0 = jets.pt, jets.mass, jets["d0"]
    """
    own = JetFiles(file_list(files), read_columns(columns), read_cuts(cuts), truth_optional=True)
    return own.read(progress)


def open_store(path: str | Path) -> JetStore:
    """Return the JetStore in a directory, whose jets are read when they are asked for.

    Raises
    ------
    InputError
        If the directory holds no store, or one that is damaged.

    Examples
    --------
    >>> store = pt.open_store("stores/train")
    """
    return JetStore(Path(path))


def prepare(
    files: FileNames,
    out: str | Path,
    *,
    shuffle: bool = True,
    seed: int = 0,
    strict: bool = False,
    columns: ColumnsLike = None,
    cuts: CutsLike = None,
    processes: int | None = None,
    scheduler: str | None = None,
    progress: Progress = no_progress,
) -> PrepareReport:
    """Write the good jets of files to a JetStore, from which training streams any number of jets.

    The store depends on the files, ``shuffle`` and ``seed`` only. Called again after an
    interruption, it continues; a store that is there already is left as it is.

    Parameters
    ----------
    files
        Files, globs, directories, stores or URLs.
    out
        Directory to make. While the store is made it takes twice its space.
    shuffle
        Mix the jets of all files, or keep their order.
    seed
        Of the order.
    strict
        Refuse a bad jet instead of dropping it.
    columns, cuts
        As of ``read``.
    processes
        How many work at the same time; as many as there are cores, if not given.
    scheduler
        Address of a Dask scheduler whose workers do it instead.

    Raises
    ------
    InputError
        If a file cannot be read, there is anything else at ``out``, or it cannot be written.

    Examples
    --------
    >>> made = pt.prepare("train_*.root", "stores/all", processes=1)
    >>> made.counts.kept
    120
    """
    return prepare_store(
        file_list(files),
        out,
        shuffle=shuffle,
        seed=seed,
        strict=strict,
        columns=read_columns(columns),
        cuts=read_cuts(cuts),
        processes=processes or os.cpu_count() or 1,
        scheduler=scheduler,
        progress=progress,
    )


def inspect(
    files: FileNames, *, columns: ColumnsLike = None, progress: Progress = no_progress
) -> Inspection:
    """Return what files hold: counts, labels, ranges, bad and repeated jets, doubtful units.

    Raises
    ------
    InputError
        If a file cannot be read.

    Examples
    --------
    >>> pt.inspect("train_*.root").num_jets
    120
    """
    own = JetFiles(file_list(files), read_columns(columns), truth_optional=True)
    return inspect_files(own, progress=progress)


@dataclass(frozen=True, repr=False)
class SampleComparison:
    """Two samples side by side: what each holds, and how far apart they are, label by label."""

    sample: Inspection
    reference: Inspection
    by_label: tuple[Comparison, ...]

    def __repr__(self) -> str:
        """Return the AUC of a classifier that tells the samples apart, label by label."""
        found = ", ".join(f"{one.label} {one.auc}" for one in self.by_label)
        return f"SampleComparison: AUC between sample and reference: {found}"

    @property
    def num_common(self) -> int:
        """Number of jets of the sample that have exactly the particles of one of the reference."""
        return num_common(self.sample, self.reference)


def compare_samples(
    sample: FileNames | Inspection,
    reference: FileNames | Inspection,
    *,
    columns: ColumnsLike = None,
    progress: Progress = no_progress,
) -> SampleComparison:
    """Return how far a sample of jets is from a reference, for every variable and label.

    The AUC of a classifier that tells the two samples apart is 0.5 where they are alike.

    Raises
    ------
    InputError
        If a file cannot be read.

    Examples
    --------
    >>> found = pt.compare_samples("train_*.root", "test.h5")
    >>> [one.label for one in found.by_label]
    ['label_top', 'label_QCD']
    """
    one, other = (
        files
        if isinstance(files, Inspection)
        else inspect(files, columns=columns, progress=progress)
        for files in (sample, reference)
    )
    return SampleComparison(one, other, tuple(compare(one.sample, other.sample)))


def simulate(
    sample: Literal["toptagging", "jetclass"],
    num_jets: int,
    out: str | Path,
    *,
    seed: int = 0,
    processes: int | None = None,
    windows: Literal["demonstration", "study"] | None = None,
    mpi: bool = False,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Simulate jets with Pythia 8 and FastJet into ``out/{train,val,test}/*.root``.

    The same seed gives the same jets. Called again after an interruption, it continues.

    Parameters
    ----------
    sample
        Top and QCD jets like those of the top-tagging set, or JetClass's ten classes.
    num_jets
        In all, the same number of each class.
    out
        Directory of the files.
    windows
        Of toptagging, ranges of the hard process's pT: those of a demonstration are three times as
        fast, but cut off parts of the sample.
    mpi
        With multiparton interactions, which takes three to five times as long.

    Returns
    -------
    dict
        The content of ``out/provenance.json``.

    Raises
    ------
    InputError
        If the extra ``sim`` is not installed, an option is out of its range, ``out`` holds
        something else, or a file cannot be written.

    Examples
    --------
    >>> made = pt.simulate(
    ...     "toptagging", 20_000, "jets", windows="demonstration"
    ... )  # doctest: +SKIP
    """
    _refuse_other("sample", sample, ("toptagging", "jetclass"))
    options: dict[str, Any] = {"num_jets": num_jets, "seed": seed, "mpi": mpi}
    if windows is not None:
        if sample != "toptagging":
            raise InputError(f"{option('windows', windows)} belongs to toptagging: leave it out")
        options["windows"] = windows
    return simulate_sample(
        make_sample(sample, options),
        Path(out),
        processes=processes or os.cpu_count() or 1,
        progress=progress,
    )


def download(
    data_set: Literal["toptagging", "jetclass", "quarkgluon"],
    out: str | Path,
    files: str | Sequence[str] = (),
    *,
    progress: Progress = no_progress,
) -> list[Download]:
    """Download a public data set from its record, check it, and unpack archives.

    Parameters
    ----------
    files
        Parts of it: train, val, test; of jetclass also part0 to part9; of quarkgluon 0 to 19. All
        if there are none.

    Raises
    ------
    InputError
        If a part is not known, the record cannot be had, or there is not enough space.

    Examples
    --------
    >>> files = pt.download("jetclass", "data/jetclass", ["val"])  # doctest: +SKIP
    """
    _refuse_other("data_set", data_set, ("toptagging", "jetclass", "quarkgluon"))
    return download_record(data_set, Path(out), name_list(files), progress=progress)


def _refuse_other(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"{name} is {value!r}, but must be one of {', '.join(known)}")
