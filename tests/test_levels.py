"""The shape of the house: a file imports only from a lower level, or from one listed before it."""

import ast
from pathlib import Path

import parttag

LEVELS = [
    ["errors", "printable", "options", "progress", "plugins", "migrations"],
    ["system", "jets", "metrics"],
    ["ops"],
    ["models", "data"],
    ["samples", "plotting"],
    ["inspection", "training"],
    ["runs"],
    ["evaluation"],
    ["benchmarks", "export"],
    ["testing"],
    ["api"],
    ["cli"],
]
ROOMS = [room for level in LEVELS for room in level]
SOURCE = Path(parttag.__file__).parent


def _imports(path: Path) -> set[str]:
    """Return the modules of parttag that a file imports, anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                part = f"{node.module}.{alias.name}"
                modules.add(part if _is_module(part) else node.module)
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {m for m in modules if m.startswith("parttag.") and m != "parttag.__version__"}


def _is_module(name: str) -> bool:
    path = SOURCE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_file_belongs_to_a_room():
    rooms = {path.stem if path.is_file() else path.name for path in SOURCE.iterdir()}
    assert rooms - {"__init__", "__pycache__", "py"} <= set(ROOMS)


def test_no_file_imports_upwards():
    upward = []
    for path in SOURCE.rglob("*.py"):
        if path == SOURCE / "__init__.py":
            continue
        own = ROOMS.index(_module_name(path).split(".")[1])
        upward += [
            f"{path.relative_to(SOURCE)} imports {module}"
            for module in _imports(path)
            if ROOMS.index(module.split(".")[1]) > own
        ]
    assert not upward


def test_no_cycle_between_files():
    graph = {_module_name(p): _imports(p) for p in SOURCE.rglob("*.py")}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done or module not in graph:
            return
        for imported in graph[module]:
            visit(imported, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_files_are_read_and_prepared_without_torch():
    """Whatever in ``data`` and ``inspection`` is not for training leaves torch alone."""
    rooms = [SOURCE / "data", SOURCE / "inspection", SOURCE / "system"]
    with_torch = {
        path.relative_to(SOURCE).parts[:2]
        for room in rooms
        for path in room.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name is not None and name.split(".")[0] == "torch"
    }
    assert with_torch == {("data", "loading")}


def test_the_command_line_knows_the_interface_and_its_errors_alone():
    below = {
        f"{path.name} imports {module}"
        for path in (SOURCE / "cli").rglob("*.py")
        for module in _imports(path)
        if module.split(".")[1] not in {"api", "cli", "errors", "printable"}
    }
    assert not below
