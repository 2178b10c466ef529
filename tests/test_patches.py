"""Tests that change a module from outside know too much of it: their number may only fall."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
# 60, and eight of the tests of foreign text and files, which stand in for terminals and archives.
MOST_PATCHES = 68
MOST_CONSTANTS = 22


def _patches(path: Path) -> list[tuple[str, bool]]:
    """Return each patch of a name of parttag in a file, and whether that is a constant."""
    tree = ast.parse(path.read_text())
    ours = {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if "parttag" in (getattr(node, "module", None) or alias.name)
    }
    found = []
    for node in ast.walk(tree):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if not is_call or node.func.attr not in ("setattr", "setitem"):
            continue
        target = ast.unparse(node.args[0]).strip("'")
        if target.split(".")[0] in {*ours, "parttag"}:
            names = [*target.split("."), *ast.unparse(node.args[1]).strip("'").split(".")]
            is_constant = any(name.strip("_").isupper() and len(name) > 1 for name in names)
            found.append((f"{path.name}:{node.lineno}", is_constant))
    return found


def test_patches_of_our_own_names_are_few():
    found = [patch for path in TESTS.rglob("*.py") for patch in _patches(path)]
    assert len(found) > 20  # else they are not seen
    assert len(found) <= MOST_PATCHES, [place for place, _ in found]
    constants = [place for place, is_constant in found if is_constant]
    assert len(constants) <= MOST_CONSTANTS, constants
