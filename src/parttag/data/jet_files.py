"""Files with a meaning: which files, what their branches mean, and which of their jets count."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from parttag.data.readers import CHUNK_JETS, count_jets, find_files, read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns
from parttag.data.readers.parallel import read_ahead
from parttag.data.selection.cuts import CutOptions, drop_outside
from parttag.data.selection.good_jets import Intake, describe_sources, source_names
from parttag.data.store.store import Source
from parttag.data.writers.jetclass import is_simulated
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, concatenate
from parttag.progress import Progress, no_progress

logger = logging.getLogger(__name__)

STEP_JETS = 5_000
"""Jets of a step of a progress bar: few enough that it moves, many enough that jets of like length
fill whole batches."""

Patterns = str | Path | Sequence[str | Path]
"""A file, glob, directory, store or URL, or several of them."""


@dataclass(frozen=True, init=False)
class JetFiles:
    """Files of jets, how to read them and which jets of theirs to use.

    Nothing is opened before it is needed.

    Parameters
    ----------
    patterns
        Files, globs, directories, stores and URLs.
    columns
        What the branches of the files mean (``data.columns``), if not what they do in the public
        sets.
    cuts
        Ranges (``data.cuts``) outside of which jets are left out.
    strict
        Refuse a bad jet instead of leaving it out.
    truth_optional
        Let files lack the labels and the weight that ``columns`` names: those of jets that are not
        to be learned from.
    wanted
        The columns, besides those that parttag knows, to read; by default all that ``columns``
        names.
    """

    patterns: tuple[str | Path, ...]
    columns: ColumnsOptions | None = field(hash=False)
    cuts: CutOptions | None = field(hash=False)
    strict: bool
    truth_optional: bool
    wanted: WantedColumns | None

    def __init__(
        self,
        patterns: Patterns,
        columns: ColumnsOptions | None = None,
        cuts: CutOptions | None = None,
        strict: bool = False,
        *,
        truth_optional: bool = False,
        wanted: WantedColumns | None = None,
    ) -> None:
        several = (patterns,) if isinstance(patterns, str | Path) else tuple(patterns)
        if cuts is not None and cuts.columns:
            columns, wanted = _with_jet_columns(tuple(cuts.columns), columns, wanted)
        self.__dict__.update(
            patterns=several,
            columns=columns,
            cuts=cuts,
            strict=strict,
            truth_optional=truth_optional,
            wanted=wanted,
        )

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The files and stores, each once, in the order of the patterns; see ``find_files``.

        Of several, those without jets are left out, with one line in the log; unless none has any.

        Raises
        ------
        InputError
            If a pattern matches nothing, or a directory has nothing to read.
        """
        found = find_files(self.patterns)
        if len(found) < 2:
            return found
        empty = [path for path in found if self._is_empty(path)]
        if not empty or len(empty) == len(found):
            return found
        named = ", ".join(map(str, empty[:3])) + (", …" if len(empty) > 3 else "")
        logger.warning("%d of %d files hold no jets: %s", len(empty), len(found), named)
        return tuple(path for path in found if path not in empty)

    def _is_empty(self, path: Path) -> bool:
        try:
            return count_jets(path, self.layout) == 0
        except InputError:
            return False  # said where the file is read

    @cached_property
    def layout(self) -> ColumnLayout | None:
        """What ``columns`` makes of the branches; ``None`` stands for the public sets' layouts."""
        wanted = self.wanted if self.wanted is not None and self.wanted.names else None
        if self.columns is None and wanted is None:
            return None
        columns = ColumnsOptions() if self.columns is None else self.columns
        return ColumnLayout(columns, self.truth_optional, self.wanted)

    def at(self, paths: Sequence[Path]) -> JetFiles:
        """Return other files of the same meaning."""
        return replace(self, patterns=tuple(paths))

    def count(self) -> int:
        """Return the number of jets, good and bad, inside of the cuts and outside.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        return sum(count_jets(path, self.layout) for path in self.paths)

    def good_jets(
        self, *, particles_of_stores: bool = True, chunk_jets: int = CHUNK_JETS
    ) -> Intake:
        """Return what reads the good jets, inside of the cuts and outside, and counts the others.

        Parameters
        ----------
        particles_of_stores
            If false, jets of stores come without their particles.
        chunk_jets
            Most jets in a chunk.
        """
        return Intake(
            self.paths,
            strict=self.strict,
            layout=self.layout,
            particles_of_stores=particles_of_stores,
            chunk_jets=chunk_jets,
        )

    def chunks(
        self, progress: Progress = no_progress, *, chunk_jets: int = CHUNK_JETS
    ) -> Iterator[JetArrays]:
        """Yield the good jets that pass the cuts, in the order of the files.

        Parameters
        ----------
        chunk_jets
            Most jets in a chunk.

        Raises
        ------
        InputError
            If a file cannot be read, has other labels or particle columns than the first, or holds
            a bad jet and ``strict`` is set.
        """
        intake = self.good_jets(chunk_jets=chunk_jets)
        yield from drop_outside(intake.chunks(progress), self.cuts or CutOptions(), intake.counts)

    def all_jets(
        self,
        progress: Progress = no_progress,
        description: str = "Reading jets",
        *,
        step_jets: int = STEP_JETS,
    ) -> Iterator[tuple[Path, JetArrays]]:
        """Yield every jet, good or bad, inside of the cuts and outside, each chunk with its file.

        Parameters
        ----------
        description
            Of what the progress bar says.
        step_jets
            Most jets in a chunk, which is a step of the bar.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        paths, layout = self.paths, self.layout
        num_chunks = sum(math.ceil(count_jets(path, layout) / step_jets) for path in paths)
        readers = [partial(read_chunks, p, chunk_jets=step_jets, layout=layout) for p in paths]

        def chunks() -> Iterator[tuple[Path, JetArrays]]:
            for number, jets in read_ahead(readers):
                if self.wanted is not None:
                    self.wanted.require_kinds(jets, str(paths[number]))
                yield paths[number], jets

        yield from progress(chunks(), total=num_chunks, description=description)

    def read(self, progress: Progress = no_progress) -> JetArrays:
        """Return all jets inside of the cuts, good and bad, in the order of the files.

        Raises
        ------
        InputError
            If a file cannot be read or has other labels or particle columns than the first, or
            there is no file.
        """
        intake = Intake(self.paths, layout=self.layout, keep_bad=True)
        cuts = self.cuts or CutOptions()
        return concatenate(list(drop_outside(intake.chunks(progress), cuts, intake.counts)))

    def describe(self, progress: Progress = no_progress) -> tuple[Source, ...]:
        """Return path, size and SHA-256 of each file, of stores those that they were made from.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        return describe_sources(self.paths, progress)

    @property
    def is_simulated(self) -> bool:
        """Whether some of the files were made by parttag, or stores from such files.

        Of a store whose sources are no longer there it is not known, which counts as no.
        """
        return any(is_simulated(Path(s)) for path in self.paths for s in source_names(path))


def jet_files(files: JetFiles | Patterns) -> JetFiles:
    """Return files that are read as the public sets are, if nothing is said of them."""
    return files if isinstance(files, JetFiles) else JetFiles(files)


def steps(
    jets: JetArrays, progress: Progress, description: str, *, step_jets: int = STEP_JETS
) -> Iterator[JetArrays]:
    """Yield jets in memory in the steps in which those of a file are read; one if there are none.

    So the same jets are computed in the same batches, wherever they are.
    """
    starts = range(0, max(len(jets), 1), step_jets)
    for start in progress(starts, total=len(starts), description=description):
        yield jets.span(start, min(start + step_jets, len(jets)))


def _with_jet_columns(
    names: tuple[str, ...], columns: ColumnsOptions | None, wanted: WantedColumns | None
) -> tuple[ColumnsOptions | None, WantedColumns | None]:
    """Return what is read so that these columns of the jets are among it."""
    if wanted is not None:
        known = wanted.jets + wanted.either
        more = tuple(name for name in names if name not in known)
        return columns, replace(wanted, jets=wanted.jets + more)
    columns = columns or ColumnsOptions()
    extra = dict.fromkeys(names, "") | columns.jet_extra
    jet_extra = {name: branch or name for name, branch in extra.items()}
    return columns.model_copy(update={"jet_extra": jet_extra}), None
