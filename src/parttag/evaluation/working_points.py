"""Files of working points: written by an evaluation, read for ``parttag predict``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import yaml
from jaxtyping import UInt8

from parttag.errors import InputError
from parttag.evaluation.scores import Scores
from parttag.metrics.fraction_scan import FractionScan
from parttag.metrics.working_point_tables import from_content, to_content, to_correctionlib
from parttag.metrics.working_points import WorkingPoints
from parttag.migrations.applications import WORKING_POINTS
from parttag.options import local_name
from parttag.runs.run import Run
from parttag.runs.yaml_files import read_content
from parttag.system.files import refuse_damaged

TABLES, CORRECTIONS = "working_points.yaml", "working_points.json"
"""What an evaluation writes: for parttag and people, and for correctionlib."""


def write_tables(
    files: Mapping[str, BinaryIO],
    tables: WorkingPoints,
    scans: Mapping[str, FractionScan],
    data: tuple[str, ...],
) -> None:
    """Write both files of an evaluation."""
    content = to_content(tables, scans, data)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)
    files[TABLES].write(text.encode())
    corrections = json.dumps(to_correctionlib(tables, scans), allow_nan=False, indent=1)
    files[CORRECTIONS].write(corrections.encode() + b"\n")


def asked_points(run: Run, asked: bool | str | Path) -> WorkingPoints | None:
    """Return the working points of a file, those of the run's evaluation, or none."""
    if asked is False:
        return None
    return read_working_points(run, None if asked is True else Path(local_name(asked)))


def read_working_points(run: Run, path: Path | None = None) -> WorkingPoints:
    """Return the working points for a run.

    Parameters
    ----------
    path
        A ``working_points.yaml``; by default that of the run's directory ``evaluation``.

    Raises
    ------
    InputError
        If there is none, it is damaged or holds no points, or they were made with other classes or
        another calibration than the run has.
    """
    if path is None:
        path = run.directory / "evaluation" / TABLES
        if not path.is_file():
            raise InputError(
                f"{path} is missing: evaluate the run, parttag evaluate {run.directory}, or name "
                "another file of working points"
            )
    if path.suffix == ".json":
        raise InputError(f"{path} is what correctionlib reads; give the {TABLES} beside it")
    content = read_content(path)
    if not isinstance(content.get("points"), Mapping):
        raise InputError(f"{path} holds no working points; give a {TABLES} of an evaluation")
    with refuse_damaged(path):
        found = from_content(WORKING_POINTS.upgraded(content, path))
    if not found.points:
        reasons = "; ".join(found.left_out.values()) or "none were asked for"
        raise InputError(f"{path} holds no working points ({reasons}); evaluate on more jets")
    if found.classes != run.classes:
        raise InputError(
            f"{path} is for the classes {', '.join(found.classes)}, and the run has "
            f"{', '.join(run.classes)}; give the working points of this run"
        )
    mine = None if run.calibration is None else run.calibration.name
    if found.calibration != mine:
        raise InputError(
            f"{path} was made with {_named(found.calibration)}, and the run has {_named(mine)}; "
            "evaluate the run again"
        )
    return found


def _named(calibration: str | None) -> str:
    return "no calibration" if calibration is None else f"the calibration {calibration}"


def passes(tables: WorkingPoints, scores: Scores) -> dict[str, UInt8[np.ndarray, " jets"]]:
    """Return which jets pass each working point, as columns ``pass_NAME`` of 0 and 1."""
    found = tables.passing(scores.logits, scores.jet_pt, scores.jet_eta)
    return {f"pass_{name}": passed.astype(np.uint8) for name, passed in found.items()}
