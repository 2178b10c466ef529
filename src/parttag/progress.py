"""Reports of how far long work is, without printing: the caller chooses what is shown."""

from collections.abc import Iterable
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")


@runtime_checkable
class Progress(Protocol):
    """Passes items through and reports them; the command line gives one that draws a bar."""

    def __call__(
        self, items: Iterable[Item], *, total: int | None, description: str
    ) -> Iterable[Item]:
        """Return the items, reporting each when it has been used."""
        ...


def no_progress(
    items: Iterable[Item],
    *,
    total: int | None,
    description: str,
) -> Iterable[Item]:
    """Return the items and report nothing: the default wherever a ``Progress`` is taken."""
    del total, description
    return items
