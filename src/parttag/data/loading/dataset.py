"""Labeled jets that can be had by number, wherever they are: in memory, or in stores on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int16, Int64

from parttag.data.jet_files import JetFiles, Patterns, jet_files
from parttag.data.loading.parts import InMemory, InStore, Part
from parttag.data.readers import read_chunks
from parttag.data.selection.classes import ClassCheck, assign_classes, carried_classes
from parttag.data.selection.cuts import CutOptions, passing
from parttag.data.selection.folds import FoldOptions
from parttag.data.selection.good_jets import JetCounts, describe_sources
from parttag.data.selection.jet_weights import (
    NegativeWeights,
    WeightSums,
    used_weights,
    with_weights,
)
from parttag.data.selection.reweight import (
    FlattenOptions,
    JetSpectra,
    Reweighting,
    ReweightOptions,
)
from parttag.data.store.store import JetStore, Source, is_store
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, concatenate, take_from_parts
from parttag.jets.kinds import Kinds, MaxParticles
from parttag.jets.memberships import with_memberships
from parttag.jets.packing import offsets_of
from parttag.jets.validity import source_name
from parttag.progress import Progress, no_progress

# Of the draw of a part of the jets; it has no meaning, and must not change.
_SUBSET_SEED = 20
# If fewer of a store's jets are used, they are picked out of it, not read with all others.
_LEAST_SHARE_TO_STREAM = 0.5


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
    negative_weights
        What jets of negative weight count for.
    memberships
        The labels of classes of which a jet may be of several: they come with the jets.
    """

    def __init__(
        self,
        parts: Sequence[JetArrays | Part],
        classes: Int[np.ndarray, " all_jets"],
        *,
        entries: Sequence[Path] = (),
        counts: JetCounts | None = None,
        check: ClassCheck | None = None,
        negative_weights: NegativeWeights = "refuse",
        memberships: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._parts = tuple(InMemory(p) if isinstance(p, JetArrays) else p for p in parts)
        self._starts = offsets_of([len(part) for part in parts])
        labeled = classes >= 0
        self._rows = None if labeled.all() else np.flatnonzero(labeled)
        # As ``starts``, but without the jets that are left out.
        self._bounds = np.searchsorted(np.flatnonzero(labeled), self._starts)
        self._entries = tuple(entries)
        self._sample = self._parts[0].read([(0, 0)])
        self.classes: Int16[np.ndarray, " jets"] = classes[labeled].astype(np.int16)
        self.counts = counts or JetCounts(read=len(classes))
        self.check = check
        self._negative_weights = negative_weights
        self._memberships = memberships
        self.reweighting: Reweighting | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that the jets' index counts."""
        return self._sample.sources

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The particle columns besides the four-momentum."""
        return self._sample.extra_names

    @property
    def kinds(self) -> Kinds:
        """The kinds of particles, where there are several."""
        return self._sample.kinds

    @property
    def part_sizes(self) -> tuple[int, ...]:
        """Number of jets of each part, those left out not counted."""
        return tuple(np.diff(self._bounds).tolist())

    @property
    def num_bytes(self) -> int:
        """Bytes that the particles take, those of jets that are left out too."""
        return sum(part.num_bytes for part in self._parts)

    @property
    def is_streamed(self) -> bool:
        """Whether all jets are in shuffled stores, of which not much is left out."""
        mixed = all(part.is_shuffled for part in self._parts)
        return mixed and len(self) >= _LEAST_SHARE_TO_STREAM * int(self._starts[-1])

    def __repr__(self) -> str:
        where = "streamed from stores" if self.is_streamed else f"in {len(self._parts)} parts"
        if all(isinstance(part, InMemory) for part in self._parts):
            where = "in memory"
        extra = f", extra: {', '.join(self.extra_names)}" if self.extra_names else ""
        return (
            f"JetDataset: {len(self):,} jets of {len(np.unique(self.classes))} classes, {where}, "
            f"{_count('file', len(self.sources))}{extra}"
        )

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

    def subset(self, num_jets: int, seed: int | None = None) -> JetDataset:
        """Return ``num_jets`` of the jets, drawn at random, in their order.

        The draw depends on nothing but the two numbers of jets and the seed, and a smaller one is
        part of a larger one: trainings that are compared see the same jets.

        Parameters
        ----------
        seed
            Of a draw of its own; without one, or with 0, it is the one that all trainings share.

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
        draw = _SUBSET_SEED if seed is None else [_SUBSET_SEED, seed]
        chosen = np.sort(np.random.default_rng(draw).permutation(len(self))[:num_jets])
        counts = JetCounts(self.counts.read, dict(self.counts.dropped))
        counts.drop("beyond data.num_train_jets", len(self) - num_jets)
        return self._with(self._parts, chosen, counts)

    def reweighted(
        self, options: ReweightOptions | FlattenOptions, class_names: Sequence[str]
    ) -> JetDataset:
        """Return the same jets with weights that give every class the same spectrum.

        Raises
        ------
        InputError
            If no jet of a class would count, or one lies outside of ``data.flatten_pt``'s bins.
        """
        spectra = JetSpectra(options, class_names)
        classes = self._class_of_row(np.arange(len(self))).astype(np.int64)
        start = 0
        for jets in (jets for part in self._parts for jets in part.without_particles()):
            own = classes[start : start + len(jets)]
            spectra.add(self._weighed(jets), own)
            start += len(jets)
        other = copy(self)
        other.reweighting = spectra.weights()
        return other

    def without_particles(self) -> Iterator[JetArrays]:
        """Yield all jets in order, a part of them at a time, with or without their particles."""
        classes = self._class_of_row(np.arange(len(self)))
        start = 0
        for jets in (jets for part in self._parts for jets in part.without_particles()):
            own = classes[start : start + len(jets)] >= 0
            start += len(jets)
            yield self._weighed(jets if own.all() else jets.take(np.flatnonzero(own)))

    def without_extras(self) -> JetDataset:
        """Return the same jets without the particle columns besides the four-momentum."""
        parts = [part.without_extras() for part in self._parts]
        return self._with(parts, np.arange(len(self)), self.counts)

    def _with(
        self, parts: Sequence[Part], chosen: Int[np.ndarray, " jets"], counts: JetCounts
    ) -> JetDataset:
        """Return the chosen jets, from parts like these."""
        classes = self._class_of_row(chosen)
        other = JetDataset(
            parts,
            classes,
            entries=self._entries,
            counts=counts,
            check=self.check,
            negative_weights=self._negative_weights,
            memberships=self._memberships,
        )
        other.reweighting = self.reweighting
        return other

    def _class_of_row(self, chosen: Int[np.ndarray, " jets"]) -> Int16[np.ndarray, " all_jets"]:
        """Return the class of each jet of all parts, −1 but for the chosen ones."""
        classes = np.full(self._starts[-1], -1, dtype=np.int16)
        classes[chosen if self._rows is None else self._rows[chosen]] = self.classes[chosen]
        return classes

    def take(
        self, rows: Int[np.ndarray, " chosen"], max_particles: MaxParticles = None
    ) -> JetArrays:
        """Return the jets at ``rows``, in that order; repeats are allowed.

        Parameters
        ----------
        max_particles
            Take only so many of a jet's hardest particles.

        Raises
        ------
        InputError
            If a shard of a store is not what was written.
        """
        all_rows = rows if self._rows is None else self._rows[rows]
        jets = take_from_parts(self._parts.__getitem__, self._starts, all_rows, max_particles)
        return self._reweighed(jets, rows)

    def read(self, ranges: Sequence[tuple[int, int]]) -> JetArrays:
        """Return the jets of each range, from its first to before its last; fast where it is long.

        Raises
        ------
        InputError
            If a block of a store is not what was written.
        """
        pieces = [
            self._read_part(number, [(start, stop) for _, start, stop in own])
            for number, own in groupby(self._split(ranges), key=itemgetter(0))
        ]
        if not pieces:
            return self._sample
        rows = np.concatenate([np.arange(start, stop) for start, stop in ranges])
        return self._reweighed(concatenate(pieces), rows)

    def _reweighed(self, jets: JetArrays, rows: Int[np.ndarray, " jets"]) -> JetArrays:
        jets = self._weighed(jets)
        if self.reweighting is None:
            return jets
        return self.reweighting.reweighed(jets, self.classes[rows].astype(np.int64))

    def _weighed(self, jets: JetArrays) -> JetArrays:
        if self._memberships is not None:
            carried = carried_classes(jets, self._memberships)
            jets = with_memberships(jets, carried, tuple(self._memberships))
        # Those that are refused have been looked for when the files were opened.
        return with_weights(jets, "absolute") if self._negative_weights == "absolute" else jets

    def _split(self, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
        """Yield the number of a part, and the first and last jet in it, for each range."""
        for start, stop in ranges:
            first = int(np.searchsorted(self._bounds, start, side="right")) - 1
            for number in range(first, len(self._parts)):
                begin, end = self._bounds[number : number + 2].tolist()
                if max(start, begin) < min(stop, end):
                    yield number, max(start, begin), min(stop, end)

    def _read_part(self, number: int, ranges: Sequence[tuple[int, int]]) -> JetArrays:
        part, begin = self._parts[number], int(self._starts[number])
        if self._rows is None:
            return part.read([(a - begin, b - begin) for a, b in ranges])
        # Read the jets that are left out with the others, then take these.
        rows = [self._rows[a:b] - begin for a, b in ranges]
        jets = part.read([(int(own[0]), int(own[-1]) + 1) for own in rows])
        before = offsets_of([int(own[-1]) + 1 - int(own[0]) for own in rows])
        local = [own - own[0] + n for own, n in zip(rows, before, strict=False)]
        return jets.take(np.concatenate(local))


def open_dataset(
    files: JetFiles | Patterns,
    classes: Mapping[str, Sequence[str]],
    *,
    require_extras: Sequence[str] = (),
    negative_weights: NegativeWeights = "refuse",
    folds: FoldOptions | None = None,
    multi_label: bool = False,
    progress: Progress = no_progress,
) -> JetDataset:
    """Return the good jets of these files that belong to a class.

    Files are read into memory, of stores only the labels: the rest is read when it is asked for.
    Jets that are bad, outside of a cut or of no class are left out, and counted in ``counts``.

    Parameters
    ----------
    files
        Files, globs, directories and stores, as the public sets or as ``JetFiles`` says.
    classes
        The labels of each class, in the order of the class indices.
    require_extras
        Particle columns that must be there, by their names in ``features.EXTRA_NAMES``.
    negative_weights
        What jets of negative weight count for.
    folds
        Jets of its fold ``held_out`` are left out.
    multi_label
        Whether a jet may be of several classes, or of none: all are kept.

    Raises
    ------
    InputError
        If a file cannot be read or lacks a label or a required column, a jet belongs to two
        classes, weights cannot be used, or no jet is left.
    """
    files = jet_files(files)
    entries, cuts = files.paths, files.cuts or CutOptions()
    intake = files.good_jets(particles_of_stores=cuts.num_particles is not None)
    parts: list[JetArrays | Part] = []
    class_of_jet: list[Int64[np.ndarray, " jets"]] = []
    stores: dict[int, InStore] = {}
    check, weights = ClassCheck(classes), WeightSums(tuple(classes))
    for number, chunk in intake.numbered_chunks(progress):
        _require(require_extras, chunk)
        if files.wanted is not None:
            files.wanted.require(chunk, source_name(chunk))
        on_disk = is_store(entries[number])
        jets, passed = chunk, passing(chunk, cuts, intake.counts)
        if folds is not None:
            passed = folds.not_held_out(chunk, passed, intake.counts)
        if not on_disk and not passed.all():
            jets, passed = chunk.take(np.flatnonzero(passed)), passed[passed]
        if multi_label:  # the first of its classes stands for them where one is asked for
            own = carried_classes(jets, classes).argmax(axis=1)
        else:
            own = assign_classes(jets, classes)
        intake.counts.drop("of no class", int((passed & (own < 0)).sum()))
        if passed.all():
            check.add(jets, own)
        else:
            check.add(jets.take(np.flatnonzero(passed)), own[passed])
        own[~passed] = -1
        class_of_jet.append(own)
        weights.add(used_weights(jets, own, negative_weights), own[own >= 0])
        if not on_disk:
            parts.append(jets)
        elif number not in stores:
            stores[number] = InStore(JetStore(entries[number]), jets, intake.file_number(number))
            parts.append(stores[number])
    if not stores:
        parts = [concatenate([part for part in parts if isinstance(part, JetArrays)])]
    if not intake.counts.kept:
        named = ", ".join(map(str, files.patterns))
        raise InputError(f"no jet of {named} is left: {intake.counts}")
    weights.check(", ".join(map(str, files.patterns)))
    return JetDataset(
        parts,
        np.concatenate(class_of_jet),
        entries=entries,
        counts=intake.counts,
        check=check,
        negative_weights=negative_weights,
        memberships=classes if multi_label else None,
    )


def try_files(
    files: JetFiles | Patterns,
    classes: Mapping[str, Sequence[str]],
    *,
    require_extras: Sequence[str] = (),
    multi_label: bool = False,
) -> None:
    """Read the first jet of each file, so that what cannot be used is refused now, not in hours.

    Parameters
    ----------
    files, classes, require_extras, multi_label
        As ``open_dataset`` takes them.

    Raises
    ------
    InputError
        If a file is missing or damaged, has no jets, or lacks a label or a required column.
    """
    files = jet_files(files)
    for path in files.paths:
        first = next(read_chunks(path, chunk_jets=1, layout=files.layout))
        _require(require_extras, first)
        if files.wanted is not None:
            files.wanted.require(first, source_name(first))
        (carried_classes if multi_label else assign_classes)(first, classes)


def _count(noun: str, number: int) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _require(extra_names: Sequence[str], jets: JetArrays) -> None:
    missing = [name for name in extra_names if name not in jets.extra_names]
    if missing:
        raise InputError(
            f"{source_name(jets)} has no particle column {', '.join(missing)}, which the features "
            "need: choose features: kin, or files that have it"
        )
