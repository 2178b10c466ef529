"""ROOT files in JetClass's layout: a TTree or an RNTuple, read through uproot."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import uproot

from parttag.data.files import refuse_damaged
from parttag.data.readers.jetclass import branches_to_read, require_branches, to_jets
from parttag.errors import InputError
from parttag.jets import JetArrays

_TREE_NAME = "tree"
_TREE_CLASSES = ("TTree", "ROOT::RNTuple")


def count_jets(path: Path) -> int:
    """Return the number of jets in the file."""
    with _open_tree(path) as tree:
        return tree.num_jets


def read_chunks(path: Path, chunk_jets: int) -> Iterator[JetArrays]:
    """Yield the file's jets in its order, at most ``chunk_jets`` at a time."""
    with _open_tree(path) as tree:
        names = branches_to_read(tree.branches, path)
        # Unlike one read a chunk, this decompresses a basket that spans two chunks only once.
        chunks = tree.content.iterate(names, step_size=chunk_jets, how=dict)
        first_row = 0
        while first_row < tree.num_jets:
            with refuse_damaged(path):
                branches = next(chunks)
            jets = to_jets(branches, path, first_row)
            yield jets
            first_row += len(jets)


def read_branches(path: Path, names: Sequence[str]) -> dict[str, ak.Array]:
    """Return whole branches by name."""
    with _open_tree(path) as tree:
        require_branches(names, tree.branches, path)
        with refuse_damaged(path):
            branches: dict[str, ak.Array] = tree.content.arrays(list(names), how=dict)
        return branches


@dataclass(frozen=True)
class _Tree:
    content: Any
    branches: tuple[str, ...]
    num_jets: int


@contextmanager
def _open_tree(path: Path) -> Iterator[_Tree]:
    with refuse_damaged(path):
        # The cache would keep 100 MB of branches that are read only once.
        file = uproot.open(path, array_cache=None)
    with file:
        name = _tree_name(file, path)
        with refuse_damaged(path):
            content = file[name]
            tree = _Tree(content, tuple(content.keys()), content.num_entries)
        yield tree


def _tree_name(file: Any, path: Path) -> str:
    """Return ``tree`` if the file has one of that name, else the name of the only one there is."""
    with refuse_damaged(path):
        names = file.keys(cycle=False, filter_classname=lambda name: name in _TREE_CLASSES)
    if not names:
        raise InputError(f"{path} has no TTree; jets are read from one named {_TREE_NAME}")
    if _TREE_NAME in names:
        return _TREE_NAME
    if len(names) > 1:
        raise InputError(
            f"{path} has no TTree named {_TREE_NAME} but {', '.join(names)}; "
            f"rename the one with the jets to {_TREE_NAME}"
        )
    return str(names[0])
