"""Results as tables for the terminal; the command line prints them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from parttag.cli.terminal import empty_table, text_table
from parttag.evaluation.generation.comparison import Comparison as GenerationComparison
from parttag.metrics import CONFIDENCE_LEVEL, Estimate

_REASONS = {"bad": "bad", "no_class": "of no class", "outside_cuts": "outside the cuts"}


def metrics_table(title: str, metrics: Mapping[str, Any]) -> Table:
    """Return the content of ``metrics.json`` as a table of numbers with their errors."""
    table = empty_table(title, "", "value", "error")
    for name in ("accuracy", "auc"):
        table.add_row(name.upper() if name == "auc" else name, *_cells(metrics[name], ".4f"))
    for name, estimate in _rejections(metrics["rejection"]):
        table.add_row(name, *_cells(estimate, ".1f" if (estimate["value"] or 0) < 100 else ".0f"))
    loss = metrics["loss"]
    table.add_row("loss", "–" if loss is None else f"{loss:.4f}", "")
    return table


def jets_sentence(metrics: Mapping[str, Any]) -> str:
    """Return how many jets the metrics are made of, and how many they leave out."""
    jets = ", ".join(f"{number:,} {name}" for name, number in metrics["num_jets"].items())
    left_out = metrics["num_left_out"]
    reasons = ", ".join(f"{number:,} {_REASONS[reason]}" for reason, number in left_out.items())
    return f"jets: {jets}; left out: {reasons}"


def sculpting_sentences(metrics: Mapping[str, Any]) -> list[str]:
    """Return what the cut of each signal class makes of the background's mass; none without one."""
    sculpting = dict(metrics["mass_sculpting"])
    if not sculpting:
        return []
    eps_s = sculpting.pop("eps_s")
    found = {"": sculpting} if "before" in sculpting else sculpting
    return [_sculpting_sentence(name, shapes, eps_s) for name, shapes in found.items()]


def _sculpting_sentence(name: str, shapes: Mapping[str, Any], eps_s: float) -> str:
    start = f"{name}: " if name else ""
    before, after = (shapes[when]["median"]["value"] for when in ("before", "after"))
    distance, chance = shapes["jensen_shannon"], shapes["by_chance"]
    if before is None or after is None or distance["value"] is None:
        return f"{start}too few background jets pass the cut at ε_S = {eps_s:g} to see their mass"
    return (
        f"{start}median background mass {before:.0f} GeV, after the cut at ε_S = {eps_s:g} "
        f"{after:.0f} GeV; Jensen–Shannon distance {distance['value']:.2f} ± "
        f"{distance['error']:.2f}, by chance {chance['value']:.2f} ± {chance['error']:.2f}"
    )


def _rejections(
    rejection: Mapping[str, Mapping[str, Any]], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and estimate of each rejection, whether by class or not."""
    for key, inside in rejection.items():
        if "value" in inside:
            yield f"{prefix}1/ε_B at ε_S = {float(key):.4g}", inside
        else:
            yield from _rejections(inside, f"{key}: ")


def _cells(estimate: Mapping[str, Any], style: str) -> tuple[str, str]:
    value, error = estimate["value"], estimate["error"]
    if value is None:
        return "–", ""
    if estimate.get("lower_limit"):
        return f"> {value:{style}}", f"{CONFIDENCE_LEVEL:.0%} CL"
    return f"{value:{style}}", "–" if error is None else f"± {error:{style}}"


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
