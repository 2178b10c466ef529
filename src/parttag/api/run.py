"""``Run``: a trained network with all that uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import awkward as ak
import numpy as np

from parttag.api.arguments import ColumnsLike, FileNames, file_list, name_list, read_columns
from parttag.data.selection.jet_weights import NegativeWeights
from parttag.errors import InputError, option
from parttag.evaluation.batches import Precision
from parttag.evaluation.calibrate import calibrate_run
from parttag.evaluation.evaluate import evaluate_run
from parttag.evaluation.evaluation import Evaluation, read_epochs
from parttag.evaluation.explain import Explanation, explain_run
from parttag.evaluation.predict import score_files, score_jets
from parttag.evaluation.probe import LabeledJets, ProbeOf, probe_run
from parttag.evaluation.report.page import REPORT
from parttag.evaluation.report.write import report_runs
from parttag.evaluation.scores import Scores
from parttag.evaluation.working_points import asked_points
from parttag.export.export import ExportReport, export_run
from parttag.export.options import (
    Attention,
    Convention,
    ExportOptions,
    ExportPrecision,
    Inputs,
    Output,
    read_names,
)
from parttag.jets.arrays import JetArrays
from parttag.jets.awkward_arrays import from_awkward
from parttag.jets.feature_lists import required_extras
from parttag.metrics import EvaluationOptions
from parttag.models.ensemble import Ensemble
from parttag.options import local_name
from parttag.progress import Progress, no_progress
from parttag.runs import run as runs
from parttag.runs.evaluation_section import parse_evaluation
from parttag.training.distributed import DeviceName

Jets: TypeAlias = FileNames | JetArrays | ak.Array
"""Files, jets in memory, or awkward records as ``from_awkward`` takes them."""


@dataclass(frozen=True, repr=False)
class Run(runs.Run):
    """A trained network with its configuration: what training leaves, and what uses it.

    ``model`` is a ``torch.nn.Module``, ``config`` what it was trained with, and ``classes`` are in
    the order of the logits.

    Examples
    --------
    >>> run = pt.load("runs/first")
    >>> run.predict("train_*.root", keep=["jet_pt"]).write("scores.root")
    >>> rejection = run.evaluate("test.h5").rejection["top"][0.5]
    """

    @classmethod
    def of(cls, run: runs.Run) -> Run:
        """Return a run with the methods of this class."""
        return cls(**{name: getattr(run, name) for name in runs.Run.__dataclass_fields__})

    def predict(
        self,
        jets: Jets,
        *,
        keep: str | Sequence[str] = (),
        working_points: bool | str | Path = False,
        columns: ColumnsLike = None,
        strict: bool = False,
        precision: Precision = "fp32",
        device: DeviceName = "auto",
        progress: Progress = no_progress,
    ) -> Scores:
        """Return the scores of jets, one row a jet, in their order; bad jets have none.

        Parameters
        ----------
        jets
            Files, ``JetArrays``, or awkward records, one jet a row.
        keep
            Branches of files that ride along.
        working_points
            Say which working points each jet passes, in columns ``pass_NAME``: those of the
            ``working_points.yaml`` that is named, or of the run's directory ``evaluation``.
        columns
            What the branches of the files mean, if not what the run's ``data.columns`` says.
        strict
            Refuse a bad jet instead.
        precision, device
            How and where the network computes; ``auto`` is a GPU if there is one.

        Raises
        ------
        InputError
            If a file cannot be read, the jets do not fit the network, or the working points are not
            of this run.

        Examples
        --------
        >>> frame = run.predict("train_*.root", keep=["jet_pt"]).to_pandas()
        >>> len(frame)
        120
        """
        tagger, points = self.reading(columns), asked_points(self, working_points)
        if is_files(jets):
            return score_files(
                tagger,
                file_list(jets),
                name_list(keep),
                working_points=points,
                strict=strict,
                precision=precision,
                device=device,
                progress=progress,
            )
        if keep:
            named = option("keep", ",".join(name_list(keep)))
            raise InputError(
                f"{named} names branches of files: jets in memory have none, so leave it out"
            )
        return score_jets(
            tagger,
            in_memory(jets, self._particle_columns),
            working_points=points,
            strict=strict,
            precision=precision,
            device=device,
            progress=progress,
        )

    def __call__(self, particles: ak.Array) -> ak.Array:
        """Return the scores of awkward records of particles, inside an analysis.

        Parameters
        ----------
        particles
            Records of pt, eta, phi and mass, or whatever else ``vector`` knows: jets x particles,
            or events x jets x particles.

        Returns
        -------
        ak.Array
            One record a jet, nested as the jets are, with ``score_CLASS`` and ``logit_CLASS``, and
            ``pred_TARGET`` of targets; those of jets without particles or with bad ones are NaN.

        Raises
        ------
        InputError
            If the records have no four-momenta, or the network needs columns that they lack.

        Examples
        --------
        >>> particles = pt.read("test.h5").to_awkward().particles
        >>> top = run(particles).score_top
        """
        if not isinstance(particles, ak.Array):
            raise InputError(
                f"a run is called on an Awkward Array of particles, not on a "
                f"{type(particles).__name__}; predict takes files and JetArrays"
            )
        depth = particles.ndim
        flat = ak.flatten(particles, axis=1) if depth == 3 else particles
        scores = self.predict(flat)
        columns = {
            name: values
            for name, values in scores.columns().items()
            if name.startswith(("score_", "logit_", "pred_")) and isinstance(values, np.ndarray)
        }
        rows = ak.zip(columns)
        return ak.unflatten(rows, ak.num(particles, axis=1)) if depth == 3 else rows

    def evaluate(
        self,
        data: Jets | None = None,
        *,
        background: str | Sequence[str] | None = None,
        working_points: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
        tables: Mapping[str, Any] | None = None,
        columns: ColumnsLike = None,
        negative_weights: NegativeWeights | None = None,
        strict: bool = False,
        precision: Precision = "fp32",
        device: DeviceName = "auto",
        progress: Progress = no_progress,
    ) -> Evaluation:
        """Measure the tagger on labeled jets: accuracy, AUC and rejections with their errors.

        Nothing is written before ``save`` of what comes back.

        Parameters
        ----------
        data
            Files, or jets with labels; by default the run's ``data.test``.
        background
            The class, or the classes, that all others are told apart from.
        working_points
            Signal efficiencies at which rejections are quoted, of all signal classes or by class.
        tables
            Tables of thresholds, as ``evaluation.tables`` of a configuration says them:
            ``{"points": {"tight": {"mistag": 0.01}}, "pt": [400, 600, 800]}``.
        negative_weights
            What jets of negative weight count for: ``"keep"`` their signs, take them as
            ``"absolute"`` or ``"refuse"`` them; by default as the run's ``data.negative_weights``.
        columns, strict, precision, device
            As of ``predict``.

        Raises
        ------
        InputError
            If there is nothing to evaluate, or the jets do not fit the network.

        Examples
        --------
        >>> report = run.evaluate("test.h5", working_points=[0.3, 0.5, 0.7])
        >>> axes = report.plot.roc()
        >>> report.save("out", formats=["pdf", "png"])
        """
        return evaluate_run(
            self.reading(columns),
            _measured(data),
            options=self.options(background, working_points, tables),
            negative_weights=negative_weights,
            strict=strict,
            precision=precision,
            device=device,
            progress=progress,
        )

    def calibrate(
        self,
        data: Jets | None = None,
        *,
        priors: Mapping[str, float] | None = None,
        strict: bool = False,
        overwrite: bool = False,
        device: DeviceName = "auto",
        progress: Progress = no_progress,
    ) -> Run:
        """Return the run with scores that mean what they say, and keep the calibration in it.

        Logits are divided by a temperature, fitted to jets that the network was not trained on.
        Scores are then right for the fractions of classes in these jets. Whatever loads the run
        from now on has scores and logits of this calibration.

        Parameters
        ----------
        data
            Labelled jets; by default the run's ``data.val``.
        priors
            Fractions of the classes that scores are to be right for instead; by default the run's
            ``evaluation.priors``.
        strict
            Refuse a bad jet instead of leaving it out.
        overwrite
            Replace a calibration that is there.
        device
            As of ``predict``.

        Raises
        ------
        InputError
            If no temperature can be fitted to the jets, ``priors`` do not fit the classes, or there
            is a calibration already.

        Examples
        --------
        >>> run = pt.load("runs/first").calibrate("val.h5")  # doctest: +SKIP
        >>> dict(run.calibration.target)  # doctest: +SKIP
        {'top': 0.5, 'QCD': 0.5}
        """
        calibrate_run(
            self,
            _measured(data),
            priors=priors,
            strict=strict,
            overwrite=overwrite,
            device=device,
            progress=progress,
        )
        return Run.of(runs.load_run(self.directory).with_columns(self.config.data.columns))

    def probe(
        self,
        data: Jets | None = None,
        *,
        of: ProbeOf = "linear",
        train: FileNames = (),
        classes: Mapping[str, Sequence[str]] | None = None,
        num_jets: int = 10_000,
        strict: bool = False,
        precision: Precision = "fp32",
        device: DeviceName = "auto",
        progress: Progress = no_progress,
    ) -> Evaluation:
        """Fit a linear classifier to what the network makes of jets, and measure that.

        Parameters
        ----------
        data
            What to measure on; by default the run's ``data.test``.
        of
            The trained network (``linear``), one without training, or its inputs (``raw``).
        train, classes
            What to fit to; by default the run's ``data.train`` and ``data.classes``.
        num_jets
            Fit to at most so many jets.

        Raises
        ------
        InputError
            As ``evaluate``, or if there are too few jets of a class.
        """
        named = None if classes is None else {name: tuple(c) for name, c in classes.items()}
        labeled = LabeledJets(tuple(file_list(train)) if train else (), named, num_jets)
        return probe_run(
            self,
            of,
            labeled,
            _measured(data),
            strict=strict,
            precision=precision,
            device=device,
            progress=progress,
        )

    def explain(
        self,
        jets: Jets,
        *,
        target: str | None = None,
        num_jets: int = 500,
        steps: int = 32,
        seed: int = 0,
        columns: ColumnsLike = None,
        strict: bool = False,
        device: DeviceName = "auto",
        progress: Progress = no_progress,
    ) -> Explanation:
        """Say what the tagger goes by: gradients, attention, and importance of its inputs.

        Nothing is written before ``save`` of what comes back.

        Parameters
        ----------
        jets
            As of ``predict``; importance as a rise of the loss needs their classes.
        target
            The class whose log-odds the gradients explain; by default that of the highest score of
            each jet.
        num_jets
            How many jets are taken, at random.
        steps
            Of the integrated gradients.
        seed
            Of the choice, and of the exchanges of values.
        columns, strict, device
            As of ``predict``.

        Raises
        ------
        InputError
            If there is no such class or no good jet, or the jets do not fit the network.

        Examples
        --------
        >>> found = run.explain("test.h5", num_jets=20, steps=4)
        >>> found.ranking[0] in found.share
        True
        >>> found.save("explained")  # doctest: +SKIP
        """
        return explain_run(
            self.reading(columns),
            file_list(jets) if is_files(jets) else in_memory(jets, self._particle_columns),
            target=target,
            num_jets=num_jets,
            steps=steps,
            seed=seed,
            strict=strict,
            device=device,
            progress=progress,
        )

    def report(self, out: str | Path | None = None, *, overwrite: bool = False) -> Path:
        """Write one page that shows the run in a browser, without network, and return its path.

        It shows what is in the run's directory ``evaluation``, and some of the jets.

        Parameters
        ----------
        out
            The file; by default ``report.html`` in the run's directory.
        overwrite
            Replace a file that is there.

        Raises
        ------
        InputError
            If packages of the extra ``report`` are missing, or ``out`` exists or cannot be written.

        Examples
        --------
        >>> run.report("first.html").name
        'first.html'
        """
        target = self.directory / REPORT if out is None else Path(local_name(out))
        return report_runs([self], target, overwrite=overwrite)

    def export(
        self,
        out: str | Path,
        *,
        inputs: Inputs = "prepared",
        output: Output = "softmax",
        convention: Convention = "cms",
        precision: ExportPrecision = "fp32",
        attention: Attention = "fused",
        names: Mapping[str, str] | str | Path | None = None,
        model_name: str = "",
        max_difference: float | None = None,
        overwrite: bool = False,
    ) -> ExportReport:
        """Write the run as an ONNX model, and beside it ``preprocess.json``, as CMSSW reads them.

        The model is checked first: it is run on toy jets, and nothing is written if its scores are
        not the run's.

        Parameters
        ----------
        out
            The model, ``.onnx``; its folder is the model's alone.
        inputs
            ``prepared``, or ``raw`` to have features and standardization in the model.
        output
            ``softmax``, ``logits`` or ``embedding``.
        convention
            ``cms``, or ``atlas`` for a model as Athena reads those of salt.
        precision
            ``fp32``, ``fp16`` or ``int8``.
        attention
            ``fused``, or ``plain`` for runtimes that have the nodes of ONNX alone.
        names
            What the reader calls variables, by parttag's names, or a YAML file that says it.
        model_name
            What the outputs begin with in the convention of ATLAS.
        max_difference
            The largest difference of a score that is accepted.

        Raises
        ------
        InputError
            If the network cannot be exported, a file exists, the packages of the extra ``export``
            are missing, or scores differ by too much.

        Examples
        --------
        >>> report = run.export("exported/model.onnx")
        >>> report.differences.largest < 1e-5
        True
        """
        options = ExportOptions(
            inputs=inputs,
            output=output,
            convention=convention,
            precision=precision,
            attention=attention,
            names=read_names(names),
            model_name=model_name,
            max_difference=max_difference,
        )
        return export_run(self, Path(local_name(out)), options, overwrite=overwrite)

    def options(
        self,
        background: str | Sequence[str] | None = None,
        working_points: Sequence[float] | Mapping[str, Sequence[float]] | str | None = None,
        tables: Mapping[str, Any] | str | None = None,
    ) -> EvaluationOptions:
        """Return the run's section ``evaluation`` with what is given replaced.

        Raises
        ------
        InputError
            If an efficiency is not between 0 and 1, or the tables are not such.
        """
        given = {"background": background, "working_points": working_points, "tables": tables}
        changes = {key: value for key, value in given.items() if value is not None}
        return parse_evaluation(self.config.evaluation, changes)

    def reading(self, columns: ColumnsLike) -> Run:
        """Return the run for files whose branches mean something else; ``None`` changes nothing."""
        if columns is None:
            return self
        return Run.of(self.with_columns(read_columns(columns)))

    @property
    def _particle_columns(self) -> tuple[str, ...]:
        """The particle columns besides the four-momentum that the network reads."""
        known = required_extras(self.config.network_features)
        return (*known, *self.config.wanted_columns.particles)

    @property
    def num_parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def __repr__(self) -> str:
        """Return one line: the directory, network, classes and how far the training is."""
        return f"Run {self.directory}: {' | '.join(self._facts())}"

    def _repr_html_(self) -> str:
        facts = "".join(f"<td>{escape(fact)}</td>" for fact in self._facts())
        return f"<table><tr><th>Run {escape(str(self.directory))}</th>{facts}</tr></table>"

    def _facts(self) -> list[str]:
        goal = ", ".join(self.classes) or f"objective {self.config.objective.name}"
        name = self.config.model.name
        if isinstance(self.model, Ensemble):
            name = f"ensemble of {len(self.model.members)}, {name} first"
        network = f"{name} ({_short(self.num_parameters)})"
        return [network, goal, *_how_far(self)]


def _how_far(run: Run) -> list[str]:
    """Return the epoch that the weights are of, and its accuracy; nothing if there was none."""
    try:
        epochs = read_epochs(run.directory)
    except InputError:
        return []
    if not epochs:
        return []
    shown = epochs[-1]
    if run.checkpoint == "best":
        name = f"val_{run.config.training.best_by}"
        sign = -1 if name == "val_loss" else 1
        # Of equal ones the first, as training keeps it.
        shown = max((e for e in epochs if name in e), key=lambda e: sign * e[name], default=shown)
    planned = f"/{run.config.training.epochs}" if run.config.training.epochs else ""
    facts = f"epoch {shown['epoch']:.0f}{planned}"
    accuracy = shown.get("val_accuracy")
    return [facts if accuracy is None else f"{facts}, val accuracy {accuracy:.3f}"]


def _short(number: int) -> str:
    """Return a number of parameters as people say it: 189k, 2.14M."""
    if number < 1e3:
        return str(number)
    return f"{number / 1e3:.0f}k" if number < 1e6 else f"{number / 1e6:.2f}M"


def is_files(jets: Jets) -> TypeGuard[FileNames]:
    """Return whether jets are in files, not in memory."""
    return not isinstance(jets, JetArrays | ak.Array)


def in_memory(jets: JetArrays | ak.Array, extras: Sequence[str] | None = None) -> JetArrays:
    """Return jets as ``JetArrays``; of records with these columns only, if they are given."""
    return jets if isinstance(jets, JetArrays) else from_awkward(jets, extras=extras)


def _measured(data: Jets | None) -> Sequence[str | Path] | JetArrays | None:
    if data is None:
        return None
    return file_list(data) if is_files(data) else in_memory(data)
