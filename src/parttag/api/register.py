"""Decorators that add networks, objectives, features, metrics and readers to parttag.

A package that names the module of its decorators in the group ``parttag.plugins`` of entry points
is found wherever parttag looks a name up; see ``parttag.plugins``.

    import parttag as pt

    @pt.register.metric("mean_logit")
    def mean_logit(logits, labels, jet_weights, classes, options):
        return float(logits.mean())
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parttag.data.readers.registry import register_reader as reader
    from parttag.jets.features import register_feature as feature
    from parttag.metrics.registry import register_metric as metric
    from parttag.models.registry import register_model as model
    from parttag.training.objectives.registry import register_objective as objective

__all__ = ["feature", "metric", "model", "objective", "reader"]

# A reader or a metric needs no torch: so each is loaded when it is first used.
_HOMES = {
    "feature": "jets.features",
    "metric": "metrics.registry",
    "model": "models.registry",
    "objective": "training.objectives.registry",
    "reader": "data.readers.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"parttag.{_HOMES[name]}"), f"register_{name}")
