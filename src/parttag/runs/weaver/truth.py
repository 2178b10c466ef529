"""Labels, selections and weights of a data configuration."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from parttag.runs.weaver.formulas import Formulas, called, parsed
from parttag.runs.weaver.remarks import Remarks
from parttag.runs.weaver.source import WeaverFile, Weights

TRAINING, TESTING = "selected", "selected_in_test"
_WEIGHT = "jet_weight_of_weaver"
_LABEL_KEYS = ("type", "value", "value_custom", "value_cls_index", "value_cls_names")
_QUANTITIES = {"pt": "jet_pt", "eta": "jet_eta", "mass": "jet_mass", "energy": "jet_energy"}


@dataclass
class Truth:
    """What the sections ``data.columns.labels``, ``classes``, ``cuts`` and ``reweight`` become.

    Parameters
    ----------
    labels
        Branches by label.
    classes
        Labels by class.
    derived
        Formulas that are no new variables of the file.
    used
        Names of variables in use.
    """

    labels: dict[str, str] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    used: dict[str, None] = field(default_factory=dict)
    files: dict[str, object] = field(default_factory=dict)
    data: dict[str, object] = field(default_factory=dict)
    jet_weight: str | None = None

    def add_label(self, name: str, formulas: Formulas) -> str:
        """Return the label of a name or formula that is 1 for its jets."""
        if name.isidentifier():
            if name not in self.derived:
                self.used[name] = None
            self.labels[name] = formulas.branch(name)
            return name
        label = f"label_{len(self.labels)}"
        self.derived[label] = formulas.text(name, "labels", "value")
        self.used |= dict.fromkeys(formulas.names(self.derived[label]))
        self.labels[label] = label
        return label


def add_labels(truth: Truth, file: WeaverFile, formulas: Formulas, remarks: Remarks) -> None:
    """Take over the labels.

    Raises
    ------
    InputError
        If they are none that weaver-core knows.
    """
    section = file.section("labels")
    kind, value = section.get("type"), section.get("value")
    if "value_cls_index" in section and isinstance(section.get("value_cls_names"), list):
        value = _numbered(truth, section, formulas)
    if kind not in ("simple", "custom", "hybrid"):
        raise file.wrong("labels.type must be simple or custom", "labels", "type")
    if kind == "custom":
        value = _one_hot(value, file, formulas)
    if not isinstance(value, list) or not value:
        raise file.wrong("labels.value must be a list of labels", "labels", "value")
    names = [str(name) for name in value]
    magic = file.section("file_magic")
    if all(name in magic for name in names):
        _add_labels_of_files(truth, names, magic)
    for name in names:
        label = name if name in truth.files else truth.add_label(name, formulas)
        short = name.removeprefix("label_") if name.isidentifier() else label
        truth.classes[short or name] = [label]
    if len(truth.classes) < 2:
        remarks.missing(
            "one class",
            "a classifier needs two or more classes: name the other one",
            file.line("labels", "value"),
        )
    if kind == "hybrid":
        remarks.missing(
            "regression",
            "value_custom asks for numbers besides the classes, which parttag does not learn: "
            "only the classes are taken over",
            file.line("labels", "value_custom"),
        )
    for key in section:
        if key not in _LABEL_KEYS and section[key] is not None:
            remarks.missing(
                f"labels.{key}",
                "weaver-core knows no such key; it is left out",
                file.line("labels", key),
            )


def _add_labels_of_files(truth: Truth, names: list[str], magic: Mapping[str, object]) -> None:
    for name in names:
        patterns = magic[name]
        if isinstance(patterns, Mapping):
            truth.files[name] = [f"*{text}*" for text, is_set in patterns.items() if is_set]


def _numbered(truth: Truth, section: Mapping[str, object], formulas: Formulas) -> list[object]:
    """Return labels that are numbers of a branch, as weaver-core-dev has them."""
    index, names = str(section["value_cls_index"]), section["value_cls_names"]
    assert isinstance(names, list)
    truth.used[index] = None
    found: list[object] = []
    for number, name in enumerate(map(str, names)):
        label = f"{name}_by_number" if formulas.is_new(name) else name
        truth.derived[label] = f"{formulas.branch(index)} == {number}"
        found.append(label)
    return found


def _one_hot(value: object, file: WeaverFile, formulas: Formulas) -> list[object]:
    """Return the labels of which a custom label is the largest.

    Raises
    ------
    InputError
        If it is another number.
    """
    if not isinstance(value, Mapping) or not value:
        raise file.wrong("labels.value must be a mapping of formulas", "labels", "value")
    name, formula = str(next(iter(value))), str(next(iter(value.values())))
    tree = parsed(formula)
    if isinstance(tree, ast.Name) and formulas.is_new(tree.id):
        tree = formulas.tree(tree.id)
    names = _stacked(tree) if len(value) == 1 else None
    if names is None:
        raise file.wrong(
            f"the custom label {name} is no choice among labels: parttag learns classes, not "
            "numbers; write it as np.argmax(np.stack([label_a, label_b], axis=1), axis=1)",
            "labels",
            "value",
            name,
        )
    return list(names)


def _stacked(tree: ast.expr) -> list[str] | None:
    """Return a, b, … of ``np.argmax(np.stack([a, b, …], axis=1), axis=1)``."""
    if called(tree) != "argmax" or not isinstance(tree, ast.Call) or not tree.args:
        return None
    stack = tree.args[0]
    if called(stack) not in ("stack", "column_stack") or not isinstance(stack, ast.Call):
        return None
    parts = stack.args[0] if stack.args else None
    return [ast.unparse(p) for p in parts.elts] if isinstance(parts, ast.List | ast.Tuple) else None


def add_selections(
    truth: Truth,
    file: WeaverFile,
    formulas: Formulas,
    extra: Mapping[str, str],
) -> None:
    """Take over the selections, as cuts on formulas.

    Parameters
    ----------
    extra
        More conditions, of the command line, by ``selection`` and ``test_time_selection``.
    """
    train = file.formula("selection")
    test = file.formula("test_time_selection") or train
    found: dict[str, str] = {}
    for name, key, own in (
        (TRAINING, "selection", train),
        (TESTING, "test_time_selection", test),
    ):
        parts = [part for part in (own, extra.get(key)) if part]
        text = " & ".join(f"({part})" for part in parts) if len(parts) > 1 else "".join(parts)
        if not text:
            continue
        at = key if file.formula(key) else "selection"
        found[name] = formulas.text(text, at)
        truth.used |= dict.fromkeys(formulas.names(found[name]))
    cut: dict[str, object] = {"min": 1}
    if TRAINING in found:
        truth.derived[TRAINING] = found[TRAINING]
        truth.data["cuts"] = {"columns": {TRAINING: cut}}
    if found.get(TESTING) != found.get(TRAINING):
        columns = {}
        if TESTING in found:
            truth.derived[TESTING] = found[TESTING]
            columns = {TESTING: cut}
        truth.data["test_cuts"] = {"columns": columns}


def add_weights(
    truth: Truth,
    file: WeaverFile,
    formulas: Formulas,
    remarks: Remarks,
    jet: Mapping[str, object],
    *,
    keeps_histograms: bool,
) -> None:
    """Take over the weights, which weaver draws jets by, and parttag multiplies the loss with."""
    weights = file.weights
    if weights is None:
        return
    remarks.note(
        "weights",
        "weaver draws jets so often; here each counts so much, in every epoch",
        weights.line,
    )
    if weights.branches:
        _set_weight(truth, formulas, " * ".join(weights.branches), "weight_branches")
        return
    if weights.base is not None:
        _set_weight(truth, formulas, weights.base, "reweight_basewgt")
    reweight = _reweighting(truth, weights, formulas, jet)
    if weights.method not in ("flat", "ref"):
        raise file.wrong("reweight_method must be flat or ref", "weights", "reweight_method")
    if keeps_histograms and weights.histograms is not None:
        reweight["factors"] = {
            name: weights.histograms[name] for name in weights.classes if name in weights.histograms
        }
    elif weights.histograms is not None:
        remarks.note(
            "reweight_hists",
            "measured anew on the training jets, as weaver does without --no-remake-weights; give "
            "that flag to take the saved numbers over",
            file.line("weights", "reweight_hists"),
        )
    truth.data["reweight"] = reweight


def _set_weight(truth: Truth, formulas: Formulas, text: str, key: str) -> None:
    if text.isidentifier():
        truth.used[text] = None
        truth.jet_weight = formulas.branch(text)
        return
    truth.derived[_WEIGHT] = formulas.text(text, "weights", key)
    truth.used |= dict.fromkeys(formulas.names(truth.derived[_WEIGHT]))
    truth.jet_weight = _WEIGHT


def _reweighting(
    truth: Truth, weights: Weights, formulas: Formulas, jet: Mapping[str, object]
) -> dict[str, object]:
    known = {str(branch): _QUANTITIES[part] for part, branch in jet.items() if part in _QUANTITIES}
    by: dict[str, object] = {}
    for name, edges in weights.variables.items():
        branch = formulas.branch(name)
        if branch not in known:
            truth.used[name] = None
        by[known.get(branch, branch)] = list(edges)
    names = weights.classes[: len(weights.class_weights)]
    labels = {name: [truth.add_label(name, formulas)] for name in names}
    found: dict[str, object] = {
        "by": by,
        "to": names[0] if weights.method == "ref" else "flat",
        "threshold": weights.threshold,
    }
    if list(labels.values()) == list(truth.classes.values()):
        # The same classes: by the names that the training calls them.
        names = tuple(truth.classes)
        found["to"] = names[0] if weights.method == "ref" else "flat"
    else:
        found["classes"] = labels
    if any(weight != 1 for weight in weights.class_weights):
        found["class_weights"] = dict(zip(names, weights.class_weights, strict=False))
    if not weights.discards_outside:
        found["outside"] = "edge"
    return found
