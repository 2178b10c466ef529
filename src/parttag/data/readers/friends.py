"""Friend trees: branches of the same entries in trees of their own, found by equal numbers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Int64, Shaped

from parttag.data.readers.friend_columns import FriendColumns
from parttag.data.readers.layout import TreeNames
from parttag.data.readers.patterns import matching
from parttag.data.readers.root_trees import Tree, open_tree
from parttag.data.readers.slices import find, require
from parttag.errors import InputError
from parttag.jets.packing import offsets_of

_KEY_ENTRIES = 1 << 20
# Entries of a friend that lie so much farther apart than they are many are looked for chunk by
# chunk, not read with all that lies between.
_SPREAD = 4


@dataclass(frozen=True, eq=False)
class Friend:
    """The trees of a friend, whose entries count as those of one tree."""

    trees: tuple[Tree, ...]
    on: tuple[str, ...]

    @property
    def branches(self) -> tuple[str, ...]:
        """What it adds."""
        return self.trees[0].branches

    @property
    def _name(self) -> str:
        return str(self.trees[0].path)

    @cached_property
    def _starts(self) -> Int64[np.ndarray, " trees_and_one"]:
        return offsets_of([tree.num_entries for tree in self.trees])

    def check(self, names: Sequence[str], num_entries: int, path: Path) -> None:
        """Check the friend's branches, and that it has as many entries where nothing matches them.

        Raises
        ------
        InputError
            If it has not, a file of the friend lacks a branch or is damaged.
        """
        total = int(self._starts[-1])
        if not self.on and total != num_entries:
            raise InputError(
                f"{path} has {num_entries:,} entries and its friend {self._name} {total:,}: name "
                "branches that are equal for the same entry in data.columns.friends (on: [run, "
                "event])"
            )
        for tree in self.trees:
            tree.check_entries([_branch(name, tree) for name in (*self.on, *names)])

    def rows(
        self, keys: Mapping[str, ak.Array], first_row: int, number: int, path: Path
    ) -> Int64[np.ndarray, " entries"]:
        """Return which entries of the friend belong to some entries of the tree with the jets.

        Raises
        ------
        InputError
            If none, or several, have the same numbers.
        """
        if not self.on:
            return np.arange(first_row, first_row + number)
        columns = [_whole_numbers(keys[name], name, path) for name in self.on]
        return self._index.rows(columns, self.on, first_row, path, self._name)

    def read(
        self, names: Sequence[str], rows: Int64[np.ndarray, " entries"], most: int
    ) -> dict[str, ak.Array]:
        """Return branches of these entries."""
        order = np.argsort(rows, kind="stable")
        parts: dict[str, list[ak.Array]] = {name: [] for name in names}
        for tree, start, stop in zip(self.trees, self._starts, self._starts[1:], strict=False):
            low, high = np.searchsorted(rows[order], [start, stop])
            own = rows[order][low:high] - start
            for branches in _read_rows(tree, names, own, most) if len(own) else ():
                for name in names:
                    selection = require(name, tree.branches, tree.path)
                    entries = selection.of_lists(branches[selection.branch], f"{tree.path}: {name}")
                    parts[name].append(entries)
        back = np.argsort(order, kind="stable")
        return {name: ak.concatenate(found)[back] for name, found in parts.items()}

    @cached_property
    def _index(self) -> "_Index":
        columns: dict[str, list[np.ndarray]] = {name: [] for name in self.on}
        for tree in self.trees:
            there = {name: _branch(name, tree) for name in self.on}
            for chunk in tree.chunks(list(there.values()), _KEY_ENTRIES):
                for name, branch in there.items():
                    columns[name].append(_whole_numbers(chunk[branch], name, tree.path))
        empty = np.empty(0, dtype=np.int64)
        return _Index([np.concatenate([empty, *columns[name]]) for name in self.on])


class _Index:
    """Entries by the numbers that they have in some columns."""

    def __init__(self, columns: Sequence[Int64[np.ndarray, " entries"]]) -> None:
        self.values = [np.unique(column) for column in columns]
        codes, _ = self._codes(columns)
        self.order = np.argsort(codes, kind="stable")
        self.codes = codes[self.order]

    def _codes(
        self, columns: Sequence[Int64[np.ndarray, " rows"]]
    ) -> tuple[Int64[np.ndarray, " rows"], Shaped[np.ndarray, " rows"]]:
        """Return one number for each row, equal for equal rows, and which rows can be there."""
        codes = np.zeros(len(columns[0]), dtype=np.int64)
        known = np.ones(len(columns[0]), dtype=bool)
        for values, column in zip(self.values, columns, strict=True):
            place = np.searchsorted(values, column).clip(max=max(0, len(values) - 1))
            known &= (values[place] == column) if len(values) else False
            codes = codes * max(1, len(values)) + place
        return codes, known

    def rows(
        self,
        columns: Sequence[Int64[np.ndarray, " entries"]],
        on: Sequence[str],
        first_row: int,
        path: Path,
        friend: str,
    ) -> Int64[np.ndarray, " entries"]:
        codes, known = self._codes(columns)
        first = np.searchsorted(self.codes, codes)
        number = np.searchsorted(self.codes, codes, side="right") - first
        wrong = np.flatnonzero(~known | (number != 1))
        if len(wrong):
            row = int(wrong[0])
            key = ", ".join(f"{n} {c[row]}" for n, c in zip(on, columns, strict=True))
            has = f"{number[row]} entries" if known[row] and number[row] else "no entry"
            raise InputError(
                f"{path}: of entry {first_row + row} ({key}) the friend {friend} has {has}, but "
                "must have one: correct data.columns.friends"
            )
        rows: np.ndarray = self.order[first]
        return rows


def _read_rows(
    tree: Tree, names: Sequence[str], rows: Int64[np.ndarray, " entries"], most: int
) -> Iterator[dict[str, ak.Array]]:
    """Yield branches of entries that rise, a few at a time."""
    branches = list(dict.fromkeys(_branch(name, tree) for name in names))
    low, high = int(rows[0]), int(rows[-1]) + 1
    step = tree.entries_at_a_time(branches, most)
    if high - low <= min(step, _SPREAD * len(rows)):
        yield {n: b[rows - low] for n, b in tree.read(branches, low, high).items()}
        return
    for start in range(low, high, step):
        stop = min(start + step, high)
        own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
        if len(own):
            yield {n: b[own - start] for n, b in tree.read(branches, start, stop).items()}


@contextmanager
def open_friend(options: FriendColumns, path: Path, tree: TreeNames) -> Iterator[Friend]:
    """Open the trees of a friend of a file.

    Raises
    ------
    InputError
        If a file is missing or cannot be read, or, without branches to compare, there are several
        files of which none has the name of the file itself.
    """
    paths = [found for pattern in options.files for found in _files(pattern)] or [path]
    if not options.on and len(paths) > 1:
        paths = [friend for friend in paths if friend.name == path.name]
        if len(paths) != 1:
            raise InputError(
                f"{path}: {len(paths)} of the files of data.columns.friends have its name; one "
                "must, or on must name branches that are equal for the same entry"
            )
    wanted = tree if options.tree is None and not options.files else options.tree
    with ExitStack() as stack:
        trees = tuple(stack.enter_context(open_tree(one, wanted)) for one in paths)
        yield Friend(trees, options.on)


def _files(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    found = [path] if path.exists() else matching(path)
    if not found:
        raise InputError(f"{pattern}: there is no such file; correct data.columns.friends")
    return found


def _branch(name: str, tree: Tree) -> str:
    found = find(name, tree.branches)
    if found is None:
        raise InputError(
            f"{tree.path}, a friend tree, has no branch {name}: correct data.columns.friends"
        )
    return found.branch


def _whole_numbers(values: ak.Array, name: str, path: Path) -> Int64[np.ndarray, " entries"]:
    numbers = ak.to_numpy(values) if values.ndim == 1 and not values.fields else np.empty(0)
    if numbers.dtype.kind not in "iu":
        raise InputError(
            f"{path}: {name} in data.columns.friends (on) must hold one whole number an entry"
        )
    return numbers.astype(np.int64)  # equal numbers stay equal, however large
