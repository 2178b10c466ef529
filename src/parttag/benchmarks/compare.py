"""Finished runs side by side, without a benchmark that made them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from parttag.metrics import Estimate, Report


@dataclass(frozen=True)
class Row:
    """A run, or what was measured of one."""

    name: str
    report: Report
    num_parameters: int | None = None


@dataclass(frozen=True, repr=False)
class RunComparison:
    """Rows of a table: what each run is worth."""

    rows: tuple[Row, ...]

    def points(self) -> list[tuple[str, float]]:
        """Return the signal classes and efficiencies at which some run's rejection is quoted."""
        found = {
            (signal, eps_s): None
            for row in self.rows
            for signal, points in row.report.rejection.items()
            for eps_s in points
        }
        return list(found)

    def headers(self) -> list[str]:
        """Return what the columns are."""
        points = [f"{signal}: 1/ε_B at ε_S = {eps_s:.4g}" for signal, eps_s in self.points()]
        return ["run", "parameters", "accuracy", "AUC", *points]

    def lines(self) -> list[list[str]]:
        """Return the cells of each row; a dash is not known."""
        return [self._line(row) for row in self.rows]

    def _line(self, row: Row) -> list[str]:
        report = row.report
        parameters = "–" if row.num_parameters is None else f"{row.num_parameters:,}"
        rejections = [
            _cell(report.rejection.get(signal, {}).get(eps_s)) for signal, eps_s in self.points()
        ]
        return [row.name, parameters, _cell(report.accuracy), _cell(report.auc), *rejections]

    def table(self) -> str:
        """Return the table as text."""
        lines = [self.headers(), *self.lines()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(_aligned(line, widths) for line in lines)

    def __repr__(self) -> str:
        """Return the table as text."""
        return self.table()

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.headers())
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
            for line in self.lines()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(estimate: Estimate | None) -> str:
    return "–" if estimate is None or math.isnan(estimate.value) else str(estimate)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = line
    cells = [first.ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return "  ".join(cells).rstrip()
