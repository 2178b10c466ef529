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

# Effective jets of a class below which an error of the AUC is rough.
_FEW = 100.0
# By how much of the jets on the smaller side a threshold may miss its ε_S.
_TIED = 0.02
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


def task_rows(numbers: Sequence[tuple[str, Estimate]]) -> Rows:
    """Return the numbers of tasks with their errors, a dash for what is not known."""
    return [(name, *_cells(estimate, ".4f")) for name, estimate in numbers]


def _cells(estimate: Estimate, style: str) -> tuple[str, str]:
    if math.isnan(estimate.value):
        return "–", ""
    if estimate.is_limit:
        return f"> {estimate.value:{style}}", f"{CONFIDENCE_LEVEL:.0%} CL"
    error = "–" if math.isnan(estimate.error) else estimate.errors_text(style)
    return f"{estimate.value:{style}}", error


def jets_sentence(num_jets: Mapping[str, int], num_left_out: Mapping[str, int]) -> str:
    """Return how many jets the metrics are made of, and how many they leave out."""
    jets = ", ".join(f"{number:,} {name}" for name, number in num_jets.items())
    reasons = ", ".join(
        f"{number:,} {_REASONS.get(reason, reason)}" for reason, number in num_left_out.items()
    )
    return f"jets: {jets}" + (f"; left out: {reasons}" if reasons else "")


def warnings(
    rejection: Mapping[str, Mapping[float, Estimate]],
    kept: Mapping[str, Mapping[float, float]],
    num_effective: Mapping[str, float],
    *,
    counts: bool,
) -> list[str]:
    """Return what a reader of the numbers has to know: what is missing or rough, and why."""
    found = []
    for signal, points in rejection.items():
        for eps_s, estimate in points.items():
            what = f"{signal}: 1/ε_B at ε_S = {eps_s:.4g}"
            if estimate.reason:
                found.append(f"{what} is not known: {estimate.reason}")
            elif estimate.is_rough:
                found.append(
                    f"{what}: {estimate.num_passing:.2g} effective background jets pass, its "
                    "interval is rough"
                )
            share = kept.get(signal, {}).get(eps_s, eps_s)
            if abs(share - eps_s) > _TIED * min(eps_s, 1 - eps_s):
                found.append(
                    f"{signal}: scores are tied, the threshold of ε_S = {eps_s:.4g} keeps "
                    f"{100 * share:.3g} %"
                )
    few = [f"{name} {number:.2g}" for name, number in num_effective.items() if number < _FEW]
    if few:
        found.append(f"few effective jets ({', '.join(few)}): the error of the AUC is rough")
    if counts and rejection:
        found.append(
            "errors of the rejections leave out how well the signal jets fix the cut, as an older "
            "parttag wrote them; evaluate the run again"
        )
    return found


def plan(
    rejection: Mapping[str, Mapping[float, Estimate]],
    num_jets: Mapping[str, int],
    relative_error: float,
) -> str:
    """Return how many jets, of classes as these, give the rejections a relative error."""
    total = sum(num_jets.values())
    parts = []
    for signal, points in rejection.items():
        for eps_s, estimate in points.items():
            number = f"{signal} at ε_S = {eps_s:.4g}: "
            if estimate.is_limit:
                # At least so many background jets would have to pass.
                least = estimate.value / relative_error**2
                number += f"more than {_round_up(least):,} of the background"
            elif math.isnan(estimate.error):
                number += "not known from these jets"
            else:
                ratio = estimate.error / estimate.value / relative_error
                number += f"{_round_up(total * ratio**2):,} jets"
            parts.append(number)
    mixed = " + ".join(f"{jets:,} {name}" for name, jets in num_jets.items())
    return (
        f"for an error of {100 * relative_error:.3g} % of 1/ε_B, mixed as these {mixed}: "
        f"{'; '.join(parts) or 'there is no rejection'}"
    )


def _round_up(number: float) -> int:
    """Return a number of jets to two digits, not below."""
    step = int(10 ** max(0, math.floor(math.log10(max(number, 1.0))) - 1))
    return math.ceil(number / step) * step


def sculpting_sentences(sculpting: Mapping[str, Sculpting]) -> list[str]:
    """Return what the cut of each signal class makes of the background's mass."""
    return [_sculpting_sentence(name, shapes) for name, shapes in sculpting.items()]


def _sculpting_sentence(name: str, shapes: Sculpting) -> str:
    before, after = shapes.before.median.value, shapes.after.median.value
    chance = shapes.by_chance
    cut = f"the cut at ε_S = {shapes.eps_s:g}"
    if math.isnan(before) or math.isnan(after) or math.isnan(shapes.jensen_shannon):
        return f"{name}: too few background jets pass {cut} to see their mass"
    return (
        f"{name}: median background mass {before:.0f} GeV, after {cut} {after:.0f} GeV; "
        f"Jensen–Shannon distance {shapes.jensen_shannon:.2f}, by chance {chance.value:.2f} ± "
        f"{chance.error:.2f}, beyond it {shapes.excess:.2f} (in {shapes.num_bins} bins)"
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
