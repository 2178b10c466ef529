"""Fit the calibration of a run to labelled jets: ``parttag calibrate``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from parttag.errors import InputError, option
from parttag.evaluation.evaluate import Data, evaluate_run
from parttag.evaluation.scores import Scores
from parttag.jets.arrays import JetArrays
from parttag.metrics import EvaluationOptions
from parttag.metrics.calibration import (
    checked_priors,
    class_fractions,
    fit_temperature,
    measure_reliability,
)
from parttag.metrics.estimate import UNKNOWN, checked_weights
from parttag.models.shipped import refuse_pretrained
from parttag.progress import Progress, no_progress
from parttag.runs.calibration import FILE, Calibration
from parttag.runs.run import Run, load_run, weights_sum
from parttag.system.atomic_files import refuse_existing, write_file
from parttag.training.distributed import DeviceName


def calibrate_run(
    run: Run,
    data: Data | None = None,
    *,
    priors: Mapping[str, float] | None = None,
    strict: bool = False,
    overwrite: bool = False,
    device: DeviceName = "auto",
    progress: Progress = no_progress,
) -> Calibration:
    """Fit a temperature to labelled jets, and keep it in the directory of the run.

    Parameters
    ----------
    run
        Its own calibration, if it has one, does not matter.
    data
        Files, globs, directories, stores or jets; by default the run's ``data.val``. The scores are
        right for the fractions of classes, by weight, in these jets.
    priors
        Fractions that scores are to be right for instead; by default the run's
        ``evaluation.priors``.
    strict
        Whether a bad jet is refused; else it is left out.
    overwrite
        Whether a calibration that is there is replaced.
    device
        Where the scores are computed.

    Raises
    ------
    InputError
        If there are no such jets, a class has none, no temperature can be fitted, ``priors`` do not
        fit the classes, or there is a calibration that is not to be replaced.
    """
    run.refuse_folds("a calibration")
    run.refuse_multi_label("a calibration")
    refuse_pretrained(run.directory, "a calibration is kept in the run")
    if run.checkpoint != "best":
        raise InputError(f"{run.directory}: the best epoch is calibrated; load the run with that")
    if not overwrite:
        refuse_existing([run.directory / FILE])
    wanted = priors if priors is not None else run.config.evaluation.priors
    checked = checked_priors(wanted, run.classes) if wanted else None
    data = data if data is not None else run.config.data.val
    if not isinstance(data, JetArrays) and not data:
        raise InputError(
            f"{run.directory}: the run has no data.val; name the jets to calibrate it on with "
            f"{option('data', '')}"
        )
    files = () if isinstance(data, JetArrays) else (data,) if isinstance(data, str | Path) else data
    plain = load_run(run.directory, calibrated=False)
    # The cuts of validation jets, whatever those of test jets are.
    own = run.config.data.model_copy(update={"test_cuts": None})
    plain = replace(plain, config=run.config.model_copy(update={"data": own}))
    jets = _labelled(plain, data, strict=strict, device=device, progress=progress)
    weights = checked_weights(jets.jet_weights, len(jets))
    fractions = class_fractions(jets.labels, run.classes, weights)
    for name, fraction in fractions.items():
        if not fraction > 0:
            raise InputError(
                f"there are no jets of class {name} to calibrate on; give files with jets of every "
                f"class by {option('data', '')}"
            )
    fitted = fit_temperature(jets.logits, jets.labels, weights)
    found = Calibration(
        temperature=fitted.value,
        temperature_error=fitted.error,
        fractions=fractions,
        priors=checked,
        num_jets=len(jets),
        data=tuple(map(str, files)),
        before=UNKNOWN,
        after=UNKNOWN,
        weights_sha256=weights_sum(plain),
    )
    before, after = (
        measure_reliability(logits, jets.labels, run.classes, weights).highest.error
        for logits in (jets.logits, jets.logits / np.float32(fitted.value))
    )
    found = replace(found, before=before, after=after)
    write_file(run.directory / FILE, json.dumps(found.to_json(), indent=2).encode() + b"\n")
    return found


def _labelled(
    run: Run, data: Data, *, strict: bool, device: DeviceName, progress: Progress
) -> Scores:
    """Return the scores of the jets that an evaluation would measure."""
    nothing = EvaluationOptions(metrics=(), reliability=False)
    found = evaluate_run(
        run, data, options=nothing, strict=strict, device=device, progress=progress
    )
    return found.scores.take(np.flatnonzero(found.used))
