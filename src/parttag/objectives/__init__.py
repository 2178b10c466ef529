"""What a network is trained for."""

from collections.abc import Callable

from parttag.objectives.classify import Classify, ClassifyOptions
from parttag.objectives.objective import BatchSums, Objective

__all__ = ["BatchSums", "Objective", "ObjectiveOptions", "build_objective"]

ObjectiveOptions = ClassifyOptions
"""The options of any objective, told apart by ``name``."""

_OBJECTIVES: dict[str, Callable[[], Objective]] = {"classify": Classify}


def build_objective(options: ObjectiveOptions) -> Objective:
    """Return the objective that ``options`` name."""
    return _OBJECTIVES[options.name]()
