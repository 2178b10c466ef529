"""What the sections ``targets`` and ``objective.tasks`` need of the data, and of one another."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator

from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns
from parttag.errors import InputError
from parttag.jets.targets import JET_REFERENCES, TargetOptions
from parttag.options import Options
from parttag.training.objectives import ObjectiveOptions
from parttag.training.objectives.classify import ClassificationOptions
from parttag.training.objectives.task_options import CLASSIFY, ORIGIN, VERTEX, TasksOptions

_OWN = (CLASSIFY, ORIGIN, VERTEX)


def _checked(name: str) -> str:
    if not (name.isidentifier() and name.isascii()) or name in _OWN:
        raise ValueError(
            f"{name!r:.60} cannot be the name of a target: take letters, digits and _, and none of "
            f"{', '.join(_OWN)}"
        )
    return name


TargetName = Annotated[str, AfterValidator(_checked)]
"""Of a target: columns of predictions are named after it."""


def learned_targets(
    objective: ObjectiveOptions, targets: Mapping[str, TargetOptions]
) -> dict[str, TargetOptions]:
    """Return the targets that are among the tasks."""
    if not isinstance(objective, TasksOptions):
        return {}
    return {name: targets[name] for name in objective.targets if name in targets}


def check_tasks(
    objective: ObjectiveOptions, targets: Mapping[str, TargetOptions], classes: tuple[str, ...]
) -> None:
    """Refuse tasks that nothing knows, and weights of classes that there are not.

    Raises
    ------
    InputError
        If there are such.
    """
    classification: Options | None = objective
    key = "objective.class_weights"
    if isinstance(objective, TasksOptions):
        for name in objective.targets:
            if name not in targets:
                known = [*targets, *_OWN]
                near = get_close_matches(name, known, n=1, cutoff=0)[0]
                raise InputError(
                    f"objective.tasks.{name}: there is no such task; the nearest is {near}; name "
                    f"one of {', '.join(_OWN)}, or describe {name} in targets"
                )
        classification = objective.classify
        key = f"objective.tasks.{CLASSIFY}.class_weights"
    if isinstance(classification, ClassificationOptions):
        unknown = [name for name in classification.class_weights if name not in classes]
        if unknown:
            raise InputError(
                f"{key}.{unknown[0]}: data.classes has no such class (it has "
                f"{', '.join(classes) or 'none'})"
            )


def with_references(wanted: WantedColumns, targets: Mapping[str, TargetOptions]) -> WantedColumns:
    """Return the columns that a network needs, those that targets are relative to among them."""
    asked = {
        column: f"targets.{name}.relative_to"
        for name, target in targets.items()
        for column in target.reference_column
    }
    jets = tuple(dict.fromkeys((*wanted.jets, *asked)))
    return replace(wanted, jets=jets, asked=(*wanted.asked, *asked.items()))


def with_truth(
    wanted: WantedColumns,
    objective: ObjectiveOptions,
    targets: Mapping[str, TargetOptions],
    columns: ColumnsOptions | None,
) -> WantedColumns:
    """Return these columns and those of the truth: of jets, and of their particles."""
    if not isinstance(objective, TasksOptions):
        return wanted
    asked = {
        target.column: f"targets.{name}.column"
        for name, target in targets.items()
        if target.column not in JET_REFERENCES
    }
    jets = tuple(dict.fromkeys((*wanted.jets, *asked)))
    optional: list[str] = []
    for name, target in targets.items():
        for column in target.compared:
            if column in (*JET_REFERENCES, *jets, *optional):
                continue
            if target.beside is not None:
                asked[column] = f"targets.{name}.beside"
                jets = (*jets, column)
            else:
                optional.append(column)
    of_particles = {
        column: f"objective.tasks.{task}.column"
        for task, own in objective.particle_columns.items()
        for column in own
    }
    of_kinds = tuple(
        (kind, tuple(dict.fromkeys((*own, *_of_kind(kind, tuple(of_particles), columns)))))
        for kind, own in wanted.of_kinds
    )
    return replace(
        wanted,
        jets=jets,
        optional=tuple(column for column in optional if column not in jets),
        particles=tuple(dict.fromkeys((*wanted.particles, *of_particles))),
        of_kinds=of_kinds,
        asked=(*wanted.asked, *asked.items(), *of_particles.items()),
    )


def _of_kind(kind: str, names: tuple[str, ...], columns: ColumnsOptions | None) -> tuple[str, ...]:
    """Return which of the columns a kind of particles has: those it names, or all if none does."""
    if columns is None or not columns.kinds:
        return names
    kinds = [name for name, _ in columns.kinds]
    extra = [section.extra for section in columns.sections]
    own = extra[kinds.index(kind)] if kind in kinds else {}
    return tuple(n for n in names if n in own or not any(n in other for other in extra))
