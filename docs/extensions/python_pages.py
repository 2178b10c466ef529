"""The Python reference: every public name, from its docstring."""

import inspect
from collections.abc import Mapping
from types import ModuleType

from markdown import index, plain

import parttag

GROUPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "jets": (
        "Jets and files",
        (
            "read", "from_awkward", "JetArrays", "JetBatch", "batch", "prepare", "open_store",
            "Loader", "inspect", "compare_samples", "layouts", "simulate", "download",
        ),
    ),
    "runs": (
        "Training and runs",
        (
            "train", "load", "Run", "RunConfig", "pretrained", "import_weaver", "benchmark",
            "compare", "check",
        ),
    ),
    "results": ("Scores and reports", ("Scores", "Report", "plot")),
    "extending": ("Extending parttag", ("register", "Tagger", "Objective", "InputError")),
}  # fmt: skip
"""Page: its title and its names; names that no page has are on the page `other`."""


def pages() -> Mapping[str, str]:
    """Return the pages of the public names."""
    public = set(parttag.__all__) - {"__version__"}
    grouped = {name for _, names in GROUPS.values() for name in names}
    groups = dict(GROUPS)
    if public - grouped:
        groups["other"] = ("More", tuple(sorted(public - grouped)))
    made = {
        f"python/{page}": _page(title, names, public) for page, (title, names) in groups.items()
    }
    made["python/index"] = index(
        "Python",
        "`import parttag as pt`; these names are the interface; all others may change.",
        groups,
    )
    return made


def _page(title: str, names: tuple[str, ...], public: set[str]) -> str:
    blocks = [_block(name) for name in names if name in public]
    return "\n\n".join([f"# {title}", *blocks])


def _block(name: str) -> str:
    of = getattr(parttag, name)
    if not isinstance(of, ModuleType):
        kind = "autoclass" if isinstance(of, type) else "autofunction"
        return f"## {name}\n\n" + _directive(kind, f"parttag.{name}", isinstance(of, type))
    functions = [key for key in of.__all__ if inspect.isfunction(getattr(of, key))]
    blocks = [f"## {name}", plain(inspect.getdoc(of) or "")]
    blocks += [_directive("autofunction", f"{of.__name__}.{key}", False) for key in functions]
    return "\n\n".join(blocks)


def _directive(kind: str, path: str, with_members: bool) -> str:
    members = "   :members:\n" if with_members else ""
    return f"```{{eval-rst}}\n.. {kind}:: {path}\n{members}```"
