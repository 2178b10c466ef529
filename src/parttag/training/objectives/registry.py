"""The register of what networks can be trained for, and how an objective is added.

As for networks (``models/registry.py``): a class of options with the name, and a decorator.
"""

from collections.abc import Callable
from typing import TypeVar

from parttag.models import Tagger
from parttag.options import check_name
from parttag.plugins import Registry
from parttag.training.objectives.objective import Objective, ObjectiveOptions, Truth

OBJECTIVES: Registry[type[Objective]] = Registry("objective")
"""Every objective by name: those of parttag, and those of plug-ins."""

AnyObjective = TypeVar("AnyObjective", bound=Objective)


def register_objective(name: str) -> Callable[[type[AnyObjective]], type[AnyObjective]]:
    """Register the objective that is decorated.

    Parameters
    ----------
    name
        What ``objective.name`` of a configuration calls it; the default of the field ``name`` of
        its ``options_class``, whose type is that word alone.

    Raises
    ------
    InputError
        If the name is taken, or the options have another.
    """

    def register(objective: type[AnyObjective]) -> type[AnyObjective]:
        check_name("objective", name, objective, ObjectiveOptions)
        OBJECTIVES.add(name, objective)
        return objective

    return register


def build_objective(
    options: ObjectiveOptions, model: Tagger, truth: Truth | None = None
) -> Objective:
    """Return the objective that ``options`` name, and put its head, if any, on the network.

    Parameters
    ----------
    truth
        The classes and targets of the configuration, of objectives that are about them.

    Raises
    ------
    InputError
        If the network cannot be trained for it.
    """
    objective = OBJECTIVES[options.name](options)
    objective.truth = Truth() if truth is None else truth
    head = objective.build_head(model)
    if head is not None:
        model.head = head
    return objective
