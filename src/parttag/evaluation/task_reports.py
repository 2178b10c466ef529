"""What the tasks of a network are worth on jets: its predictions beside what is true of them."""

from __future__ import annotations

import awkward as ak
import numpy as np
from jaxtyping import Float, Int64

from parttag.evaluation.scores import Scores
from parttag.jets.targets import TargetOptions, quantile_suffix
from parttag.metrics.estimate import checked_weights
from parttag.metrics.multi_label import measure_multi_label
from parttag.metrics.particle_tasks import measure_origins, measure_vertices
from parttag.metrics.regression import PREDICTION, RegressionReport, measure_regression
from parttag.metrics.tasks import TaskReport
from parttag.runs.config import RunConfig
from parttag.training.objectives.task_options import CLASSIFY, TasksOptions


def task_reports(config: RunConfig, jets: Scores) -> dict[str, TaskReport]:
    """Return what each task besides the classes is worth; nothing if there is none.

    Parameters
    ----------
    jets
        Those that are measured, with what is true of them.

    Raises
    ------
    InputError
        If a jet weight is not finite.
    """
    options = config.objective
    weights = checked_weights(jets.jet_weights, len(jets))
    found: dict[str, TaskReport] = {}
    if config.is_multi_label:
        carried = [np.asarray(jets.predictions[f"is_{name}"]) == 1 for name in jets.classes]
        labels = np.stack(carried, axis=1)
        found[CLASSIFY] = measure_multi_label(jets.logits, labels, weights, jets.classes)
    if not isinstance(options, TasksOptions) or not jets.predictions:
        return found
    for name, target in config.learned_targets.items():
        found[name] = _regression(name, target, jets, weights)
    if options.origin is not None:
        truth, said, jet = _particles("origin", jets)
        found["origin"] = measure_origins(truth, said, jet, weights, tuple(options.origin.classes))
    if options.vertex is not None:
        truth, said, jet = _particles("vertex", jets)
        found["vertex"] = measure_vertices(truth, said, jet, weights, jets.jet_pt.astype(float))
    return found


def _regression(
    name: str, target: TargetOptions, jets: Scores, weights: Float[np.ndarray, " jets"]
) -> RegressionReport:
    predictions = {PREDICTION: np.asarray(jets.predictions[f"pred_{name}"])}
    for column in target.compared:
        beside = _beside(column, jets)
        if beside is not None:
            predictions[column] = beside
    limits = {}
    if target.loss == "quantiles":
        limits = {quantile_suffix(share)[1:]: share for share in target.quantiles}
    elif target.loss == "gaussian":
        limits = {"error": 0.0}
    return measure_regression(
        np.asarray(jets.predictions[f"true_{name}"]),
        predictions,
        jet_pt=jets.jet_pt,
        labels=jets.labels,
        classes=jets.classes,
        jet_weights=weights,
        limits={key: np.asarray(jets.predictions[f"pred_{name}_{key}"]) for key in limits},
        bins=target.bins,
    )


def _beside(column: str, jets: Scores) -> Float[np.ndarray, " jets"] | None:
    """Return a column of the jets, or a quantity of their four-momenta."""
    if column in jets.predictions:
        return np.asarray(jets.predictions[column])
    if column == "jet_energy":
        energy: np.ndarray = np.hypot(jets.jet_pt * np.cosh(jets.jet_eta), jets.jet_mass)
        return energy
    return {"jet_pt": jets.jet_pt, "jet_mass": jets.jet_mass}.get(column)


def _particles(
    task: str, jets: Scores
) -> tuple[
    Int64[np.ndarray, " particles"],
    Int64[np.ndarray, " particles"],
    Int64[np.ndarray, " particles"],
]:
    """Return what is true of each particle, what is said, and the jet that it is of."""
    truth, said = (jets.predictions[f"{kind}_{task}"] for kind in ("true", "pred"))
    lengths = ak.num(truth).to_numpy()
    jet = np.repeat(np.arange(len(lengths)), lengths)
    flat = (ak.flatten(values).to_numpy().astype(np.int64) for values in (truth, said))
    return next(flat), next(flat), jet
