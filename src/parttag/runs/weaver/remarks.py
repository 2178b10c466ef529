"""What is to be said of a conversion: what has no counterpart, and what is done otherwise."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["missing", "assumed", "note"]


@dataclass(frozen=True)
class Remark:
    """One thing to know of a conversion.

    Parameters
    ----------
    kind
        ``missing``: the file says it and parttag cannot. ``assumed``: the file does not say it, and
        the configuration needs it. ``note``: it means the same here, or nothing.
    what
        The construct, in few words: a key or a flag.
    sentence
        What is missing and what to do.
    line
        Of the data configuration; none for the command line.
    """

    kind: Kind
    what: str
    sentence: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{self.kind}: {where}{self.what}: {self.sentence}"


@dataclass
class Remarks:
    """The remarks of a conversion, each once."""

    all: list[Remark] = field(default_factory=list)

    def __iter__(self) -> Iterator[Remark]:
        return iter(self.all)

    def missing(self, what: str, sentence: str, line: int | None = None) -> None:
        """Say what parttag cannot."""
        self._add(Remark("missing", what, sentence, line))

    def assumed(self, what: str, sentence: str, line: int | None = None) -> None:
        """Say what the file leaves open."""
        self._add(Remark("assumed", what, sentence, line))

    def note(self, what: str, sentence: str, line: int | None = None) -> None:
        """Say what is done otherwise, or needs nothing."""
        self._add(Remark("note", what, sentence, line))

    def _add(self, remark: Remark) -> None:
        if remark not in self.all:
            self.all.append(remark)
