"""TTrees and RNTuples of ROOT files, read through uproot."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import awkward as ak
import numpy as np
import xxhash

from parttag.data.readers.layout import TreeNames, too_many_particles
from parttag.data.readers.patterns import matches
from parttag.errors import InputError
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import RemotePath
from parttag.system.root_files import open_root

_TREE_NAME = "tree"
_TREE_CLASSES = ("TTree", "ROOT::RNTuple")
# Of a branch, and of all, what is read together: more than 10,000 jets of the public sets.
_STEP_BYTES, _ALL_STEP_BYTES = 1 << 24, 1 << 26
_MOST_BYTES_A_VALUE = 8


@dataclass(frozen=True)
class Tree:
    """A tree of an open file."""

    path: Path
    content: Any
    branches: tuple[str, ...]
    num_entries: int

    def check_entries(self, names: Iterable[str]) -> None:
        """Refuse a TTree that claims other numbers of entries than its baskets have.

        uproot believes the tree, and works without end, or makes up entries. The baskets of files
        on other machines are not asked: that would be a request each.

        Raises
        ------
        InputError
            If the numbers differ.
        """
        if self.content.classname == "ROOT::RNTuple":
            return
        with ExitStack() as stack, refuse_damaged(self.path):
            is_here = not isinstance(self.path, RemotePath)
            file = stack.enter_context(self.path.open("rb")) if is_here else None
            for name in names:
                self._check_branch(name, file)

    def _check_branch(self, name: str, file: BinaryIO | None) -> None:
        branch = self.content[name]
        numbers = np.diff(branch.entry_offsets)
        if numbers.min(initial=0) < 0 or numbers.sum() != self.num_entries:
            raise ValueError(f"{name} has not as many entries as the tree")
        if file is None or len(branch.branches):
            return
        places = branch.member("fBasketSeek")[: len(numbers)]
        for place, number in zip(places, numbers, strict=False):
            if place > 0 and _entries_of_basket(file, int(place)) != number:
                raise ValueError(f"a basket of {name} has not the entries that it should have")

    def entries_at_a_time(self, names: Iterable[str], most: int) -> int:
        """Return a number of entries that fit into memory, by what a TTree says of its branches.

        Raises
        ------
        InputError
            If it says that jets have more particles than they may, on average.
        """
        largest = total = 0
        for name in names if self.num_entries else ():
            with refuse_damaged(self.path):
                num_bytes = int(getattr(self.content[name], "uncompressed_bytes", 0))
            mean = num_bytes // self.num_entries
            if mean > most * _MOST_BYTES_A_VALUE:
                at_least = f"at least {mean // _MOST_BYTES_A_VALUE:,}"
                raise too_many_particles(self.path, at_least, most, name)
            largest, total = max(largest, mean), total + mean
        return max(1, min(_STEP_BYTES // max(1, largest), _ALL_STEP_BYTES // max(1, total)))

    def chunks(self, names: Sequence[str], number: int) -> Iterator[dict[str, ak.Array]]:
        """Yield branches, so many entries at a time.

        Unlike a read of each chunk, this decompresses a basket that spans two chunks only once.
        """
        chunks = self.content.iterate(list(names), step_size=number, how=dict)
        done = 0
        while done < self.num_entries:
            with refuse_damaged(self.path):
                branches: dict[str, ak.Array] = next(chunks)
            done += len(next(iter(branches.values())))
            yield branches
            del branches  # before the next ones are read

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, ak.Array]:
        """Return the entries of branches from one to another."""
        with refuse_damaged(self.path):
            branches: dict[str, ak.Array] = self.content.arrays(
                list(names), entry_start=start, entry_stop=stop, how=dict
            )
        return branches


@contextmanager
def open_tree(path: Path, wanted: TreeNames) -> Iterator[Tree]:
    """Open a tree of a file.

    Raises
    ------
    InputError
        If the file cannot be read, or has no such tree, or none is wanted by name and it has
        several, of which none is named ``tree``.
    """
    with refuse_damaged(path):
        file = open_root(path)
    with file:
        name = _tree_name(file, path, wanted)
        with refuse_damaged(path):
            content = file[name]
            if content.classname == "ROOT::RNTuple":
                _check_page_lists(content)
            tree = Tree(path, content, tuple(content.keys()), content.num_entries)
        yield tree


def _entries_of_basket(file: BinaryIO, place: int) -> int:
    """Return the number of entries that a basket says it has, at the end of its key."""
    start = os.pread(file.fileno(), 16, place)
    key_length = int.from_bytes(start[14:16], "big")
    return int.from_bytes(os.pread(file.fileno(), 4, place + key_length - 9), "big")


def _check_page_lists(ntuple: Any) -> None:
    """Compare the checksums of what says where an RNTuple's pages are; uproot leaves that out."""
    for record in ntuple.footer.cluster_group_records:
        link = record.page_list_link
        chunk, _ = ntuple.read_locator(link.locator, link.env_uncomp_size)
        content = bytes(chunk.raw_data)
        if xxhash.xxh3_64_intdigest(content[:-8]) != int.from_bytes(content[-8:], "little"):
            raise ValueError("the checksum of a page list is wrong")


def tree_names(file: Any, path: Path, *, cycle: bool = False) -> list[str]:
    """Return the names of an open file's trees, in directories too."""
    with refuse_damaged(path):
        names: list[str] = file.keys(
            cycle=cycle, filter_classname=lambda name: name in _TREE_CLASSES
        )
    return list(dict.fromkeys(names))


def _tree_name(file: Any, path: Path, wanted: TreeNames) -> str:
    """Return the wanted name; else ``tree`` if there is one; else the name of the only one."""
    names = tree_names(file, path)
    candidates = _candidates(path, wanted)
    if not names:
        raise InputError(
            f"{path} has no TTree; jets are read from one named "
            f"{' or '.join(candidates) or _TREE_NAME}"
        )
    for candidate in candidates:
        there = tree_names(file, path, cycle=True) if ";" in candidate else names
        if candidate in there:
            return candidate
    if candidates:
        raise InputError(
            f"{path} has no TTree named {' or '.join(candidates)} but {', '.join(names)}: correct "
            "data.columns.tree"
        )
    if _TREE_NAME in names:
        return _TREE_NAME
    if len(names) > 1:
        raise InputError(
            f"{path} has no TTree named {_TREE_NAME} but {', '.join(names)}; rename the one with "
            f"the jets to {_TREE_NAME}, or name it in data.columns.tree"
        )
    return names[0]


def _candidates(path: Path, wanted: TreeNames) -> tuple[str, ...]:
    if isinstance(wanted, Mapping):
        for pattern, name in wanted.items():
            if matches(path, pattern):
                return (name,)
        raise InputError(
            f"{path} matches none of the patterns in data.columns.tree ({', '.join(wanted)}): add "
            'one, or "*" for all others'
        )
    return (wanted,) if isinstance(wanted, str) else wanted or ()
