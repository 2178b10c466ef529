"""ROOT files: a TTree or an RNTuple, read through uproot, on this machine or another."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import awkward as ak
import numpy as np
import xxhash

import parttag.data.readers.jetclass as jetclass
from parttag.data.readers.layout import Layout, Schema, too_many_particles
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import RemotePath
from parttag.system.root_files import open_root

_TREE_NAME = "tree"
_TREE_CLASSES = ("TTree", "ROOT::RNTuple")
# Of a branch, what is read together: ten times 10,000 jets of the public sets.
_STEP_BYTES = 1 << 24
_MOST_BYTES_A_VALUE = 8


def count_jets(path: Path, layout: Layout | None) -> int:
    """Return the number of jets in the file."""
    with _open_tree(path, layout) as tree:
        _check_entries(tree, {(layout or jetclass).leading} & {*tree.branches}, path)
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
        _check_entries(tree, names, path)
        number = min(chunk_jets, _jets_at_a_time(tree, names, meaning.max_particles, path))
        chunks = tree.content.iterate(names, step_size=number, how=dict)
        first_row = 0
        while first_row < tree.num_jets:
            with refuse_damaged(path):
                branches = next(chunks)
            yield meaning.to_jets(branches, path, first_row)
            first_row += len(branches[names[0]])


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the branches."""
    with _open_tree(path, layout) as tree:
        return tree.branches


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole branches by name."""
    with _open_tree(path, layout) as tree:
        _check_entries(tree, names, path)
        with refuse_damaged(path):
            branches: dict[str, ak.Array] = tree.content.arrays(list(names), how=dict)
        return branches


def _check_entries(tree: "_Tree", names: Iterable[str], path: Path) -> None:
    """Refuse a TTree that claims other numbers of entries than its baskets have.

    uproot believes the tree, and works without end, or makes up entries. The baskets of files on
    other machines are not asked: that would be a request each.

    Raises
    ------
    InputError
        If the numbers differ.
    """
    if tree.content.classname == "ROOT::RNTuple":
        return
    with ExitStack() as stack, refuse_damaged(path):
        is_here = not isinstance(path, RemotePath)
        file = stack.enter_context(path.open("rb")) if is_here else None
        for name in names:
            branch = tree.content[name]
            numbers = np.diff(branch.entry_offsets)
            if numbers.min(initial=0) < 0 or numbers.sum() != tree.num_jets:
                raise ValueError(f"{name} has not as many entries as the tree")
            places = (
                branch.member("fBasketSeek")[: len(numbers)] if len(branch.branches) == 0 else ()
            )
            for place, number in zip(places, numbers, strict=False):
                if (
                    file is not None
                    and place > 0
                    and _entries_of_basket(file, int(place)) != number
                ):
                    raise ValueError(f"a basket of {name} has not the entries that it should have")


def _entries_of_basket(file: BinaryIO, place: int) -> int:
    """Return the number of entries that a basket says it has, at the end of its key."""
    start = os.pread(file.fileno(), 16, place)
    key_length = int.from_bytes(start[14:16], "big")
    return int.from_bytes(os.pread(file.fileno(), 4, place + key_length - 9), "big")


def _jets_at_a_time(tree: "_Tree", names: Sequence[str], most: int, path: Path) -> int:
    """Return a number of jets that fit into memory, by what a TTree says of its branches.

    Raises
    ------
    InputError
        If it says that jets have more particles than they may, on average.
    """
    mean = 0
    for name in names if tree.num_jets else ():
        with refuse_damaged(path):
            num_bytes = int(getattr(tree.content[name], "uncompressed_bytes", 0))
        mean = max(mean, num_bytes // tree.num_jets)
        if mean > most * _MOST_BYTES_A_VALUE:
            at_least = f"at least {mean // _MOST_BYTES_A_VALUE:,}"
            raise too_many_particles(path, at_least, most, name)
    return max(1, _STEP_BYTES // max(1, mean))


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
