"""Jet tagging with the Particle Transformer: from files of jets to background rejection.

    import parttag as pt

    run = pt.load("runs/first")
    scores = run.predict("data_*.root")

The names of ``__all__`` are the interface of parttag; each is loaded when it is first used, so that
``import parttag`` takes no time. Whatever has no name here may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parttag import plotting as plot
    from parttag.api import register
    from parttag.api.check import check
    from parttag.api.convert import convert_weaver
    from parttag.api.inspection import compare_samples, inspect, layouts
    from parttag.api.jets import (
        download,
        from_awkward,
        open_store,
        prepare,
        read,
        simulate,
    )
    from parttag.api.pretrained import pretrained
    from parttag.api.runs import (
        Run,
        batch,
        benchmark,
        compare,
        ensemble,
        import_weaver,
        load,
        report,
        train,
    )
    from parttag.data.loading.loader import JetLoader as Loader
    from parttag.errors import InputError
    from parttag.evaluation.scores import Scores
    from parttag.jets.arrays import JetArrays
    from parttag.jets.batch import JetBatch
    from parttag.metrics.report import Report
    from parttag.models.tagger import Tagger
    from parttag.runs.config import RunConfig
    from parttag.training.objectives.objective import Objective

    __version__: str

__all__ = [
    "InputError",
    "JetArrays",
    "JetBatch",
    "Loader",
    "Objective",
    "Report",
    "Run",
    "RunConfig",
    "Scores",
    "Tagger",
    "__version__",
    "batch",
    "benchmark",
    "check",
    "compare",
    "compare_samples",
    "convert_weaver",
    "download",
    "ensemble",
    "from_awkward",
    "import_weaver",
    "inspect",
    "layouts",
    "load",
    "open_store",
    "plot",
    "prepare",
    "pretrained",
    "read",
    "register",
    "report",
    "simulate",
    "train",
]

# Where each name is; an empty one after the colon is a module.
_HOMES = {
    "InputError": "errors:InputError",
    "JetArrays": "jets.arrays:JetArrays",
    "JetBatch": "jets.batch:JetBatch",
    "Loader": "data.loading.loader:JetLoader",
    "Objective": "training.objectives.objective:Objective",
    "Report": "metrics.report:Report",
    "Run": "api.runs:Run",
    "RunConfig": "runs.config:RunConfig",
    "Scores": "evaluation.scores:Scores",
    "Tagger": "models.tagger:Tagger",
    "batch": "api.runs:batch",
    "benchmark": "api.runs:benchmark",
    "check": "api.check:check",
    "compare": "api.runs:compare",
    "compare_samples": "api.inspection:compare_samples",
    "convert_weaver": "api.convert:convert_weaver",
    "download": "api.jets:download",
    "ensemble": "api.runs:ensemble",
    "from_awkward": "api.jets:from_awkward",
    "import_weaver": "api.runs:import_weaver",
    "inspect": "api.inspection:inspect",
    "layouts": "api.inspection:layouts",
    "load": "api.runs:load",
    "open_store": "api.jets:open_store",
    "plot": "plotting:",
    "prepare": "api.jets:prepare",
    "pretrained": "api.pretrained:pretrained",
    "read": "api.jets:read",
    "register": "api.register:",
    "report": "api.runs:report",
    "simulate": "api.jets:simulate",
    "train": "api.runs:train",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, inside = _HOMES[name].partition(":")
    found = import_module(f"{__name__}.{module}")
    value = getattr(found, inside) if inside else found
    globals()[name] = value
    return value


def _version() -> str:
    # When it is asked for: looking it up takes longer than all the rest of this.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("parttag")
    except PackageNotFoundError:  # the source alone, not installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
