"""Results as tables for the terminal; the command line prints them."""

from __future__ import annotations

import math

from rich.table import Table

from parttag.api.command_line import Estimate, GenerationComparison, Report
from parttag.cli.terminal import text_table


def metrics_table(title: str, report: Report) -> Table:
    """Return what was measured as a table of numbers with their errors."""
    return text_table(title, ("", "value", "error"), report.rows())


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
            f"{variable.wasserstein_by_chance.value:.3f}",
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
