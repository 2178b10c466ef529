"""Results as tables for the terminal; the command line prints them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt64
from rich import box
from rich.table import Table
from rich.text import Text

from parttag.evaluation.generation.comparison import Comparison as GenerationComparison
from parttag.inspection.compare import Comparison
from parttag.inspection.duplicates import SharedJets, num_repeated, shared_jets
from parttag.inspection.inspect import Inspection
from parttag.jets.variables import JET_VARIABLES
from parttag.metrics import Estimate, Report


def metrics_table(title: str, report: Report) -> Table:
    """Return what was measured as a table of numbers with their errors."""
    return text_table(title, ("", "value", "error"), report.rows())


def counts_table(title: str, inspection: Inspection) -> Table:
    """Return how many jets there are, of which labels, and what is wrong with the bad ones."""
    table = _table(title, "", "number", "share")
    # Of values of particles there are more than jets.
    no_share = {"files", "jets", *(f"{name}: not finite" for name in inspection.nonfinite)}
    rows = {
        "files": len(inspection.files),
        "jets": inspection.num_jets,
        **inspection.labels,
        "bad jets": inspection.num_bad,
        **{f"  {fault}": number for fault, number in inspection.faults.items()},
        **{f"{name}: not finite": number for name, number in inspection.nonfinite.items()},
        "repeated jets": inspection.num_repeated,
    }
    for name, number in rows.items():
        share = "" if name in no_share else f"{number / inspection.num_jets:.2%}"
        table.add_row(name, f"{number:,}", share)
    return table


_ITSELF = "itself"


def repeats_table(
    inputs: Mapping[str, UInt64[np.ndarray, " jets"]], most: int = 20
) -> Table | None:
    """Return which inputs hold jets twice, and which share jets with others; ``None`` if none does.

    Parameters
    ----------
    inputs
        The fingerprints of the jets of each.
    most
        Rows to show; the ones with the most jets.
    """
    within = [
        SharedJets(name, _ITSELF, number, len(jets))
        for name, jets in inputs.items()
        if (number := num_repeated(jets))
    ]
    rows = sorted([*within, *shared_jets(inputs)], key=lambda row: -row.num_shared)
    if not rows:
        return None
    left = f", {most} of {len(rows)} rows" if len(rows) > most else ""
    table = _table(f"repeated jets{left}", "jets of", "again in", "number", "share")
    short = _short_names(list(inputs)) | {_ITSELF: _ITSELF}
    for row in rows[:most]:
        share = f"{row.num_shared / row.num_jets:.2%}"
        table.add_row(short[row.name], short[row.other], f"{row.num_shared:,}", share)
    return table


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """Return paths without the directory that all of them are in, so that tables show the rest."""
    folders = {str(folder) for folder in Path(names[0]).parents}
    for name in names[1:]:
        folders &= {str(folder) for folder in Path(name).parents}
    common = max(folders - {"."}, key=len, default="")
    return {name: name.removeprefix(common).lstrip("/") or name for name in names}


def ranges_table(title: str, inspection: Inspection) -> Table:
    """Return ranges of the good jets, and for jet variables also quantiles."""
    table = _table(title, "good jets", "least", "5 %", "median", "95 %", "greatest")
    columns = {variable.name: i for i, variable in enumerate(JET_VARIABLES)}
    for name, (low, high) in inspection.ranges.items():
        middle = ["", "", ""]
        if name in columns:
            values = inspection.sample.variables[:, columns[name]]
            middle = [f"{value:.4g}" for value in np.quantile(values, [0.05, 0.5, 0.95])]
        table.add_row(name, f"{low:.4g}", *middle, f"{high:.4g}")
    return table


def comparison_table(comparison: Comparison) -> Table:
    """Return the distances of one label's jets from the reference, and the classifier's AUC."""
    title = (
        f"{comparison.label}: {comparison.num_jets:,} jets against {comparison.num_reference:,}; "
        f"a classifier tells them apart with AUC {comparison.auc.value:.3f} "
        f"± {comparison.auc.error:.3f}"
    )
    table = _table(title, "", "mean", "reference", "KS", "distance / σ")
    for distance in comparison.distances:
        table.add_row(
            distance.name,
            f"{distance.mean:.4g}",
            f"{distance.reference_mean:.4g}",
            f"{distance.kolmogorov_smirnov:.3f}",
            f"{distance.wasserstein:.3f}",
        )
    return table


def text_table(title: str, headers: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    """Return a table of texts, as they are."""
    table = _table(title, headers[0], *headers[1:])
    table.columns[0].overflow = "fold"
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def generation_table(comparison: GenerationComparison) -> Table:
    """Return means, with errors in brackets, and Wasserstein distances of every variable."""
    title = (
        f"{comparison.num_generated:,} generated jets, {comparison.num_reference:,} of the "
        "reference. W: Wasserstein distance in standard deviations of the reference; codes: that "
        "of its jets turned into codes and back; equal: of equal samples by chance"
    )
    # Short, so that all of it fits into a terminal of 80 columns.
    headers = ("", "generated", "reference", "ratio", "W", "codes", "equal")
    lines = [
        (
            variable.name,
            rounded(variable.generated),
            rounded(variable.reference),
            rounded(variable.ratio),
            f"{variable.wasserstein:.3f}",
            f"{variable.wasserstein_tokenized:.3f}",
            f"{variable.wasserstein_by_chance:.3f}",
        )
        for variable in comparison.variables
    ]
    table = text_table(title, headers, lines)
    table.show_edge = False
    return table


def tokens_sentence(comparison: GenerationComparison) -> str:
    """Return how well the network guesses the tokens of the reference."""
    return (
        f"the reference's tokens: perplexity {comparison.perplexity:.2f}; the likeliest token is "
        f"right for {comparison.token_accuracy:.2%}, always the most frequent one for "
        f"{comparison.unigram_accuracy:.2%}"
    )


def rounded(estimate: Estimate) -> str:
    """Return a number with the error of its last digits in brackets: 1.234(18) is 1.234 ± 0.018.

    The error has two digits if the first is 1 or 2, else one.
    """
    if not math.isfinite(estimate.error) or estimate.error <= 0:
        return f"{estimate.value:.4g}"
    power = math.floor(math.log10(estimate.error))
    digits = max((1 if estimate.error < 3 * 10**power else 0) - power, 0)
    return f"{estimate.value:.{digits}f}({estimate.error * 10**digits:.0f})"
