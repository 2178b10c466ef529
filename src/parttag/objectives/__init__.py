"""What a network is trained for."""

from collections.abc import Callable

from parttag.models import Tagger
from parttag.objectives.classify import Classify, ClassifyOptions
from parttag.objectives.objective import BatchSums, Objective

__all__ = ["BatchSums", "Objective", "ObjectiveOptions", "build_objective"]

ObjectiveOptions = ClassifyOptions
"""The options of any objective, told apart by ``name``."""

_OBJECTIVES: dict[str, Callable[[ObjectiveOptions, Tagger], Objective]] = {
    "classify": lambda _options, _model: Classify(),
}


def build_objective(options: ObjectiveOptions, model: Tagger) -> Objective:
    """Return the objective that ``options`` name, for a network whose head it may replace.

    Raises
    ------
    InputError
        If the network cannot be trained for it.
    """
    return _OBJECTIVES[options.name](options, model)
