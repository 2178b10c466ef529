"""YAML to begin with, guessed from the names of a file's branches, and layouts that would fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import yaml

from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.inspection.contents import Branch, Table

_FORMS = {
    "px": ("px",),
    "py": ("py",),
    "pz": ("pz",),
    "pt": ("pt", "pt_?rel"),
    "eta": ("eta", "eta_?rel", "d_?eta"),
    "phi": ("phi", "phi_?rel", "d_?phi"),
    "energy": ("energy", "e", "en", "e_?rel"),
    "mass": ("mass", "m"),
}
_RELATIVE = re.compile("(rel|(?<![a-z])d_?(eta|phi))$", re.IGNORECASE)
# What jets' constituents are called, the likelier the later; then what is no reconstructed one.
_CONSTITUENTS = ("", "part|track|tower", "eflow|flow|pfc|cand|const|clus")
_OTHERS = re.compile("gen|truth|^particle|sv|vertex", re.IGNORECASE)
_MOMENTA = (("px", "py", "pz"), ("pt", "eta", "phi"))
_JET = re.compile("jet|fj", re.IGNORECASE)
_LABEL = re.compile(
    r"(^|[/_.])(label|truth|is_?[A-Z]|is_|target|y$)|flavou?r|signal", re.IGNORECASE
)


def fitting_layouts(
    table: Table, layouts: Mapping[str, ColumnsOptions], path: Path
) -> dict[str, int]:
    """Return the layouts of which a table has every branch, and how many branches that are."""
    there = [branch.name for branch in table.branches]
    found = {}
    for name, columns in layouts.items():
        with suppress(InputError):
            found[name] = len(ColumnLayout(columns).branches_to_read(there, path))
    return {name: number for name, number in found.items() if number}


def suggested_columns(tables: Iterable[Table]) -> str:
    """Return YAML of ``columns`` to begin with, for the table that looks most like particles.

    What is only guessed, and what is missing, is said in comments.
    """
    tables = [table for table in tables if table.branches]
    best = max(tables, key=_score, default=None)
    if best is None:
        return "columns:\n  particles: {}  # the file has no branches"
    lists = [branch for branch in best.branches if branch.axes == 2]
    single = [branch for branch in best.branches if branch.axes == 1]
    momenta = _momenta(lists)
    lines = ["columns:"]
    if best.name:
        lines.append(f"  tree: {_quoted(best.name)}")
    if momenta:
        if len(momenta) > 1:
            lines.append(
                "  # There are several kinds of lists: an entry may be an event of several"
            )
            lines.append("  # jets (jets and of_jet in docs/how_to/events.md)")
            lines.append("  # others: " + _others(momenta))
        chosen = momenta[_by_likelihood(momenta)[0]]
        lines += ["  particles:", *_section(chosen)]
        if any(_RELATIVE.search(name) for name in chosen.values()):
            lines.append(
                "    relative_to_jet: true  # it needs jet; docs/how_to/columns.md has more"
            )
    else:
        lines += _by_slices(best)
    jets = [group for common, group in _momenta(single).items() if _JET.search(common)]
    jet = jets[0] if jets else {}
    if {"pt", "eta", "phi"} <= set(jet) and len(jet) > 3:
        lines += ["  jet:", *_section(jet)]
    labels = [branch.name for branch in single if _LABEL.search(branch.name)]
    if labels:
        lines.append("  # Labels: one branch of several values, or one branch of 0 and 1 for each.")
        lines.append(f"  # labels: {{branch: {_quoted(labels[0])}, values: {{label_a: 1, ...}}}}")
    return "\n".join(lines)


def _score(table: Table) -> tuple[int, int]:
    lists = [branch for branch in table.branches if branch.axes == 2]
    return len(_momenta(lists)), sum(branch.axes > 1 for branch in table.branches)


def _momenta(branches: Iterable[Branch]) -> dict[str, dict[str, str]]:
    """Return, by what their names have in common, the branches that make a momentum."""
    groups: dict[str, dict[str, str]] = {}
    for branch in branches:
        for quantity, forms in _FORMS.items():
            for form in forms:
                match = re.fullmatch(rf"(.*?)(?:[_./]|^){form}", branch.name, re.IGNORECASE)
                if match:
                    groups.setdefault(match[1], {}).setdefault(quantity, branch.name)
    found = {}
    for common, group in groups.items():
        chosen = next((m for m in _MOMENTA if set(m) <= set(group)), None)
        if chosen is None:
            continue
        last = next((q for q in ("energy", "mass") if q in group), None)
        found[common] = {q: group[q] for q in (*chosen, *([last] if last else []))}
    return found


def _section(group: Mapping[str, str]) -> list[str]:
    lines = [f"    {quantity}: {_quoted(name)}" for quantity, name in group.items()]
    if not {"energy", "mass"} & set(group):
        lines.append("    mass: 0  # no energy and no mass were found")
    return [*lines, "    # unit: MeV  # if it is not GeV"]


def _by_slices(table: Table) -> list[str]:
    widest = max(table.branches, key=lambda branch: branch.axes, default=None)
    if widest is None or widest.axes < 3:
        return [
            "  # No names were recognized: put those of the branches in place of the dots.",
            "  particles: {pt: ..., eta: ..., phi: ..., mass: 0}",
        ]
    name = widest.name
    return [
        f"  # Which number is which of the last axis of {name} is not in the file.",
        "  particles:",
        *(f"    {q}: {_quoted(f'{name}[:, :, {i}]')}" for i, q in enumerate(("pt", "eta", "phi"))),
        "    mass: 0",
        "    # relative_to_jet: true  # if pT is a share of the jet's and angles are differences",
    ]


def _others(momenta: Mapping[str, Mapping[str, str]]) -> str:
    names = _by_likelihood(momenta)
    return ", ".join(names[1:6]) + (", …" if len(names) > 6 else "")


def _by_likelihood(momenta: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what names have in common, that of the jets' constituents first as far as is seen."""

    def likelihood(common: str) -> tuple[int, int]:
        if _OTHERS.search(common):
            return 0, len(momenta[common])
        found = [i for i, w in enumerate(_CONSTITUENTS) if re.search(w, common, re.IGNORECASE)]
        return max(found), len(momenta[common])

    return sorted(momenta, key=likelihood, reverse=True)


def _quoted(name: str) -> str:
    """Return a name as YAML writes it, in quotes where it needs them."""
    return yaml.safe_dump(name, width=10_000).splitlines()[0]
