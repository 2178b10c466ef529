"""Finished runs side by side, without a benchmark that made them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from parttag.errors import InputError
from parttag.evaluation.pairs import Pair, pair
from parttag.evaluation.scored_jets import ScoredJets
from parttag.metrics import DEFAULTS, Estimate, EvaluationOptions, Report
from parttag.metrics.estimate import json_number
from parttag.metrics.paired import log_rejection_ratios
from parttag.plotting import save_figure
from parttag.plotting.ratios import RatioCurve, rejection_ratios_figure
from parttag.system.atomic_files import made_directory, new_files

PICTURE, NUMBERS = "compare.png", "compare.json"
# Signal efficiencies at which the ratio of rejections is drawn.
_POINTS = tuple(np.linspace(0.02, 0.98, 49).tolist())


@dataclass(frozen=True)
class Row:
    """A run, or what was measured of one."""

    name: str
    report: Report
    num_parameters: int | None = None
    jets: ScoredJets | None = None
    """What the run makes of each jet, if that is known."""
    options: EvaluationOptions = DEFAULTS


@dataclass(frozen=True, repr=False)
class RunComparison:
    """Rows of a table: what each run is worth, and how it differs from the first."""

    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...] = field(default=())
    """Every other run beside the first, if all were measured on the same jets."""
    why_unpaired: str = ""
    """Why there are no pairs."""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> RunComparison:
        """Return rows with their differences from the first, if they can be taken."""
        reference, *others = rows
        try:
            pairs = tuple(_pair(row, reference) for row in others)
        except InputError as error:
            return cls(tuple(rows), (), str(error))
        return cls(tuple(rows), pairs)

    def differences(self) -> tuple[list[str], list[list[str]]]:
        """Return headers and lines of the table of differences from the first run."""
        names = [found.name for found in self.pairs[0].differences] if self.pairs else []
        lines = [[one.name, *(d.text() for d in one.differences)] for one in self.pairs]
        return [f"less {self.rows[0].name}", *names], lines

    def sentences(self) -> list[str]:
        """Return what is to be said of each pair below the tables."""
        said = [sentence for one in self.pairs for sentence in one.sentences()]
        return said or (
            [f"not compared jet by jet: {self.why_unpaired}"] if self.why_unpaired else []
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Return the differences as plain numbers, one entry a pair; null for what is not known."""
        return [_to_json(one) for one in self.pairs]

    def save(self, directory: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write ``compare.json`` and ``compare.png``, the ratios of the rejections.

        Raises
        ------
        InputError
            If the runs were not compared jet by jet, a file exists and is not to be replaced, or
            it cannot be written; nothing is left then.
        """
        if not self.pairs:
            raise InputError(f"there is nothing to write: {self.why_unpaired or 'one run alone'}")
        panels = self._ratios()
        paths = [Path(directory) / name for name in (NUMBERS, PICTURE) if name == NUMBERS or panels]
        with made_directory(Path(directory)), new_files(paths, overwrite=overwrite) as files:
            text = json.dumps(self.to_json(), indent=2, allow_nan=False, ensure_ascii=False)
            files[0].write(text.encode() + b"\n")
            if panels:
                figure = rejection_ratios_figure(panels, self.rows[0].name)
                save_figure(figure, files[1], "png")
        return paths

    def _ratios(self) -> dict[str, dict[str, RatioCurve]]:
        panels: dict[str, dict[str, RatioCurve]] = {}
        reference = self.rows[0]
        for row in self.rows[1:]:
            assert row.jets is not None
            assert reference.jets is not None
            found = log_rejection_ratios(
                row.jets.logits,
                reference.jets.logits,
                row.jets.labels,
                row.jets.classes,
                row.jets.jet_weights,
                reference.options,
                _POINTS,
            )
            for signal, ratios in found.items():
                curve = RatioCurve(
                    np.array(_POINTS),
                    np.array([ratio.value for ratio in ratios]),
                    np.array([ratio.error for ratio in ratios]),
                )
                panels.setdefault(signal, {})[row.name] = curve
        return panels

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
        return _text([self.headers(), *self.lines()])

    def __repr__(self) -> str:
        """Return the table as text, and the differences from the first run below it."""
        headers, lines = self.differences()
        below = [_text([headers, *lines])] if lines else []
        return "\n".join([self.table(), *below, *self.sentences()])

    def _repr_html_(self) -> str:
        headers, lines = self.differences()
        tables = [(self.headers(), self.lines()), *([(headers, lines)] if lines else [])]
        said = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.sentences())
        return "".join(_html(*table) for table in tables) + said


def _pair(row: Row, reference: Row) -> Pair:
    for one in (row, reference):
        if one.jets is None:
            raise InputError(f"the scores of {one.name} are not there")
    assert row.jets is not None
    assert reference.jets is not None
    return pair(row.name, row.jets, reference.name, reference.jets, reference.options)


def _to_json(one: Pair) -> dict[str, Any]:
    return {
        "name": one.name,
        "reference": one.reference,
        "num_jets": one.num_jets,
        "differences": {
            found.name: {
                **found.difference.to_json(),
                "in_quadrature": json_number(found.in_quadrature),
                "sigmas": json_number(found.sigmas),
            }
            for found in one.differences
        },
        "correlation": {name: json_number(value) for name, value in one.correlation.items()},
        "disagreements": [
            {key: json_number(v) if isinstance(v, float) else v for key, v in asdict(part).items()}
            for part in one.disagreements
        ],
    }


def _html(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in headers)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(line, widths) for line in lines)


def _cell(estimate: Estimate | None) -> str:
    return "–" if estimate is None or math.isnan(estimate.value) else str(estimate)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = line
    cells = [first.ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return "  ".join(cells).rstrip()
