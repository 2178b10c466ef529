"""Results as tables for the terminal; the command line prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from parttag.metrics import CONFIDENCE_LEVEL


def metrics_table(title: str, metrics: Mapping[str, Any]) -> Table:
    """Return the content of ``metrics.json`` as a table of numbers with their errors."""
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("error", justify="right")
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
    return f"jets: {jets}; left out: {left_out['bad']:,} bad, {left_out['no_class']:,} of no class"


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
