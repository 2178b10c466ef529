"""A run as an ONNX model and, beside it, how its inputs are made: ``parttag export``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import parttag
from parttag.errors import InputError, option
from parttag.export import atlas
from parttag.export.check import (
    Differences,
    ToyColumns,
    comparable,
    differences,
    near_ties,
    own_values,
    toy_batches,
)
from parttag.export.graph import Graph, Value, layers
from parttag.export.inputs import ALL, Input, ModelInputs
from parttag.export.networks import NetworkExport, find_network
from parttag.export.options import ExportOptions
from parttag.export.preprocess import describe_preprocessing, describe_sources
from parttag.export.runtime import Session, quantized, require_packages
from parttag.export.variables import Labels
from parttag.jets.batch import JetBatch
from parttag.jets.kinds import names_by_kind
from parttag.models import Tagger
from parttag.models.ensemble import Ensemble
from parttag.models.scaling import scaling_of
from parttag.runs.config import CONFIG
from parttag.runs.run import Run, weights_sum
from parttag.system.atomic_files import made_directory, new_files, refuse_existing
from parttag.system.files import sha256

if TYPE_CHECKING:
    import onnx

PREPROCESS = "preprocess.json"


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far its scores are from the run's."""

    model: Path
    preprocess: Path | None
    """How inputs are made; Athena reads that in the model."""
    differences: Differences
    options: ExportOptions

    def __str__(self) -> str:
        """Return one sentence on the check."""
        return f"checked on {self.differences}"


@dataclass(frozen=True)
class Exporter:
    """A run on its way into a graph."""

    run: Run
    options: ExportOptions
    network: NetworkExport
    labels: Labels

    @classmethod
    def of_run(cls, run: Run, options: ExportOptions) -> Exporter:
        """Return the exporter of a run.

        Raises
        ------
        InputError
            If the run cannot be exported in this way.
        """
        require_packages()
        if options.output != "embedding" and not run.config.is_classifier:
            raise InputError(
                f"{run.directory}: this run was trained on the objective "
                f"{run.config.objective.name}, which gives jets no scores; export what it makes of "
                f"jets with {option('output', 'embedding')}, or fine-tune it with "
                f"init_from.path={run.directory}"
            )
        run.refuse_folds("an export")
        if options.output == "softmax":
            run.refuse_multi_label("an export of probabilities")
        members = _members(run.model)
        found = [find_network(member, run.config.model.name) for member in members]
        if len({_reads(*pair) for pair in zip(members, found, strict=True)}) > 1:
            raise InputError(
                f"{run.directory}: the members of this ensemble read different features or are "
                "networks of different kinds, which one model cannot be made of; export each alone"
            )
        network = found[0]
        return cls(run, options, network, Labels(options.names))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs as CMS has them."""
        return self._inputs_of(_members(self.run.model)[0]).describe()

    def _inputs_of(self, network: Tagger) -> ModelInputs:
        return ModelInputs(network, self.network, self.options.inputs == "raw", self.labels)

    @property
    def of_atlas(self) -> atlas.AtlasInputs:
        """The inputs as ATLAS has them."""
        return atlas.AtlasInputs(self.inputs, self.options.inputs == "raw")

    @property
    def output_names(self) -> list[str]:
        """Names of the scores in order."""
        if self.options.output == "embedding":
            width = sum(member.encoded_width for member in _members(self.run.model))
            return [f"embedding_{number}" for number in range(width)]
        return [f"label_{name}" for name in self.run.classes]

    def build(self) -> onnx.ModelProto:
        """Return the model."""
        is_atlas = self.options.convention == "atlas"
        precision = "float16" if self.options.precision == "fp16" else "float32"
        graph = Graph(precision, fused=self.options.attention == "fused")
        given = self.of_atlas.read(graph) if is_atlas else self._declare(graph)
        values = self._output(given)
        if is_atlas:
            self._name_scores(graph, values)
        else:
            graph.output(self.options.output, values, "jets", len(self.output_names))
        self.labels.refuse_unused()
        model = graph.model(self.run.directory.name, self._properties(), parttag.__version__)
        return quantized(model) if self.options.precision == "int8" else model

    def _declare(self, graph: Graph) -> dict[str, Value]:
        slots = {item.kind: f"{item.kind}_slots" for item in self.inputs}
        slots[ALL] = "slots"
        return {
            item.name: graph.input(
                item.name, "jets", len(item.variables), 1 if item.per_jet else slots[item.kind]
            )
            for item in self.inputs
        }

    def _output(self, given: Mapping[str, Value]) -> Value:
        members = _members(self.run.model)
        is_embedding = self.options.output == "embedding"
        found = [self._of_member(member, given, is_embedding=is_embedding) for member in members]
        graph = found[0].graph
        if is_embedding:
            return graph.concat(found, 1)
        logits = found[0]
        if isinstance(self.run.model, Ensemble):
            logits = _mean_of_scores(found)
            logits = _scaled(logits, self.run.model)
        return logits.apply("Softmax", axis=1) if self.options.output == "softmax" else logits

    def _of_member(
        self, network: Tagger, given: Mapping[str, Value], *, is_embedding: bool
    ) -> Value:
        """Return the logits of a network, or its representation."""
        particles, beside = self._inputs_of(network).read(given)
        encoded = self.network.encode(network, particles)
        if is_embedding:
            return encoded
        if beside is not None:
            encoded = encoded.graph.concat([encoded, beside.squeeze(2).cast(encoded.dtype)], 1)
        return _scaled(layers(encoded, network.head).cast("float32"), network)

    def _name_scores(self, graph: Graph, values: Value) -> None:
        names = atlas.output_names(self._model_name, self.run.classes)
        for name, score in zip(names, graph.split(values, 1, [1] * len(names)), strict=True):
            graph.output(name, score.squeeze(0, 1))

    @property
    def _model_name(self) -> str:
        return atlas.model_name(self.options.model_name, self.run.directory.name)

    def _properties(self) -> Mapping[str, str]:
        """Return the metadata: classes, versions, run and hashes."""
        run, directory = self.run, self.run.directory
        found = {
            "classes": json.dumps(run.classes),
            **({} if run.calibration is None else {"calibration": run.calibration.name}),
            "network": run.config.model.name,
            "parttag_version": parttag.__version__,
            "run": directory.name,
            "checkpoint": run.checkpoint,
            "checkpoint_sha256": weights_sum(run),
            "is_calibrated": json.dumps(run.calibration is not None),
            "config_sha256": sha256(directory / CONFIG),
            "precision": self.options.precision,
            "parttag": json.dumps(self.sources()),
        }
        if self.options.convention == "atlas":
            found |= atlas.describe(self.of_atlas, self._model_name, run.classes)
        return found

    def sources(self) -> dict[str, object]:
        """Return what each variable of the inputs is made of."""
        return describe_sources(self.inputs, self.options.inputs, self.options.output)

    def preprocessing(self) -> dict[str, object]:
        """Return the content of ``preprocess.json``."""
        most = self.run.model.max_particles
        content = describe_preprocessing(self.inputs, self.output_names, most)
        return {**content, "parttag": self.sources()}

    def values(self, session: Session, batch: JetBatch, slots: int) -> np.ndarray:
        """Return what an exported model gives to a batch: scores or a representation."""
        if self.options.convention == "cms":
            feeds = {item.name: item.padded(batch, slots) for item in self.inputs}
            return comparable(session.run(feeds)[0], self.options.output)
        jets = [batch.span(number, number + 1) for number in range(len(batch))]
        rows = [session.run(self.of_atlas.of_batch(jet)) for jet in jets]
        return np.array(rows, dtype=np.float64)

    def check(self, model: bytes) -> Differences:
        """Return how far the model's scores of toy jets are from the run's."""
        session = Session(model)
        network, output = self.run.model, self.options.output
        own, exported, tied = [], [], []
        for batch, slots in self.toys():
            values = own_values(network, batch, output)
            # Numbers of a representation have no scale of their own.
            scale = max(1.0, float(np.abs(values).max())) if output == "embedding" else 1.0
            own.append(values / scale)
            exported.append(self.values(session, batch, slots) / scale)
            tied.append(near_ties(network, batch))
        return differences(own, exported, tied)

    def toys(self) -> Iterator[tuple[JetBatch, int]]:
        """Yield toy batches that have the columns that the network reads."""
        wanted, network = self.run.config.wanted_columns, self.run.model
        kinds = tuple(names_by_kind(network.feature_names))
        columns = ToyColumns(wanted.particles, wanted.jets, kinds)
        return toy_batches(columns, network.max_particles)


def _members(network: Tagger) -> list[Tagger]:
    """Return the members of an ensemble, or the network alone."""
    if isinstance(network, Ensemble):
        return [member for member in network.members if isinstance(member, Tagger)]
    return [network]


def _reads(network: Tagger, export: NetworkExport) -> tuple[object, ...]:
    return type(network), export.reads, network.feature_names, network.jet_feature_names


def _scaled(logits: Value, network: Tagger) -> Value:
    """Return logits as the network's calibration has them, if there is one."""
    scaling = scaling_of(network)
    if scaling is None:
        return logits
    return logits / scaling.temperature + np.array(scaling.shifts)


def _mean_of_scores(logits: Sequence[Value]) -> Value:
    """Return the logarithm of the mean of the scores of all members."""
    logs = [one.apply("LogSoftmax", axis=1) for one in logits]
    stacked = logs[0].graph.stack(logs, 0)
    total = stacked.apply("ReduceLogSumExp", axes=[0], keepdims=0)
    return total - float(np.log(len(logs)))


def export_run(
    run: Run, out: Path, options: ExportOptions, *, overwrite: bool = False
) -> ExportReport:
    """Write a run as an ONNX model and, for CMS, ``preprocess.json`` beside it.

    The model is run first, and compared with the run itself.

    Raises
    ------
    InputError
        If the run cannot be exported, a file exists, or scores differ by more than the limit of the
        options; nothing is written then.
    """
    if out.suffix != ".onnx":
        raise InputError(f"{out}: the name of a model must end in .onnx")
    beside = out.parent / PREPROCESS if options.convention == "cms" else None
    paths = [out] if beside is None else [out, beside]
    if not overwrite:
        refuse_existing(paths)
    exporter = Exporter.of_run(run, options)
    model = exporter.build().SerializeToString()
    found = exporter.check(model)
    if not found.largest <= options.limit:
        raise InputError(
            f"{out} is not written: on {found}, and {options.limit:g} is allowed; "
            f"{_advice(options)}"
        )
    contents: list[bytes] = [model]
    if beside is not None:
        contents.append(json.dumps(exporter.preprocessing(), indent=2).encode() + b"\n")
    _write(paths, contents, overwrite=overwrite)
    return ExportReport(out, beside, found, options)


def _advice(options: ExportOptions) -> str:
    if options.precision == "fp32":
        return "use fewer particles or another network, and report this, for it should not happen"
    return f"allow more with {option('max_difference', '')}, or export in fp32"


def _write(paths: Sequence[Path], contents: Sequence[bytes], *, overwrite: bool) -> None:
    with (
        made_directory(paths[0].parent),
        new_files(list(paths), overwrite=overwrite) as files,
    ):
        for file, content in zip(files, contents, strict=True):
            file.write(content)
