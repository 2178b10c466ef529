"""Count rooms, arrows between them, files, lines and docstrings of src/parttag.

    python scripts/structure.py [--source src/parttag]

A room is a file or folder; an arrow is "one room imports another", counted once a pair. Floors are
the length of the longest way along arrows. Run it in two checkouts to compare them.
"""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path


def modules(source: Path) -> dict[str, Path]:
    """Return every module below the package by its dotted name."""
    found = {}
    for path in source.rglob("*.py"):
        parts = path.relative_to(source.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                found.add(inside if inside in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
    return found


def arrows(graph: dict[str, set[str]], place: str) -> set[tuple[str, str]]:
    """Return which rooms right inside a place import which others there."""
    depth = place.count(".") + 1

    def room(module: str) -> str | None:
        parts = module.split(".")
        inside = module.startswith(place + ".")
        return parts[depth] if inside else None

    pairs = {(room(one), room(other)) for one, others in graph.items() for other in others}
    return {(a, b) for a, b in pairs if a and b and a != b}


def floors(pairs: set[tuple[str, str]]) -> int:
    """Return how many rooms the longest way along arrows passes."""

    def height(room: str) -> int:
        return 1 + max((height(below) for above, below in pairs if above == room), default=0)

    return max((height(room) for room, _ in pairs), default=1)


def documented(path: Path) -> Iterator[bool]:
    """Yield for each public function, class and method whether it has a docstring."""

    def visit(body: list[ast.stmt]) -> Iterator[bool]:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            exempt = any("noqa: D" in line for line in lines[node.lineno - 1 : node.body[0].lineno])
            if not node.name.startswith("_") and not exempt:
                yield ast.get_docstring(node) is not None
                if isinstance(node, ast.ClassDef):
                    yield from visit(node.body)

    lines = path.read_text().splitlines()
    yield ast.get_docstring(ast.parse(path.read_text())) is not None
    yield from visit(ast.parse(path.read_text()).body)


def patches(tests: Path) -> int:
    """Return how often tests replace a constant of a module: an upper-case name."""
    number = 0
    for path in tests.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in {"setattr", "setitem"} or not node.args:
                continue
            names = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
            names += [a.attr for a in node.args[:1] if isinstance(a, ast.Attribute)]
            last = [str(name).rsplit(".", 1)[-1].lstrip("_") for name in names]
            number += any(name.isupper() and len(name) > 1 for name in last)
    return number


def main() -> None:
    """Print the numbers, one a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=Path("src/parttag"))
    parser.add_argument("--tests", type=Path, default=Path("tests"))
    options = parser.parse_args()
    known = modules(options.source)
    package = options.source.name
    graph = {name: imports(path, known) for name, path in known.items() if name != package}
    top = arrows(graph, package)
    inside = [p for p in options.source.iterdir() if not p.name.startswith("__")]
    rooms = {path.stem for path in inside if path.suffix == ".py" or path.is_dir()}
    lengths = {path: len(path.read_text().splitlines()) for path in known.values()}
    longest = max(lengths, key=lambda path: lengths[path])
    said = [is_said for path in known.values() for is_said in documented(path)]
    print(f"files: {len(lengths)}, lines: {sum(lengths.values()):,}")
    print(f"rooms at the top: {len(rooms)}, arrows: {len(top)}, floors: {floors(top)}")
    for place in ("data", "evaluation", "ops", "benchmarks", "cli"):
        folder = options.source / place
        entries = {p.stem for p in folder.iterdir() if p.name != "__init__.py"} - {"__pycache__"}
        files = sum(folder in path.parents for path in lengths)
        pairs = arrows(graph, f"{package}.{place}")
        print(f"{place}/: {files} files, {len(entries)} entries, {len(pairs)} arrows")
    below = {
        other
        for name, others in graph.items()
        if name.startswith(f"{package}.cli")
        for other in others
        if other != package and other.split(".")[1] not in {"cli", "api", "errors"}
    }
    print(f"modules besides api and errors that cli imports: {len(below)}")
    print(f"longest file: {longest.relative_to(options.source)}, {lengths[longest]} lines")
    print(f"public docstrings: {sum(said)} of {len(said)}, {sum(said) / len(said):.2%}")
    print(f"patches of module constants in tests: {patches(options.tests)}")


if __name__ == "__main__":
    main()
