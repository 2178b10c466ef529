"""ROOT files: a TTree or an RNTuple, read through uproot, on this machine or another."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import awkward as ak

import parttag.data.readers.jetclass as jetclass
from parttag.data.readers.branches import require_branches
from parttag.data.readers.friends import Friend, open_friend
from parttag.data.readers.layout import Layout, Schema
from parttag.data.readers.root_trees import Tree, open_tree
from parttag.data.readers.slices import find, require
from parttag.jets.arrays import JetArrays


def count_jets(path: Path, layout: Layout | None) -> int:
    """Return the number of jets in the file."""
    with _open(path, layout) as file:
        leading = find((layout or jetclass).leading, file.tree.branches)
        file.tree.check_entries([leading.branch] if leading else [])
        return file.tree.num_entries


def read_schema(path: Path, layout: Layout | None) -> Schema:
    """Return what the file's jets have."""
    with _open(path, layout) as file:
        return (layout or jetclass).schema(file.branches, path)


def read_chunks(path: Path, chunk_jets: int, layout: Layout | None) -> Iterator[JetArrays]:
    """Yield the file's jets in its order, at most ``chunk_jets`` at a time."""
    meaning: Layout = layout or jetclass
    with _open(path, layout) as file:
        names = meaning.branches_to_read(file.branches, path)
        for first_row, branches in file.chunks(names, chunk_jets, meaning.max_particles):
            jets = meaning.to_jets(branches, path, first_row)
            del branches
            yield jets
            del jets  # before the next ones are read


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the branches."""
    with _open(path, layout) as file:
        return file.branches


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole branches by name."""
    most = (layout or jetclass).max_particles
    with _open(path, layout) as file:
        require_branches(names, file.branches, path)
        if file.tree.num_entries == 0:
            file.tree.check_entries(file.own(names))
            return file.taken(file.tree.read(file.own(names), 0, 0), names)
        parts = [part for _, part in file.chunks(names, file.tree.num_entries, most)]
        return {name: ak.concatenate([part[name] for part in parts]) for name in names}


@dataclass(frozen=True)
class _File:
    """The tree with the jets, and its friends."""

    tree: Tree
    friends: tuple[Friend, ...]

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches of all of them."""
        friends = [name for friend in self.friends for name in friend.branches]
        return tuple(dict.fromkeys([*self.tree.branches, *friends]))

    def own(self, names: Sequence[str]) -> list[str]:
        """Return the branches of the tree itself that names stand for."""
        found = [find(name, self.tree.branches) for name in names]
        return list(dict.fromkeys(one.branch for one in found if one is not None))

    def chunks(
        self, names: Sequence[str], number: int, most: int
    ) -> Iterator[tuple[int, dict[str, ak.Array]]]:
        """Yield the first entry and the branches of all entries, at most so many at a time.

        Parameters
        ----------
        most
            Particles that a jet may have.
        """
        tree, path = self.tree, self.tree.path
        of_friends = self._of_friends(names)
        keys = {name for friend in of_friends for name in friend.on}
        branches = self.own([*names, *keys]) or list(tree.branches[:1])
        tree.check_entries(branches)
        for friend, own in of_friends.items():
            friend.check(own, tree.num_entries, path)
        number = min(number, tree.entries_at_a_time(branches, most))
        first_row = 0
        for chunk in tree.chunks(branches, number):
            found = self.taken(chunk, [*names, *keys])
            length = len(next(iter(chunk.values())))
            for friend, own in of_friends.items():
                rows = friend.rows(found, first_row, length, path)
                found |= friend.read(own, rows, most)
            wanted = {name: found[name] for name in names}
            del chunk, found
            yield first_row, wanted
            first_row += length
            del wanted  # before the next ones are read

    def taken(self, chunk: Mapping[str, ak.Array], names: Sequence[str]) -> dict[str, ak.Array]:
        """Return what names stand for, of branches of the tree itself."""
        selections = {name: find(name, self.tree.branches) for name in names}
        return {
            name: one.of_lists(chunk[one.branch], f"{self.tree.path}: {name}")
            for name, one in selections.items()
            if one is not None
        }

    def _of_friends(self, names: Sequence[str]) -> dict[Friend, list[str]]:
        found: dict[Friend, list[str]] = {}
        for name in names:
            if find(name, self.tree.branches) is not None:
                continue
            friends = (one for one in self.friends if find(name, one.branches) is not None)
            found.setdefault(next(friends), []).append(name)
        for friend in found:
            for name in friend.on:
                require(name, self.tree.branches, self.tree.path)
        return found


@contextmanager
def _open(path: Path, layout: Layout | None) -> Iterator[_File]:
    wanted = layout.tree if layout else None
    with ExitStack() as stack:
        tree = stack.enter_context(open_tree(path, wanted))
        friends = [
            stack.enter_context(open_friend(options, path, wanted))
            for options in (layout.friends if layout else ())
        ]
        yield _File(tree, tuple(friends))
