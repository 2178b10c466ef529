"""Contents of files: counts, classes, ranges, bad jets, repeated jets, distributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt64

from parttag.data.jet_files import STEP_JETS, JetFiles, Patterns, jet_files
from parttag.data.readers import find_files
from parttag.inspection.duplicates import fingerprint, num_repeated
from parttag.inspection.sample import SAMPLE_JETS, JetSample, Reservoir
from parttag.inspection.units import Scales
from parttag.jets.arrays import JetArrays
from parttag.jets.spread import looks_like_events
from parttag.jets.validity import FAULTS, jet_faults
from parttag.jets.variables import JET_VARIABLES, Variable, jet_variables
from parttag.progress import Progress, no_progress
from parttag.system.atomic_files import made_directory, new_files

NO_LABEL = "no label"
SEVERAL_LABELS = "several labels"


@dataclass(frozen=True, eq=False, repr=False)
class Inspection:
    """What is in some files; ``ranges`` and ``sample`` are of the good jets."""

    files: tuple[Path, ...]
    num_jets: int
    labels: dict[str, int]
    """Number of jets by the label they carry, or ``NO_LABEL``, or ``SEVERAL_LABELS``."""
    faults: dict[str, int]
    """Number of bad jets by what is wrong with them."""
    ranges: dict[str, tuple[float, float]]
    """Least and greatest finite value of each jet variable, particle column and jet weight."""
    sample: JetSample
    fingerprints: Mapping[Path, UInt64[np.ndarray, " jets"]] = field(repr=False)
    """For each file, one number for each jet that has particles: equal for equal particles."""
    nonfinite: Mapping[str, int] = field(default_factory=dict)
    """Number of values that are not finite, of good and bad jets, by column."""
    warnings: tuple[str, ...] = ()
    """What looks wrong with the files as a whole, one sentence each."""

    def __repr__(self) -> str:
        """Return one line: files, jets, labels and what is wrong."""
        labels = ", ".join(f"{name} {number:,}" for name, number in self.labels.items())
        wrong = f"{self.num_bad:,} bad, {self.num_repeated:,} repeated"
        return (
            f"Inspection: {self.num_jets:,} jets of {len(self.files):,} files ({wrong}) | {labels}"
        )

    @property
    def num_bad(self) -> int:
        """Number of bad jets."""
        return sum(self.faults.values())

    @property
    def num_repeated(self) -> int:
        """Number of jets whose particles are exactly those of an earlier jet."""
        return num_repeated(_joined(self.fingerprints))


def inspect_files(
    files: JetFiles | Patterns,
    *,
    step_jets: int = STEP_JETS,
    sample_jets: int = SAMPLE_JETS,
    progress: Progress = no_progress,
) -> Inspection:
    """Read jets once, a chunk at a time, and return what they are like.

    Parameters
    ----------
    files
        Files, globs, directories and stores, as the public sets or as ``JetFiles`` says; cuts do
        not matter.
    step_jets
        Jets of a chunk.
    sample_jets
        Most jets of ``Inspection.sample``.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    labels: dict[str, int] = {}
    faults: Counter[str] = Counter()
    nonfinite: Counter[str] = Counter()
    files = jet_files(files)
    ranges, reservoir, scales = _Ranges(), Reservoir(sample_jets), Scales()
    wide: dict[Path, str] = {}
    fingerprints: dict[Path, list[UInt64[np.ndarray, " jets"]]] = {path: [] for path in files.paths}
    for path, jets in files.all_jets(progress, "inspecting", step_jets=step_jets):
        count = Counter(_label_of_each(jets))
        for name in (*jets.label_names, NO_LABEL, SEVERAL_LABELS):
            labels[name] = labels.get(name, 0) + count[name]
        found = jet_faults(jets)
        faults.update(FAULTS[fault] for fault in found[found >= 0])
        nonfinite.update(_nonfinite(jets))
        fingerprints[path].append(fingerprint(jets)[jets.lengths > 0])
        good = jets.take(np.flatnonzero(found < 0))
        if path not in wide and (sentence := looks_like_events(good)):
            wide[path] = f"{path}: {sentence}"
        variables = jet_variables(good)
        ranges.add(variables, good)
        scales.add(good)
        reservoir.add(variables, _label_of_each(good), good)
    return Inspection(
        files=files.paths,
        num_jets=sum(labels.values()),
        labels={name: number for name, number in labels.items() if number},
        faults=dict(faults),
        ranges=ranges.result,
        sample=reservoir.sample(),
        fingerprints={path: np.concatenate(parts) for path, parts in fingerprints.items()},
        nonfinite=dict(+nonfinite),
        warnings=(*wide.values(), *scales.warnings()),
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
    from parttag.plotting import Sample, distribution_figure, save_figure

    paths = picture_paths(directory)
    with (
        made_directory(directory),
        new_files(list(paths.values()), overwrite=overwrite) as files,
    ):
        for variable, file in zip(paths, files, strict=True):
            samples = [
                Sample(name, *_by_label(inspection.sample, JET_VARIABLES.index(variable)))
                for name, inspection in inspections.items()
            ]
            figure = distribution_figure(samples, variable.label, variable.unit)
            save_figure(figure, file, "png")


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
    return int(np.isin(_joined(first.fingerprints), _joined(second.fingerprints)).sum())


def by_input(
    inspection: Inspection, patterns: Sequence[str | Path]
) -> dict[str, UInt64[np.ndarray, " jets"]]:
    """Return the fingerprints of what each pattern names, or of each file if there is one pattern.

    A file that several patterns name belongs to the first.
    """
    if len(patterns) == 1:
        return {str(path): jets for path, jets in inspection.fingerprints.items()}
    left = {path.resolve(): jets for path, jets in inspection.fingerprints.items()}
    found = {}
    for pattern in patterns:
        own = [left.pop(path.resolve(), None) for path in find_files([pattern])]
        parts = [jets for jets in own if jets is not None]
        if parts:
            found[str(pattern)] = np.concatenate(parts)
    return found


def _joined(
    fingerprints: Mapping[Path, UInt64[np.ndarray, " jets"]],
) -> UInt64[np.ndarray, " all_jets"]:
    return np.concatenate(list(fingerprints.values()))


def _nonfinite(jets: JetArrays) -> dict[str, int]:
    """Return how many values of each column are not finite."""
    momentum = ("px", "py", "pz", "energy")
    columns = [
        *zip(momentum, jets.p4.T, strict=True),
        *zip(jets.extra_names, jets.extra.T, strict=True),
        *zip((f"jet_{name}" for name in momentum), jets.jet_p4.T, strict=True),
        *zip(("jet_eta", "jet_phi"), jets.jet_axis.T, strict=True),
        ("jet_weight", jets.jet_weights),
    ]
    return {name: int((~np.isfinite(values)).sum()) for name, values in columns}


def _label_of_each(jets: JetArrays) -> list[str]:
    carried = jets.labels == 1
    count, first = carried.sum(axis=1), carried.argmax(axis=1) if jets.label_names else 0
    position = np.where(count == 1, first, len(jets.label_names) + (count > 1))
    names = (*jets.label_names, NO_LABEL, SEVERAL_LABELS)
    return [names[i] for i in position]


class _Ranges:
    """Least and greatest finite value of every jet variable and column so far."""

    def __init__(self) -> None:
        self.result: dict[str, tuple[float, float]] = {}

    def add(self, variables: Float64[np.ndarray, "jets variables"], jets: JetArrays) -> None:
        pt = np.hypot(jets.p4[:, 0], jets.p4[:, 1])
        columns = {v.name: variables[:, i] for i, v in enumerate(JET_VARIABLES)}
        columns |= {"particle_pt": pt, "particle_energy": jets.p4[:, 3]}
        columns |= {name: jets.extra[:, i] for i, name in enumerate(jets.extra_names)}
        columns |= {"jet_weight": jets.jet_weights}
        for name, column in columns.items():
            values = column[np.isfinite(column)]
            if len(values):
                low, high = self.result.get(name, (np.inf, -np.inf))
                self.result[name] = (
                    min(low, float(values.min())),
                    max(high, float(values.max())),
                )
