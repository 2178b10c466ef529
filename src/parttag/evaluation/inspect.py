"""What is in files of jets: counts, classes, ranges, bad jets, repeated jets, distributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64

from parttag.data.files import refuse_unwritable
from parttag.data.quality import FAULTS, jet_faults
from parttag.evaluation.jet_variables import JET_VARIABLES, Variable, jet_variables
from parttag.evaluation.output import new_files
from parttag.evaluation.reading import read_jets
from parttag.jets import JetArrays
from parttag.progress import Progress, no_progress

NO_LABEL = "no label"
SEVERAL_LABELS = "several labels"

# Jets kept for distributions, a random choice if there are more: quantiles to better than 0.2 %.
_SAMPLE_JETS = 200_000


@dataclass(frozen=True, eq=False)
class JetSample:
    """A random choice of the good jets: their ``JET_VARIABLES``, labels and weights."""

    variables: Float64[np.ndarray, "jets variables"]
    labels: tuple[str, ...]
    """Names that ``label_numbers`` counts."""
    label_numbers: Int64[np.ndarray, " jets"]
    jet_weights: Float64[np.ndarray, " jets"]

    def __len__(self) -> int:
        return len(self.label_numbers)

    @property
    def present(self) -> tuple[str, ...]:
        """The labels that some jet carries."""
        return tuple(label for label in self.labels if self.carrying(label).any())

    def carrying(self, label: str) -> Bool[np.ndarray, " jets"]:
        """Return which jets carry this label and no other."""
        carried: Bool[np.ndarray, " jets"] = self.label_numbers == self.labels.index(label)
        return carried

    def take(self, rows: Int64[np.ndarray, " chosen"]) -> JetSample:
        """Return the jets at these rows."""
        return replace(
            self,
            variables=self.variables[rows],
            label_numbers=self.label_numbers[rows],
            jet_weights=self.jet_weights[rows],
        )


@dataclass(frozen=True, eq=False)
class Inspection:
    """What is in some files; ``ranges`` and ``sample`` are of the good jets."""

    files: tuple[Path, ...]
    num_jets: int
    labels: dict[str, int]
    """Number of jets by the label they carry, or ``NO_LABEL``, or ``SEVERAL_LABELS``."""
    faults: dict[str, int]
    """Number of bad jets by what is wrong with them."""
    ranges: dict[str, tuple[float, float]]
    """Least and greatest value of each jet variable and particle column."""
    sample: JetSample
    fingerprints: UInt64[np.ndarray, " jets"] = field(repr=False)
    """One number for the particles of each jet: equal for equal jets."""

    @property
    def num_bad(self) -> int:
        """Number of bad jets."""
        return sum(self.faults.values())

    @property
    def num_repeated(self) -> int:
        """Number of jets whose particles are exactly those of an earlier jet."""
        return self.num_jets - len(np.unique(self.fingerprints))


def inspect_files(files: Sequence[Path], *, progress: Progress = no_progress) -> Inspection:
    """Read jets once, a chunk at a time, and return what they are like.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    labels: dict[str, int] = {}
    faults: Counter[str] = Counter()
    ranges = _Ranges()
    reservoir = _Reservoir()
    fingerprints = []
    for _, jets in read_jets(files, progress, "inspecting"):
        count = Counter(_label_of_each(jets))
        for name in (*jets.label_names, NO_LABEL, SEVERAL_LABELS):
            labels[name] = labels.get(name, 0) + count[name]
        found = jet_faults(jets)
        faults.update(FAULTS[fault] for fault in found[found >= 0])
        fingerprints.append(fingerprint(jets))
        good = jets.take(np.flatnonzero(found < 0))
        variables = jet_variables(good)
        ranges.add(variables, good)
        reservoir.add(variables, _label_of_each(good), good)
    return Inspection(
        files=tuple(files),
        num_jets=sum(labels.values()),
        labels={name: number for name, number in labels.items() if number},
        faults=dict(faults),
        ranges=ranges.result,
        sample=reservoir.sample(),
        fingerprints=np.concatenate(fingerprints),
    )


def draw(
    directory: Path, inspections: Mapping[str, Inspection], *, overwrite: bool = False
) -> None:
    """Draw multiplicity, mass and pT by label of one set of files, or of two side by side.

    Parameters
    ----------
    inspections
        One or two, by the names that the legends give them.

    Raises
    ------
    InputError
        If a picture exists and is not to be overwritten, or cannot be written.
    """
    from parttag.evaluation.plots import Sample, plot_distribution

    with refuse_unwritable(directory):
        directory.mkdir(parents=True, exist_ok=True)
    paths = picture_paths(directory)
    with new_files(list(paths.values()), overwrite=overwrite) as files:
        for variable, file in zip(paths, files, strict=True):
            samples = [
                Sample(name, *_by_label(inspection.sample, JET_VARIABLES.index(variable)))
                for name, inspection in inspections.items()
            ]
            plot_distribution(file, samples, variable.label, variable.unit)


def picture_paths(directory: Path) -> dict[Variable, Path]:
    """Return the variables that are drawn, and the files of their pictures."""
    drawn = [v for v in JET_VARIABLES if v.name in ("num_particles", "mass", "pt")]
    return {variable: directory / f"{variable.name}.png" for variable in drawn}


def _by_label(
    sample: JetSample, column: int
) -> tuple[dict[str, Float64[np.ndarray, " jets"]], dict[str, Float64[np.ndarray, " jets"]]]:
    """Return a variable and the weights of the jets of each label."""
    rows = {label.removeprefix("label_"): sample.carrying(label) for label in sample.present}
    return (
        {label: sample.variables[carrying, column] for label, carrying in rows.items()},
        {label: sample.jet_weights[carrying] for label, carrying in rows.items()},
    )


def num_common(first: Inspection, second: Inspection) -> int:
    """Return how many jets of the first have exactly the particles of a jet of the second."""
    return int(np.isin(first.fingerprints, second.fingerprints).sum())


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


def _label_of_each(jets: JetArrays) -> list[str]:
    carried = jets.labels == 1
    count, first = carried.sum(axis=1), carried.argmax(axis=1) if jets.label_names else 0
    position = np.where(count == 1, first, len(jets.label_names) + (count > 1))
    names = (*jets.label_names, NO_LABEL, SEVERAL_LABELS)
    return [names[i] for i in position]


class _Ranges:
    """Least and greatest value of every jet variable and particle column so far."""

    def __init__(self) -> None:
        self.result: dict[str, tuple[float, float]] = {}

    def add(self, variables: Float64[np.ndarray, "jets variables"], jets: JetArrays) -> None:
        pt = np.hypot(jets.p4[:, 0], jets.p4[:, 1])
        columns = {v.name: variables[:, i] for i, v in enumerate(JET_VARIABLES)}
        columns |= {"particle pt": pt, "particle energy": jets.p4[:, 3]}
        columns |= {f"particle {n}": jets.extra[:, i] for i, n in enumerate(jets.extra_names)}
        for name, values in columns.items():
            if len(values):
                low, high = self.result.get(name, (np.inf, -np.inf))
                self.result[name] = (
                    min(low, float(values.min())),
                    max(high, float(values.max())),
                )


class _Reservoir:
    """A random choice of at most ``_SAMPLE_JETS`` of all jets that are added.

    Every jet draws a number, and those with the lowest ones stay: each jet is as likely as any
    other, however many follow.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._numbers: dict[str, int] = {}
        # Rows of the drawn number, the label's number, the weight, and the variables.
        self._rows = np.zeros((0, 3 + len(JET_VARIABLES)))
        self._waiting: list[Float64[np.ndarray, "jets columns"]] = []
        self._bound = 1.0

    def add(
        self,
        variables: Float64[np.ndarray, "jets variables"],
        labels: Sequence[str],
        jets: JetArrays,
    ) -> None:
        for name in (*jets.label_names, *labels):  # in the order of the file
            self._numbers.setdefault(name, len(self._numbers))
        numbers = [self._numbers[name] for name in labels]
        drawn = self._rng.random(len(numbers))
        rows = np.column_stack([drawn, numbers, jets.jet_weights, variables])
        self._waiting.append(rows[drawn < self._bound])
        if sum(len(rows) for rows in self._waiting) > _SAMPLE_JETS:
            self._choose()

    def _choose(self) -> None:
        rows = np.concatenate([self._rows, *self._waiting])
        self._waiting = []
        if len(rows) > _SAMPLE_JETS:
            chosen = np.argpartition(rows[:, 0], _SAMPLE_JETS)[:_SAMPLE_JETS]
            rows = rows[np.sort(chosen)]
            self._bound = rows[:, 0].max()
        self._rows = rows

    def sample(self) -> JetSample:
        self._choose()
        return JetSample(
            variables=self._rows[:, 3:],
            labels=tuple(self._numbers),
            label_numbers=self._rows[:, 1].astype(np.int64),
            jet_weights=self._rows[:, 2],
        )
