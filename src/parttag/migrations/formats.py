"""Formats with versions: which ones are read, and the steps from one to the next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from parttag.errors import InputError

VERSION_KEY = "schema_version"

Content = dict[str, Any]
"""What a file holds, by name."""

_LONGEST_NUMBER = 10**9


class NewerFormatError(InputError):
    """A file of a newer parttag: what is wrong is not the file."""


@dataclass(frozen=True)
class Format:
    """A kind of file whose form has changed, or may.

    Parameters
    ----------
    name
        What the file is, for messages: ``"store"``.
    steps
        From each version to the next, beginning with the oldest that is read. A step may leave
        parts of its input in its output, and changes none of it.
    oldest
        The first version that is read.
    if_older
        What to do with a file that is older, for messages.
    """

    name: str
    steps: tuple[Callable[[Content], Content], ...]
    oldest: int = 0
    if_older: str = "make it again"

    @property
    def version(self) -> int:
        """The version that is written."""
        return self.oldest + len(self.steps)

    def upgraded(self, content: Mapping[str, Any], where: object, unmarked: int = 0) -> Content:
        """Return the content of a file as a file of the present version has it.

        Parameters
        ----------
        where
            The file, for messages.
        unmarked
            The version of a file that has no ``schema_version``.

        Raises
        ------
        NewerFormatError
            If a newer parttag has made the file.
        InputError
            If its version is none, or is no longer read.
        """
        version = self._readable(content.get(VERSION_KEY, unmarked), where)
        upgraded = dict(content)
        for step in self.steps[version - self.oldest :]:
            upgraded = step(upgraded)
        return {**upgraded, VERSION_KEY: self.version}

    def _readable(self, version: Any, where: object) -> int:
        if isinstance(version, bool) or not isinstance(version, int) or version < 0:
            raise InputError(
                f"{where}: {VERSION_KEY} is {shown(version)}, which is no version of a "
                f"{self.name}; versions are whole numbers, at present {self.version}"
            )
        if version > self.version:
            raise NewerFormatError(
                f"{where} was made by a newer parttag: it is a {self.name} of {VERSION_KEY} "
                f"{shown(version)}, and this parttag reads up to {self.version}; update parttag"
            )
        if version < self.oldest:
            raise InputError(
                f"{where} is a {self.name} of {VERSION_KEY} {version}, but this parttag reads "
                f"{self.oldest} and later: {self.if_older}"
            )
        return version


def shown(value: Any) -> str:
    """Return a value in a few letters, for a message; Python refuses to write very long numbers."""
    if isinstance(value, int) and abs(value) > _LONGEST_NUMBER:
        return "a number of many digits"
    if isinstance(value, str | int | float | None):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:40]}…"
    return f"a {type(value).__name__}"
