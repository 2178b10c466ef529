"""A report as it is read: rows of texts, sentences, plain text and HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from parttag.metrics.estimate import CONFIDENCE_LEVEL, Estimate
from parttag.metrics.sculpting import Sculpting

HEADERS = ("", "value", "error")

Rows = list[tuple[str, str, str]]
"""What it is, the value, the error."""

_REASONS = {"bad": "bad", "no_class": "of no class", "outside_cuts": "outside the cuts"}


def rows(
    accuracy: Estimate,
    auc: Estimate,
    rejection: Mapping[str, Mapping[float, Estimate]],
    loss: float,
    extra: Mapping[str, Estimate],
) -> Rows:
    """Return the numbers with their errors, a dash for what is not known."""
    found = [("accuracy", *_cells(accuracy, ".4f")), ("AUC", *_cells(auc, ".4f"))]
    for signal, points in rejection.items():
        for eps_s, estimate in points.items():
            style = ".0f" if estimate.value >= 100 else ".1f"
            name = f"{signal}: 1/ε_B at ε_S = {eps_s:.4g}"
            found.append((name, *_cells(estimate, style)))
    found.append(("loss", *_cells(Estimate(loss), ".4f")[:1], ""))
    return found + [(name, *_cells(estimate, ".4g")) for name, estimate in extra.items()]


def _cells(estimate: Estimate, style: str) -> tuple[str, str]:
    if math.isnan(estimate.value):
        return "–", ""
    if estimate.is_lower_limit:
        return f"> {estimate.value:{style}}", f"{CONFIDENCE_LEVEL:.0%} CL"
    error = "–" if math.isnan(estimate.error) else f"± {estimate.error:{style}}"
    return f"{estimate.value:{style}}", error


def jets_sentence(num_jets: Mapping[str, int], num_left_out: Mapping[str, int]) -> str:
    """Return how many jets the metrics are made of, and how many they leave out."""
    jets = ", ".join(f"{number:,} {name}" for name, number in num_jets.items())
    reasons = ", ".join(
        f"{number:,} {_REASONS.get(reason, reason)}" for reason, number in num_left_out.items()
    )
    return f"jets: {jets}" + (f"; left out: {reasons}" if reasons else "")


def sculpting_sentences(sculpting: Mapping[str, Sculpting]) -> list[str]:
    """Return what the cut of each signal class makes of the background's mass."""
    return [_sculpting_sentence(name, shapes) for name, shapes in sculpting.items()]


def _sculpting_sentence(name: str, shapes: Sculpting) -> str:
    before, after = shapes.before.median.value, shapes.after.median.value
    distance, chance = shapes.jensen_shannon, shapes.by_chance
    cut = f"the cut at ε_S = {shapes.eps_s:g}"
    if math.isnan(before) or math.isnan(after) or math.isnan(distance.value):
        return f"{name}: too few background jets pass {cut} to see their mass"
    return (
        f"{name}: median background mass {before:.0f} GeV, after {cut} {after:.0f} GeV; "
        f"Jensen–Shannon distance {distance.value:.2f} ± {distance.error:.2f}, by chance "
        f"{chance.value:.2f} ± {chance.error:.2f}"
    )


def as_text(title: str, lines: Rows, sentences: Sequence[str]) -> str:
    """Return the table in columns, and the sentences below it."""
    widths = [max(len(line[column]) for line in (HEADERS, *lines)) for column in range(3)]

    def row(cells: Sequence[str]) -> str:
        first, *numbers = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *numbers]).rstrip()

    rule = "─" * (sum(widths) + 4)
    return "\n".join([title, row(HEADERS), rule, *map(row, lines), rule, *sentences])


def as_html(title: str, lines: Rows, sentences: Sequence[str]) -> str:
    """Return the table as HTML, whatever characters names of classes have."""

    def row(cells: Sequence[str], kind: str) -> str:
        first, *numbers = map(escape, cells)
        right = "".join(f'<{kind} style="text-align: right">{n}</{kind}>' for n in numbers)
        return f'<tr><{kind} style="text-align: left">{first}</{kind}>{right}</tr>'

    body = "".join(row(line, "td") for line in lines)
    below = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    head = row(HEADERS, "th")
    return (
        f"<table><caption>{escape(title)}</caption><thead>{head}</thead><tbody>{body}</tbody>"
        f"</table>{below}"
    )
