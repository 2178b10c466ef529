"""The forms of a table: Markdown, LaTeX, CSV and JSON, all made from the same rows."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parttag.benchmarks.footnotes import changes
from parttag.benchmarks.results import Point, RowResult
from parttag.benchmarks.table import Table
from parttag.metrics import point_key
from parttag.metrics.published import Published
from parttag.printable import printable
from parttag.system.atomic_files import new_files

_FORMS = ("md", "tex", "csv", "json")


def write_tables(directory: Path, table: Table, results: Sequence[RowResult]) -> list[Path]:
    """Write all forms of the table, in place of those that are there.

    Raises
    ------
    InputError
        If a file cannot be written; then the old ones stay.
    """
    paths = [directory / f"table.{form}" for form in _FORMS]
    texts = (
        to_markdown(table),
        to_latex(table),
        to_csv(results),
        json.dumps([to_json(result) for result in results], indent=2, allow_nan=False) + "\n",
    )
    with new_files(paths, overwrite=True) as files:
        for file, text in zip(files, texts, strict=True):
            file.write(text.encode())
    return paths


def to_markdown(table: Table) -> str:
    """Return the table and its notes as Markdown."""

    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_markdown(cell).replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "---|" + "---:|" * (len(table.headers) - 1)
    lines = [row(table.headers), rule, *map(row, table.lines)]
    notes = [f"{_markdown(note)}\n" for note in table.notes]
    return "\n".join([*lines, "", *notes])


def _markdown(text: str) -> str:
    """Return a text that is no HTML, link or picture where the table is shown."""
    line = " ".join(printable(text).split("\n"))
    return line.replace("<", "\\<").replace("`", "\\`").replace("](", "]\\(")


def to_latex(table: Table) -> str:
    """Return a LaTeX ``tabular`` with the rules of booktabs, and its notes below."""
    lines = [" & ".join(map(_latex, cells)) + r" \\" for cells in (table.headers, *table.lines)]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(table.headers) - 1)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par {_latex(note)}" for note in table.notes),
            "",
        ]
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    ">": "$>$",
    "<": "$<$",
    "Σ": r"$\Sigma$",
    "×": r"$\times$",
    "–": "--",
    "−": "$-$",
    "√": r"$\surd$",
    "²": "$^2$",
    "é": r"\'e",
}


def _latex(text: str) -> str:
    text = " ".join(printable(text).split("\n"))
    escaped = "".join(_LATEX.get(character, character) for character in text)
    # A number with an error above and below stands as its exponents do.
    escaped = re.sub(r"(\d) \+([\d.]+) \$-\$([\d.]+)", r"\1$^{+\2}_{-\3}$", escaped)
    return re.sub(r"(1/)?ε\\_(B|S)", r"$\1\\varepsilon_\\mathrm{\2}$", escaped)


def to_csv(results: Sequence[RowResult]) -> str:
    """Return one line a row with plain numbers; empty where there is none."""
    flat = [dict(_flat(to_json(result))) for result in results]
    names = list(dict.fromkeys(name for line in flat for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _no_formula(value) for name, value in line.items()} for line in flat)
    return text.getvalue()


def _no_formula(value: Any) -> Any:
    """Return a cell that no spreadsheet computes: texts that would be formulas begin with ``'``."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [
            pair
            for key, inside in value.items()
            for pair in _flat(inside, f"{path}.{key}" if path else str(key))
        ]
    if isinstance(value, list):
        return [(path, ("; " if path == "notes" else " ").join(map(str, value)))]
    return [(path, value)]


def to_json(result: RowResult) -> dict[str, Any]:
    """Return a row as ``table.json`` holds it; null where there is no number."""
    published = result.published
    return {
        "row": result.name,
        **({} if result.labels is None else {"labels": result.labels}),
        "seeds": list(result.seeds),
        "accuracy": result.accuracy.to_json(),
        "auc": result.auc.to_json(),
        "rejection": _by_signal({p: q.to_json() for p, q in result.rejection.items()}),
        "parameters": result.parameters,
        "multiply_adds": result.multiply_adds,
        "training_time": result.training_time,
        "cpu_time": result.cpu_time,
        "jets_per_second": result.jets_per_second,
        "jets_seen": result.jets_seen,
        "cut": result.is_cut,
        "hardware": result.hardware or None,
        "published": None if published is None else _published_json(published),
        "footnote": result.row.options.footnote,
        "notes": list(result.notes),
        "unlike_recipe": {key: change.value for key, change in changes(result.row).items()},
        "missing": {str(seed): why for seed, why in result.missing.items()},
    }


def _published_json(published: Published) -> dict[str, Any]:
    points = {
        (signal, eps_s): {"value": quoted.value, "spread": quoted.spread}
        for signal, by_eps_s in published.rejection.items()
        for eps_s, quoted in by_eps_s.items()
    }
    return {
        "name": published.name,
        "mark": published.mark,
        "accuracy": published.accuracy,
        "auc": published.auc,
        "rejection": _by_signal(points),
        "parameters": published.num_parameters,
    }


def _by_signal(values: Mapping[Point, Any]) -> dict[str, dict[str, Any]]:
    """Return {class: {ε_S: …}}."""
    nested: dict[str, dict[str, Any]] = {}
    for (signal, eps_s), value in values.items():
        nested.setdefault(signal, {})[point_key(eps_s)] = value
    return nested
