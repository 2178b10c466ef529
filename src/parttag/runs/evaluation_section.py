"""The section ``evaluation`` of a configuration: read, completed, and changed by the caller."""

from collections.abc import Mapping, Sequence
from typing import Any

from parttag.metrics import EvaluationOptions
from parttag.migrations.evaluations import earlier_options
from parttag.options import Options, read_options
from parttag.runs.yaml_files import parse_text

# Keys of the section that name classes.
_OF_CLASSES = {"background", "working_points", "discriminant"}


class _Evaluation(Options):
    evaluation: EvaluationOptions


def with_evaluation(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose section ``evaluation`` says what it leaves open.

    Where it says nothing of background and signal efficiencies, the names of the classes do.
    """
    data, section = content.get("data"), content.get("evaluation", {})
    if not isinstance(data, Mapping) or not isinstance(section, Mapping):
        return dict(content)  # which is refused as it is
    section, classes = dict(section), data.get("classes")
    if isinstance(classes, Mapping) and not section.keys() & _OF_CLASSES:
        section |= earlier_options([str(name) for name in classes])
    return {**content, "evaluation": section}


def drop_other_classes(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a configuration without what a file says of classes that overrides have replaced.

    Background and signals of the section ``evaluation`` are classes of the file.
    """
    changed = {override.partition("=")[0] for override in overrides}
    section = content.get("evaluation")
    if not isinstance(section, dict) or not any(
        f"{key}.".startswith("data.classes.") for key in changed
    ):
        return content
    ours = {
        key: value
        for key, value in section.items()
        if key not in _OF_CLASSES or any(f"{c}.".startswith(f"evaluation.{key}.") for c in changed)
    }
    return {**content, "evaluation": ours}


def parse_evaluation(options: EvaluationOptions, changes: Mapping[str, Any]) -> EvaluationOptions:
    """Return options of an evaluation with some keys replaced.

    A new ``background`` takes with it what the old one's signals had of their own, the
    ``discriminant`` and working points by class, unless they are replaced too.

    Parameters
    ----------
    changes
        By key; also as texts, as the command line gives them: ``QCD,light`` for the background,
        ``0.5,0.3`` or the YAML ``{top: [0.5, 0.3]}`` for the working points.

    Raises
    ------
    InputError
        If a text is no YAML, a key is unknown, or a value is wrong.
    """
    values: dict[str, Any] = options.model_dump()
    if "background" in changes:
        values["discriminant"] = {}
        if isinstance(values["working_points"], dict):
            del values["working_points"]
    for key, value in changes.items():
        values[key] = _parse_list(key, value) if isinstance(value, str) else value
    return read_options(_Evaluation, {"evaluation": values}).evaluation


def _parse_list(key: str, text: str) -> Any:
    """Return what a text means in which the brackets of a list may be left out."""
    if key in ("background", "metrics"):  # names, which are no YAML: a class may be called 1
        return [name.strip() for name in text.strip(" []").split(",") if name.strip()]
    if key == "tables":
        return parse_text("evaluation.tables", text)
    is_bare = not text.lstrip().startswith(("[", "{"))
    return parse_text(f"evaluation.{key}", f"[{text}]" if is_bare else text)
