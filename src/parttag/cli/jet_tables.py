"""Contents of files of jets, as tables for the terminal. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt64
from rich.table import Table

from parttag.api.inspection import (
    JET_VARIABLES,
    Comparison,
    Description,
    Distance,
    Inspection,
    SharedJets,
    num_repeated,
    shared_jets,
)
from parttag.cli.terminal import console, empty_table
from parttag.printable import printable

# Of a tree; NanoAOD has some 1,500.
_MOST_BRANCHES = 300


def counts_table(title: str, inspection: Inspection) -> Table:
    """Return how many jets there are, of which labels, and what is wrong with the bad ones."""
    table = empty_table(title, "", "number", "share")
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
    table = empty_table(f"repeated jets{left}", "jets of", "again in", "number", "share")
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
    table = empty_table(title, "good jets", "least", "5 %", "median", "95 %", "greatest")
    columns = {variable.name: i for i, variable in enumerate(JET_VARIABLES)}
    for name, (low, high) in inspection.ranges.items():
        middle = ["", "", ""]
        if name in columns:
            values = inspection.sample.variables[:, columns[name]]
            middle = [f"{value:.4g}" for value in np.quantile(values, [0.05, 0.5, 0.95])]
        table.add_row(name, f"{low:.4g}", *middle, f"{high:.4g}")
    return table


def _by_chance(distance: Distance) -> tuple[str, str]:
    if distance.by_chance is None:
        return "–", "–"
    both = (distance.by_chance.kolmogorov_smirnov, distance.by_chance.wasserstein)
    ks, moved = (f"{one.value:.3f} ± {one.error:.3f}" for one in both)
    return ks, moved


def comparison_table(comparison: Comparison) -> Table:
    """Return the distances of one label's jets from the reference, and the classifier's AUC."""
    title = (
        f"{comparison.label}: {comparison.num_jets:,} jets against {comparison.num_reference:,}; "
        f"a classifier tells them apart with AUC {comparison.auc.value:.3f} "
        f"± {comparison.auc.error:.3f}, by chance {comparison.auc_by_chance.value:.3f} ± "
        f"{comparison.auc_by_chance.error:.3f}"
    )
    table = empty_table(title, "", "mean", "reference", "KS", "chance", "distance / σ", "chance")
    for distance in comparison.distances:
        ks_by_chance, moved_by_chance = _by_chance(distance)
        table.add_row(
            distance.name,
            f"{distance.mean:.4g}",
            f"{distance.reference_mean:.4g}",
            f"{distance.kolmogorov_smirnov:.3f}",
            ks_by_chance,
            f"{distance.wasserstein:.3f}",
            moved_by_chance,
        )
    return table


def print_description(found: Description) -> None:
    """Print what is in a file of no known layout, and YAML to begin with."""

    def line(text: str) -> None:
        console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    line(f"{found.path} is of no layout that is known without being told:")
    for table in found.tables:
        entries = "" if table.num_entries is None else f", {table.num_entries:,} entries"
        line(f"{table.name or 'arrays'}: {len(table.branches):,} branches{entries}")
        for branch in table.branches[:_MOST_BRANCHES]:
            line(f"  {branch.name}: {branch.kind}")
        if len(table.branches) > _MOST_BRANCHES:
            line(f"  … and {len(table.branches) - _MOST_BRANCHES:,} more")
    if found.layouts:
        best, *others = found.layouts
        line(
            f"It has every branch of {best}"
            + (f", which says most of it, and those of {', '.join(others)}:" if others else ":")
        )
        line(f"columns: {{layout: {best}}}")
        return
    line("YAML to begin with; correct it, and give it as --columns:")
    for row in found.columns.splitlines():
        line(row)
