"""ROOT files: a TTree or an RNTuple, read through uproot, on this machine or another."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import xxhash

import parttag.data.readers.jetclass as jetclass
from parttag.data.readers.layout import Layout, Schema
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.system.files import refuse_damaged
from parttag.system.root_files import open_root

_TREE_NAME = "tree"
_TREE_CLASSES = ("TTree", "ROOT::RNTuple")


def count_jets(path: Path, layout: Layout | None) -> int:
    """Return the number of jets in the file."""
    with _open_tree(path, layout) as tree:
        return tree.num_jets


def read_schema(path: Path, layout: Layout | None) -> Schema:
    """Return what the file's jets have."""
    with _open_tree(path, layout) as tree:
        return (layout or jetclass).schema(tree.branches, path)


def read_chunks(path: Path, chunk_jets: int, layout: Layout | None) -> Iterator[JetArrays]:
    """Yield the file's jets in its order, at most ``chunk_jets`` at a time."""
    meaning: Layout = layout or jetclass
    with _open_tree(path, layout) as tree:
        names = meaning.branches_to_read(tree.branches, path)
        # Unlike one read a chunk, this decompresses a basket that spans two chunks only once.
        chunks = tree.content.iterate(names, step_size=chunk_jets, how=dict)
        first_row = 0
        while first_row < tree.num_jets:
            with refuse_damaged(path):
                branches = next(chunks)
            jets = meaning.to_jets(branches, path, first_row)
            yield jets
            first_row += len(jets)


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the branches."""
    with _open_tree(path, layout) as tree:
        return tree.branches


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole branches by name."""
    with _open_tree(path, layout) as tree, refuse_damaged(path):
        branches: dict[str, ak.Array] = tree.content.arrays(list(names), how=dict)
        return branches


@dataclass(frozen=True)
class _Tree:
    content: Any
    branches: tuple[str, ...]
    num_jets: int


@contextmanager
def _open_tree(path: Path, layout: Layout | None) -> Iterator[_Tree]:
    with refuse_damaged(path):
        file = open_root(path)
    with file:
        name = _tree_name(file, path, layout.tree if layout else None)
        with refuse_damaged(path):
            content = file[name]
            if content.classname == "ROOT::RNTuple":
                _check_page_lists(content)
            tree = _Tree(content, tuple(content.keys()), content.num_entries)
        yield tree


def _check_page_lists(ntuple: Any) -> None:
    """Compare the checksums of what says where an RNTuple's pages are; uproot leaves that out."""
    for record in ntuple.footer.cluster_group_records:
        link = record.page_list_link
        chunk, _ = ntuple.read_locator(link.locator, link.env_uncomp_size)
        content = bytes(chunk.raw_data)
        if xxhash.xxh3_64_intdigest(content[:-8]) != int.from_bytes(content[-8:], "little"):
            raise ValueError("the checksum of a page list is wrong")


def _tree_name(file: Any, path: Path, wanted: str | None) -> str:
    """Return the wanted name; else ``tree`` if there is one; else the name of the only one."""
    with refuse_damaged(path):
        names = file.keys(cycle=False, filter_classname=lambda name: name in _TREE_CLASSES)
    if not names:
        raise InputError(
            f"{path} has no TTree; jets are read from one named {wanted or _TREE_NAME}"
        )
    if wanted is not None and wanted not in names:
        raise InputError(
            f"{path} has no TTree named {wanted} but {', '.join(names)}: correct data.columns.tree"
        )
    if wanted is not None or _TREE_NAME in names:
        return wanted or _TREE_NAME
    if len(names) > 1:
        raise InputError(
            f"{path} has no TTree named {_TREE_NAME} but {', '.join(names)}; rename the one with "
            f"the jets to {_TREE_NAME}, or name it in data.columns.tree"
        )
    return str(names[0])
