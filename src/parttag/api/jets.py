"""Jets in Python and for the command line: read, make and look at them. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from parttag.api.arguments import (
    ColumnsLike,
    CutsLike,
    FileNames,
    file_list,
    name_list,
    read_columns,
    read_cuts,
)
from parttag.data.jet_files import JetFiles
from parttag.data.preparation.prepare import PrepareReport
from parttag.data.preparation.prepare import prepare as prepare_store
from parttag.data.store.store import JetStore
from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays
from parttag.jets.awkward_arrays import from_awkward
from parttag.progress import Progress, no_progress
from parttag.samples.download import Download
from parttag.samples.download import download as download_record
from parttag.samples.simulation.campaign import simulate as simulate_sample
from parttag.samples.simulation.samples import make_sample

__all__ = [
    "PrepareReport",
    "download",
    "from_awkward",
    "open_store",
    "prepare",
    "read",
    "simulate",
]


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
    column_names: str | Sequence[str] | None = None,
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
    column_names
        Columns of particles and jets to keep besides those that parttag knows, of those that
        ``columns`` names; any other is a branch. By default all that ``columns`` names.
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
        column_names=None if column_names is None else name_list(column_names),
        processes=processes or os.cpu_count() or 1,
        scheduler=scheduler,
        progress=progress,
    )


def simulate(
    sample: Literal["toptagging", "jetclass", "masses"],
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
        Top and QCD jets like those of the top-tagging set, JetClass's ten classes, or Higgs bosons
        of many masses and QCD.
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
    _refuse_other("sample", sample, ("toptagging", "jetclass", "masses"))
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
