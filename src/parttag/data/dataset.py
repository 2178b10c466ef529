"""Jets that can be taken by row, wherever they are: in memory, or in memory-mapped shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int64

from parttag.data.classes import ClassCheck, assign_classes
from parttag.data.cuts import CutOptions, passing
from parttag.data.flattening import FlattenOptions, PtSpectra, PtWeights
from parttag.data.intake import Intake, JetCounts, describe_sources
from parttag.data.quality import source_name
from parttag.data.readers import find_files
from parttag.data.readers.layout import Layout
from parttag.data.store import Source, is_store
from parttag.errors import InputError
from parttag.jets import JetArrays, concatenate
from parttag.progress import Progress, no_progress

# Of the draw of a part of the jets; it has no meaning, and must not change.
_SUBSET_SEED = 20


class JetDataset:
    """Labeled jets, numbered from 0.

    Parameters
    ----------
    parts
        The jets, in pieces that agree in labels, extra columns and sources.
    classes
        Class index of each jet of all parts; jets of class −1 are left out.
    entries
        Files and stores that the jets were read from.
    counts
        Of the reading: jets read, and dropped by reason.
    check
        What was noticed about labels and classes while they were read.
    """

    def __init__(
        self,
        parts: Sequence[JetArrays],
        classes: Int64[np.ndarray, " all_jets"],
        *,
        entries: Sequence[Path] = (),
        counts: JetCounts | None = None,
        check: ClassCheck | None = None,
    ) -> None:
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        labeled = classes >= 0
        self._rows = None if labeled.all() else np.flatnonzero(labeled)
        self._entries = tuple(entries)
        self.classes = classes if self._rows is None else classes[self._rows]
        self.counts = counts or JetCounts(read=len(classes))
        self.check = check
        self._pt_weights: PtWeights | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that the jets' index counts."""
        return self._parts[0].sources

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The particle columns besides the four-momentum."""
        return self._parts[0].extra_names

    def provenance(self) -> list[dict[str, str | int]]:
        """Return ``path``, ``bytes`` and ``sha256`` of each source; reads the files for it, once.

        Raises
        ------
        InputError
            If a file cannot be read any more.
        """
        return [source.model_dump() for source in self._described_sources]

    @cached_property
    def _described_sources(self) -> tuple[Source, ...]:
        return describe_sources(self._entries)

    def subset(self, num_jets: int) -> JetDataset:
        """Return ``num_jets`` of the jets, drawn at random, in their order.

        The draw depends on nothing but the two numbers of jets, and a smaller one is part of a
        larger one: trainings that are compared see the same jets.

        Raises
        ------
        InputError
            If there are fewer.
        """
        if num_jets > len(self):
            raise InputError(
                f"data.num_train_jets is {num_jets:,}, but data.train has {len(self):,} good jets "
                "of the classes; ask for fewer, or give more files"
            )
        chosen = np.sort(np.random.default_rng(_SUBSET_SEED).permutation(len(self))[:num_jets])
        rows = chosen if self._rows is None else self._rows[chosen]
        classes = self._class_of_row(rows, self.classes[chosen])
        counts = JetCounts(self.counts.read, dict(self.counts.dropped))
        counts.drop("beyond data.num_train_jets", len(self) - num_jets)
        return JetDataset(
            self._parts, classes, entries=self._entries, counts=counts, check=self.check
        )

    def flattened(self, options: FlattenOptions, class_names: Sequence[str]) -> JetDataset:
        """Return the same jets with weights that give every class the same spectrum of pT.

        Raises
        ------
        InputError
            If a jet lies outside the bins, or a class has none where it should have some.
        """
        rows = np.arange(len(self)) if self._rows is None else self._rows
        classes = self._class_of_row(rows, self.classes)
        spectra = PtSpectra(options, tuple(class_names))
        for part, start in zip(self._parts, self._starts, strict=False):
            spectra.add(part, classes[start : start + len(part)])
        other = copy(self)
        other._pt_weights = spectra.weights()
        return other

    def _class_of_row(
        self, rows: Int64[np.ndarray, " jets"], classes: Int64[np.ndarray, " jets"]
    ) -> Int64[np.ndarray, " all_jets"]:
        """Return the class of each jet of all parts, −1 but for these rows."""
        class_of_row = np.full(self._starts[-1], -1, dtype=np.int64)
        class_of_row[rows] = classes
        return class_of_row

    def take(self, rows: Int[np.ndarray, " chosen"]) -> JetArrays:
        """Return the jets at ``rows``, in that order; repeats are allowed."""
        jets = self._take(rows if self._rows is None else self._rows[rows])
        if self._pt_weights is None:
            return jets
        return self._pt_weights.reweighed(jets, self.classes[rows])

    def _take(self, rows: Int[np.ndarray, " chosen"]) -> JetArrays:
        part_of_row = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(part_of_row, kind="stable")
        numbers, begins = np.unique(part_of_row[order], return_index=True)
        if len(numbers) < 2:
            number = numbers[0] if len(numbers) else 0
            return self._parts[number].take(rows - self._starts[number])
        # Gather part by part, then put the jets back into the order asked for.
        pieces = [
            self._parts[number].take(own - self._starts[number])
            for number, own in zip(numbers, np.split(rows[order], begins[1:]), strict=True)
        ]
        return concatenate(pieces).take(np.argsort(order))


def open_dataset(
    patterns: Sequence[str | Path],
    classes: Mapping[str, Sequence[str]],
    *,
    strict: bool = False,
    layout: Layout | None = None,
    cuts: CutOptions | None = None,
    require_extras: Sequence[str] = (),
    progress: Progress = no_progress,
) -> JetDataset:
    """Return the good jets of these files that belong to a class.

    Files are read into memory, stores are memory-mapped. Jets that are bad, outside of a cut or of
    no class are left out, and counted in ``counts``.

    Parameters
    ----------
    patterns
        Files, globs, directories and stores.
    classes
        The labels of each class, in the order of the class indices.
    strict
        Refuse a bad jet instead of leaving it out.
    layout
        What the branches of the files mean, if not what they do in the public sets.
    cuts
        Ranges outside of which jets are left out.
    require_extras
        Particle columns that must be there, by their names in ``features.EXTRA_NAMES``.

    Raises
    ------
    InputError
        If a file cannot be read or lacks a label or a required column, a jet belongs to two
        classes, or no jet is left.
    """
    entries = find_files(patterns)
    intake = Intake(entries, strict=strict, layout=layout)
    cuts = cuts or CutOptions()
    in_memory = not any(is_store(entry) for entry in entries)
    parts, class_of_jet, check = [], [], ClassCheck(classes)
    for chunk in intake.chunks(progress):
        _require(require_extras, chunk)
        jets, passed = chunk, passing(chunk, cuts, intake.counts)
        if in_memory and not passed.all():  # what is mapped stays mapped
            jets, passed = chunk.take(np.flatnonzero(passed)), passed[passed]
        own = assign_classes(jets, classes)
        intake.counts.drop("of no class", int((passed & (own < 0)).sum()))
        if passed.all():
            check.add(jets, own)
        else:
            check.add(jets.take(np.flatnonzero(passed)), own[passed])
        own[~passed] = -1
        parts.append(jets)
        class_of_jet.append(own)
    if in_memory:
        parts = [concatenate(parts)]
    if not intake.counts.kept:
        raise InputError(f"no jet of {', '.join(map(str, patterns))} is left: {intake.counts}")
    return JetDataset(
        parts,
        np.concatenate(class_of_jet),
        entries=entries,
        counts=intake.counts,
        check=check,
    )


def _require(extra_names: Sequence[str], jets: JetArrays) -> None:
    missing = [name for name in extra_names if name not in jets.extra_names]
    if missing:
        raise InputError(
            f"{source_name(jets)} has no particle column {', '.join(missing)}, which the features "
            "need: choose features: kin, or files that have it"
        )
