"""A data configuration of weaver-core, a network and a command line to a configuration of a run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from parttag.errors import InputError, option
from parttag.jets.features import FEATURE_SETS
from parttag.runs.config import RunConfig, build_config
from parttag.runs.weaver.entries import Columns, Entry, feature_entry, jet_entry
from parttag.runs.weaver.flags import parse_flags, training_sections
from parttag.runs.weaver.formulas import Formulas, needed
from parttag.runs.weaver.kinds import Kind, split_kinds
from parttag.runs.weaver.momenta import (
    Momenta,
    add_mask,
    is_jetclass,
    jet_section,
    jetclass_momenta,
    momenta_of,
)
from parttag.runs.weaver.network import model_section, network_name, network_options
from parttag.runs.weaver.rates import with_lr_multipliers
from parttag.runs.weaver.remarks import Remark, Remarks
from parttag.runs.weaver.source import WeaverFile, read_weaver_file
from parttag.runs.weaver.truth import Truth, add_labels, add_selections, add_weights

_JETCLASS_JET = {"pt": "jet_pt", "eta": "jet_eta", "energy": "jet_energy"}


@dataclass(frozen=True)
class Conversion:
    """A configuration of parttag's that means what files of weaver's do.

    Parameters
    ----------
    config
        The configuration.
    text
        The same in YAML, with what differs from the defaults.
    remarks
        What has no counterpart, what is assumed, and what is done otherwise.
    keep
        Branches that weaver would copy to its output: for ``predict``, ``keep``.
    kinds
        The groups of inputs of each kind of constituents, by what they are: ``features``, ``mask``.
    jet_groups
        The groups of numbers of the jet.
    """

    config: RunConfig
    text: str
    remarks: tuple[Remark, ...]
    keep: tuple[str, ...]
    kinds: Mapping[str, Mapping[str, str]]
    jet_groups: tuple[str, ...]

    def group(self, role: str) -> str | None:
        """Return the group of the one kind that is its features, its mask and so on."""
        return next(iter(self.kinds.values())).get(role)

    @property
    def missing(self) -> tuple[Remark, ...]:
        """What parttag cannot say."""
        return tuple(remark for remark in self.remarks if remark.kind == "missing")


def convert(
    data: str | Path,
    *,
    network: str | None = None,
    options: Sequence[str] = (),
    flags: Sequence[str] = (),
    strict: bool = False,
) -> Conversion:
    """Return the configuration that a data configuration of weaver-core is the same as.

    Parameters
    ----------
    data
        The YAML file.
    network
        Name of a network of parttag's, or the file of one of weaver's.
    options
        Of the network, as weaver takes them: names and values by turns.
    flags
        The command line of weaver.
    strict
        Refuse what cannot be said whole.

    Raises
    ------
    InputError
        If the file is none of weaver-core, a formula uses what is not allowed, or ``strict`` is set
        and something has no counterpart.
    """
    file = read_weaver_file(Path(data))
    given = parse_flags(flags)
    conversion = _Converter(file, given).convert(network, options)
    if strict and conversion.missing:
        first = conversion.missing[0]
        more = len(conversion.missing) - 1
        raise InputError(
            f"{file.path}, {first}"
            + (f" (and {more} more)" if more else "")
            + f"; leave out {option('strict')} to convert the rest"
        )
    return conversion


class _Converter:
    def __init__(self, file: WeaverFile, flags: argparse.Namespace) -> None:
        self.file, self.flags = file, flags
        self.formulas, self.remarks, self.truth = Formulas(file), Remarks(), Truth()
        self.used: dict[str, None] = {}
        self.without_momenta: list[Kind] = []
        self.kinds, self.of_jets, self.others = split_kinds(file)
        self.is_jetclass = is_jetclass(self.kinds, self.formulas)
        self.jet = {} if self.is_jetclass else jet_section(file, self.formulas, self.remarks)

    def convert(self, network: str | None, options: Sequence[str]) -> Conversion:
        file, truth = self.file, self.truth
        given = network or self.flags.network_config or "particle_transformer"
        self.network = network_name(given)
        if not self.kinds:
            raise file.wrong(
                "no group of inputs is of particles, and parttag's networks read particles: there "
                "is nothing to convert",
                "inputs",
            )
        features, sections = self._kinds()
        jet_entries, jet_extra = self._jet_features()
        add_labels(truth, file, self.formulas, self.remarks)
        extra = {
            "selection": self.flags.extra_selection_train or "",
            "test_time_selection": self.flags.extra_selection_test or "",
        }
        add_selections(truth, file, self.formulas, extra)
        jet = _JETCLASS_JET if self.is_jetclass else self.jet
        keeps = bool(self.flags.no_remake_weights)
        add_weights(truth, file, self.formulas, self.remarks, jet, keeps_histograms=keeps)
        self._say_the_rest()
        keep = tuple(dict.fromkeys((*file.names("observers"), *file.names("monitor_variables"))))
        content: dict[str, object] = {"data": self._data(sections, jet_extra)}
        content["features"] = features
        if jet_entries:
            content["jet_features"] = jet_entries
        content["model"] = self._model(options)
        content |= training_sections(self.flags, self.remarks)
        content = with_lr_multipliers(content, self.flags, self.remarks)
        self._weights_to_start_from()
        return self._conversion(content, keep)

    # ------------------------------------------------------------------------------- the inputs

    def _kinds(self) -> tuple[object, dict[str, dict[str, object]]]:
        """Return ``features``, and the sections of particles by kind."""
        features: dict[str, list[Entry]] = {}
        sections: dict[str, dict[str, object]] = {}
        for kind in self.kinds:
            momenta = self._momenta(kind)
            columns = Columns()
            features[kind.name] = [
                feature_entry(one, momenta.forms, self.formulas, columns)
                for one in kind.inputs("features")
            ]
            self.used |= columns.used
            self._use(momenta.section.values())
            if columns.extra:
                momenta.section["extra"] = columns.extra
            sections[kind.name] = momenta.section
            self._say_of(kind)
        if self.has_one_kind:
            own = features[self.kinds[0].name]
            sets = [name for name, whole in FEATURE_SETS.items() if list(whole) == own]
            return (sets[0] if sets else own), sections
        return features, sections

    def _momenta(self, kind: Kind) -> Momenta:
        if self.is_jetclass:
            return jetclass_momenta(self.formulas)
        found = momenta_of(kind, self.formulas, self.jet)
        if found is None:
            self.without_momenta.append(kind)
            found = Momenta({})
            add_mask(found, kind, self.formulas)
        return found

    @property
    def has_one_kind(self) -> bool:
        """Whether its particles need no name."""
        return len(self.kinds) == 1 and not self.without_momenta

    def _use(self, values: Iterable[object]) -> None:
        self.used |= {value: None for value in values if isinstance(value, str)}

    def _say_of(self, kind: Kind) -> None:
        if kind.length is not None:
            self.remarks.note(
                "length",
                f"of more than {kind.length} {kind.name}, weaver keeps the first of the file, and "
                "parttag those of highest pT",
                kind.line,
            )
        if any(group.pad_mode == "wrap" for group in kind.groups.values()):
            self.remarks.note(
                "pad_mode: wrap",
                "networks see real particles only",
                kind.line,
            )
        if "points" in kind.groups and len(kind.inputs("points")) > 2:
            say = self.remarks.note
            if self.network == "particle_net":
                say = self.remarks.missing
            say(
                "points",
                f"{kind.groups['points'].name} has more than two coordinates; networks that look "
                "for neighbours take Δη and Δφ of the momenta, others read none",
                kind.groups["points"].line,
            )

    def _jet_features(self) -> tuple[list[Entry], dict[str, str]]:
        columns = Columns()
        entries = [
            jet_entry(one, self.formulas, columns)
            for kind in self.of_jets
            for one in dict.fromkeys(one for group in kind.groups.values() for one in group.inputs)
        ]
        self.used |= columns.used
        return entries, columns.extra

    # --------------------------------------------------------------------------------- the rest

    def _say_the_rest(self) -> None:
        for kind in self.others:
            self.remarks.missing(
                "a group of another name",
                f"{kind.name} is neither of particles (…_features, …_points, …_vectors, …_mask) "
                "nor one number a jet (length: null); it is left out",
                kind.line,
            )
        if self.file.content.get("bucketing") is not None:
            self.remarks.note(
                "bucketing",
                "batches hold no padding, so that lengths need no sorting",
                self.file.line("bucketing"),
            )
        auto = [
            one
            for group in self.file.inputs
            for one in group.inputs
            if one.standard.centre == "auto"
        ]
        if auto and not self.file.path.name.endswith(".auto.yaml"):
            self.remarks.note(
                "preprocess.method: auto",
                "centres and scales are measured on the training jets, on all of them, and kept in "
                "the run's config.yaml; convert the *.auto.yaml that weaver has written to take "
                "its numbers over",
                self.file.line("preprocess", "method"),
            )

    def _model(self, options: Sequence[str]) -> dict[str, object]:
        pairs = [*options, *(text for pair in self.flags.network_option for text in pair)]
        lengths: dict[str, object] = {
            kind.name: kind.length for kind in self.kinds if kind.length is not None
        }
        most: object = lengths or None
        if self.has_one_kind:
            most = next(iter(lengths.values()), None)
        section = model_section(self.network, network_options(pairs), most, self.remarks)
        return section | self._without_pairs()

    def _without_pairs(self) -> dict[str, object]:
        """Return what the network is told where kinds have no four-momenta."""
        if not self.without_momenta:
            return {}
        names = ", ".join(kind.name for kind in self.without_momenta)
        line = self.without_momenta[0].line
        if self.network != "particle_transformer":
            return {}
        if len(self.without_momenta) == len(self.kinds):
            self.remarks.note(
                names, "nothing says their four-momenta, so that pairs have no features", line
            )
        else:
            self.remarks.missing(
                "vectors of some",
                f"nothing says the four-momenta of {names}, so that no pairs have features; add "
                f"groups {self.without_momenta[0].name}_vectors of px, py, pz and energy",
                line,
            )
        return {"pair_bias": False}

    def _weights_to_start_from(self) -> None:
        if self.flags.load_model_weights is not None:
            self.remarks.missing(
                "--load-model-weights",
                f"make a run of {self.flags.load_model_weights} with parttag import, and give its "
                "directory as init_from: {path: RUN}",
            )

    def _data(
        self, sections: Mapping[str, dict[str, object]], jet_extra: Mapping[str, str]
    ) -> dict[str, object]:
        truth, file = self.truth, self.file
        columns: dict[str, object] = {}
        treename = file.content.get("treename")
        if treename is not None:
            columns["tree"] = str(treename)
        if not self.is_jetclass:
            one = self.has_one_kind
            columns["particles"] = next(iter(sections.values())) if one else dict(sections)
            if self.jet:
                columns["jet"] = self.jet
        columns |= self._labels()
        if truth.jet_weight is not None:
            columns["jet_weight"] = truth.jet_weight
        if jet_extra:
            columns["jet_extra"] = dict(jet_extra)
        formulas = needed(self.formulas, list(self.used | truth.used)) | truth.derived
        if formulas:
            columns["derived"] = formulas
        data: dict[str, object] = {"train": self._files("data_train")}
        for part in ("val", "test"):
            data[part] = self._files(f"data_{part}")
        if data["train"] and not data["val"]:
            self.remarks.missing(
                "--train-val-split",
                "weaver validates on the end of each file; name other files in data.val",
            )
        if columns:
            data["columns"] = columns
        if truth.classes:
            data["classes"] = truth.classes
        return {key: value for key, value in data.items() if value} | truth.data

    def _labels(self) -> dict[str, object]:
        if self.truth.files:
            return {"labels": {"files": self.truth.files}}
        if not self.truth.labels or self._has_jetclass_labels():
            return {}
        return {"labels": {"branches": self.truth.labels}}

    def _has_jetclass_labels(self) -> bool:
        return self.is_jetclass and all(
            label.startswith("label_") and label == branch and not self.formulas.is_new(label)
            for label, branch in self.truth.labels.items()
        )

    def _files(self, flag: str) -> list[str]:
        """Return files without the names of the groups that they are in."""
        given: list[str] = getattr(self.flags, flag)
        named = [text for text in given if ":" in text and "://" not in text]
        if named:
            self.remarks.note(
                _named(flag),
                "files need no names of groups: all jets are mixed; parttag evaluate "
                "takes groups one by one",
            )
        return [text.split(":", 1)[1] if text in named else text for text in given]

    def _conversion(self, content: dict[str, object], keep: tuple[str, ...]) -> Conversion:
        text = yaml.safe_dump(
            content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        )
        try:
            config = build_config(content)
        except InputError as error:
            raise InputError(f"{self.file.path} makes no configuration: {error}") from error
        return Conversion(
            config,
            text,
            tuple(self.remarks),
            keep,
            {
                kind.name: {role: group.name for role, group in kind.groups.items()}
                for kind in self.kinds
            },
            tuple(group.name for kind in self.of_jets for group in kind.groups.values()),
        )


def _named(flag: str) -> str:
    return "--" + flag.replace("_", "-")
