"""The report of an evaluation: typed, as ``metrics.json`` and as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parttag.errors import InputError, option
from parttag.metrics import report_text
from parttag.metrics.calibration import Reliability
from parttag.metrics.estimate import UNKNOWN, Estimate, from_json_number, json_number
from parttag.metrics.options import point_key
from parttag.metrics.pt_bins import RejectionByPt
from parttag.metrics.sculpting import Sculpting
from parttag.metrics.tasks import TaskReport, read_task
from parttag.migrations.evaluations import REPORT
from parttag.migrations.formats import VERSION_KEY
from parttag.system.files import refuse_damaged


@dataclass(frozen=True)
class ProbeFit:
    """What a linear probe was fitted to."""

    of: str
    """``linear``: the trained network; ``untrained``: one of its kind; ``raw``: its inputs."""
    num_jets: int
    data: tuple[str, ...]
    width: int
    """Of the representation."""
    strength: float
    """Of the fit, against its penalty: scikit-learn's C."""

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "of": self.of,
            "num_jets": self.num_jets,
            "data": list(self.data),
            "width": self.width,
            "C": self.strength,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ProbeFit:
        """Return what ``to_json`` has written."""
        return cls(
            of=str(content["of"]),
            num_jets=int(content["num_jets"]),
            data=tuple(map(str, content["data"])),
            width=int(content["width"]),
            strength=float(content["C"]),
        )


@dataclass(frozen=True)
class Reweighted:
    """What ``data.reweight`` did to the training jets of a class."""

    num_jets: int
    num_zero: int
    """Jets in bins without every class, or beyond the edges, which have weight 0."""
    num_effective_before: float
    """How many jets of equal weight the class was worth, (Σ w)² / Σ w²."""
    num_effective_after: float

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "num_jets": self.num_jets,
            "num_zero": self.num_zero,
            "num_effective": {
                "before": self.num_effective_before,
                "after": self.num_effective_after,
            },
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Reweighted:
        """Return what ``to_json`` has written, or a class of ``reweighting.json``."""
        effective = content["num_effective"]
        return cls(
            num_jets=int(content["num_jets"]),
            num_zero=int(content["num_zero"]),
            num_effective_before=float(effective["before"]),
            num_effective_after=float(effective["after"]),
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Report:
    """What a tagger is worth on some jets.

    What was not asked for, or is not determined by the jets, is NaN or empty.

    Examples
    --------
    >>> from parttag.metrics import Report
    >>> report = Report.from_json("runs/first/evaluation/metrics.json")  # doctest: +SKIP
    >>> report.rejection["top"][0.5]  # doctest: +SKIP
    Estimate(241.0 ± 52.0)
    """

    accuracy: Estimate = UNKNOWN
    """Share of jets whose highest logit is that of their class."""
    auc: Estimate = UNKNOWN
    """Area under the ROC; with several classes the mean over ordered pairs."""
    rejection: Mapping[str, Mapping[float, Estimate]] = field(default_factory=dict)
    """1/ε_B by signal class, then by ε_S."""
    threshold: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    """The cut that keeps ε_S, on p_S/(p_S + Σ f_b p_b): by signal class, then by ε_S."""
    kept: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    """The signal efficiency of that cut: more than ε_S where scores are tied."""
    num_jets: Mapping[str, int] = field(default_factory=dict)
    """Jets that are measured, of each class, in the order of the logits."""
    num_effective: Mapping[str, float] = field(default_factory=dict)
    """How many jets of equal weight each class is worth, (Σ w)² / Σ w²."""
    loss: float = math.nan
    """Mean cross-entropy."""
    extra: Mapping[str, Estimate] = field(default_factory=dict)
    """Metrics of plug-ins."""
    background: tuple[str, ...] = ()
    """The classes whose jets are rejected; empty if there are none such."""
    rejection_by_pt: RejectionByPt | None = None
    """Rejection in bins of jet pT."""
    mass_sculpting: Mapping[str, Sculpting] = field(default_factory=dict)
    """What the cut of each signal class makes of the background's mass."""
    reliability: Reliability | None = None
    """Whether the scores mean what they say."""
    num_left_out: Mapping[str, int] = field(default_factory=dict)
    """Jets that are not measured, by reason."""
    data: tuple[str, ...] = ()
    """Files of the jets; empty for jets in memory."""
    probe: ProbeFit | None = None
    """What was fitted, if it is a linear probe that was measured."""
    reweighting: Mapping[str, Reweighted] = field(default_factory=dict)
    """What ``data.reweight`` did to the training jets of each class."""
    tasks: Mapping[str, TaskReport] = field(default_factory=dict)
    """What the other tasks of the network are worth: targets by their names, origin and vertex."""
    errors_of_counts: bool = False
    """Whether the errors of the rejections leave out how well the signal jets fix the cut, as those
    of reports before version 3 do."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``."""
        return {
            VERSION_KEY: REPORT.version,
            "accuracy": self.accuracy.to_json(),
            "auc": self.auc.to_json(),
            "rejection": {
                name: {point_key(eps_s): estimate.to_json() for eps_s, estimate in points.items()}
                for name, points in self.rejection.items()
            },
            "threshold": _numbers_to_json(self.threshold),
            "kept": _numbers_to_json(self.kept),
            "num_jets": dict(self.num_jets),
            "num_effective": dict(self.num_effective),
            "loss": json_number(self.loss),
            "extra": {name: estimate.to_json() for name, estimate in self.extra.items()},
            "background": list(self.background),
            "rejection_by_pt": self.rejection_by_pt.to_json() if self.rejection_by_pt else {},
            "mass_sculpting": {
                name: shapes.to_json() for name, shapes in self.mass_sculpting.items()
            },
            **({} if self.reliability is None else {"reliability": self.reliability.to_json()}),
            "num_left_out": dict(self.num_left_out),
            "data": list(self.data),
            **({} if self.probe is None else {"probe": self.probe.to_json()}),
            **(
                {"reweighting": {name: own.to_json() for name, own in self.reweighting.items()}}
                if self.reweighting
                else {}
            ),
            **(
                {"tasks": {name: own.to_json() for name, own in self.tasks.items()}}
                if self.tasks
                else {}
            ),
            **({"errors_of_counts": True} if self.errors_of_counts else {}),
        }

    @staticmethod
    def from_json(source: Mapping[str, Any] | str | Path) -> Report:
        """Return the report that a ``metrics.json`` holds, of this version of parttag or older.

        Parameters
        ----------
        source
            The file, or its content.

        Raises
        ------
        InputError
            If the file is missing or damaged, or a newer version of parttag wrote it.
        """
        path = Path("metrics.json") if isinstance(source, Mapping) else Path(source)
        with refuse_damaged(path):
            content: Mapping[str, Any]
            if isinstance(source, Mapping):
                content = source
            else:
                content = json.loads(path.read_text(encoding="utf-8"))
            return _read(REPORT.upgraded(content, path, unmarked=1))

    @property
    def title(self) -> str:
        """The first line of its table."""
        return f"against {' + '.join(self.background)}" if self.background else "all classes"

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the table that the terminal shows: what, its value, its error."""
        tasks = [row for name, own in self.tasks.items() for row in own.rows(name)]
        if tasks and math.isnan(self.accuracy.value):
            return report_text.task_rows(tasks)  # of a network that is not asked for classes
        found = report_text.rows(self.accuracy, self.auc, self.rejection, self.loss, self.extra)
        return found + report_text.task_rows(tasks)

    def plan(self, relative_error: float) -> str:
        """Return how many jets like these give the rejections a relative error, in one line.

        Both causes of the error, the background jets that pass and the signal jets that place the
        cut, fall with the number of jets: N (r/target)² of N jets with the error r are enough.

        Parameters
        ----------
        relative_error
            Of 1/ε_B: 0.1 for 10 %.

        Raises
        ------
        InputError
            If it is not above 0.
        """
        if not relative_error > 0:
            raise InputError(
                f"{option('plan', f'{relative_error:g}')} is no relative error; give one above 0, "
                "such as 0.1 for 10 %"
            )
        return report_text.plan(self.rejection, self.num_jets, relative_error)

    def sentences(self) -> list[str]:
        """Return what the terminal says below the table: of jets, and of the background's mass."""
        return [
            report_text.jets_sentence(self.num_jets, self.num_left_out),
            *report_text.warnings(
                self.rejection, self.kept, self.num_effective, counts=self.errors_of_counts
            ),
            *report_text.sculpting_sentences(self.mass_sculpting),
            *([] if self.reliability is None else [self.reliability.sentence()]),
        ]

    def __repr__(self) -> str:
        """Return the table as text."""
        return report_text.as_text(self.title, self.rows(), self.sentences())

    def _repr_html_(self) -> str:
        """Return the table as notebooks show it."""
        return report_text.as_html(self.title, self.rows(), self.sentences())


def _read(content: Mapping[str, Any]) -> Report:
    by_pt, probe = content.get("rejection_by_pt"), content.get("probe")
    reliability = content.get("reliability")
    return Report(
        accuracy=Estimate.from_json(content["accuracy"]),
        auc=Estimate.from_json(content["auc"]),
        rejection={
            str(name): {float(eps_s): Estimate.from_json(e) for eps_s, e in points.items()}
            for name, points in content["rejection"].items()
        },
        threshold=_numbers_from_json(content["threshold"]),
        kept=_numbers_from_json(content.get("kept", {})),
        num_jets={str(name): int(number) for name, number in content["num_jets"].items()},
        num_effective={
            str(name): float(number) for name, number in content.get("num_effective", {}).items()
        },
        loss=from_json_number(content["loss"]),
        extra={str(n): Estimate.from_json(e) for n, e in content.get("extra", {}).items()},
        background=tuple(map(str, content["background"])),
        rejection_by_pt=RejectionByPt.from_json(by_pt) if by_pt else None,
        mass_sculpting={
            str(name): Sculpting.from_json(shapes)
            for name, shapes in content.get("mass_sculpting", {}).items()
        },
        reliability=Reliability.from_json(reliability) if reliability else None,
        num_left_out={str(n): int(jets) for n, jets in content.get("num_left_out", {}).items()},
        data=tuple(map(str, content.get("data", ()))),
        probe=ProbeFit.from_json(probe) if probe else None,
        reweighting={
            str(name): Reweighted.from_json(own)
            for name, own in content.get("reweighting", {}).items()
        },
        tasks={str(name): read_task(own) for name, own in content.get("tasks", {}).items()},
        errors_of_counts=bool(content.get("errors_of_counts", False)),
    )


def _numbers_to_json(numbers: Mapping[str, Mapping[float, float]]) -> dict[str, Any]:
    return {
        name: {point_key(eps_s): json_number(value) for eps_s, value in points.items()}
        for name, points in numbers.items()
    }


def _numbers_from_json(content: Mapping[str, Any]) -> dict[str, dict[float, float]]:
    return {
        str(name): {float(eps_s): from_json_number(value) for eps_s, value in points.items()}
        for name, points in content.items()
    }
