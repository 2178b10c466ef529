"""What files hold, in Python and for the command line; layouts that have names. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from parttag.api.arguments import ColumnsLike, FileNames, file_list, read_columns
from parttag.data.jet_files import JetFiles
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.named_layouts import NamedLayout, named_layouts
from parttag.inspection.compare import Comparison, Distance, compare
from parttag.inspection.describe import Description, describe_unknown
from parttag.inspection.duplicates import SharedJets, num_repeated, shared_jets
from parttag.inspection.inspect import (
    Inspection,
    by_input,
    draw,
    inspect_files,
    num_common,
    picture_paths,
)
from parttag.jets.variables import JET_VARIABLES
from parttag.progress import Progress, no_progress
from parttag.system.atomic_files import refuse_existing

__all__ = [
    "JET_VARIABLES",
    "Comparison",
    "Description",
    "Distance",
    "Inspection",
    "SampleComparison",
    "SharedJets",
    "by_input",
    "compare_samples",
    "draw",
    "inspect",
    "layouts",
    "num_repeated",
    "picture_paths",
    "refuse_existing",
    "shared_jets",
    "undescribed",
]


def layouts() -> dict[str, NamedLayout]:
    """Return the layouts of public files that ``columns: {layout: NAME}`` reads, by name.

    Examples
    --------
    >>> print(pt.layouts()["jetnet"].description)
    JetNet: particles relative to their jet. https://zenodo.org/records/6975118
    """
    return dict(named_layouts())


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


def undescribed(files: FileNames) -> Description | None:
    """Return what the first of the files that is of no known layout holds; ``None`` if all are.

    Raises
    ------
    InputError
        If there is no such file.
    """
    known = {
        name: ColumnsOptions.model_validate(one.content) for name, one in named_layouts().items()
    }
    for path in JetFiles(file_list(files)).paths:
        found = describe_unknown(path, known)
        if found is not None:
            return found
    return None


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
