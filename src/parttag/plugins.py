"""What other packages add to parttag: registries, and the entry points that fill them.

A package names a module of its own in the group ``parttag.plugins``; importing it registers its
networks, objectives, features, metrics and readers:

    [project.entry-points."parttag.plugins"]
    mypackage = "mypackage.nets"
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from parttag.errors import InputError

GROUP = "parttag.plugins"

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Plugin:
    """A package that adds something to parttag."""

    package: str
    version: str


_REGISTRIES: "WeakSet[Registry[Any]]" = WeakSet()


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name: those of parttag, and those that plug-ins add.

    Looking an entry up loads the plug-ins first, so that those of other packages are there.

    Parameters
    ----------
    kind
        What the entries are, for messages: ``"network"``.
    """

    __hash__ = object.__hash__  # a registry is itself, whatever is in it

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}
        self._definitions: dict[str, object] = {}
        self._plugins: dict[str, Plugin] = {}
        _REGISTRIES.add(self)

    def add(self, name: str, entry: Entry, definition: object = None) -> None:
        """Add an entry.

        Parameters
        ----------
        name
            What it is looked up by.
        entry
            What a look-up returns.
        definition
            The class, function or module that the entry is about, if that is not the entry
            itself: it says whose it is. A value does not, and belongs to the plug-in that is being
            loaded.

        Raises
        ------
        InputError
            If the name is taken by something else.
        """
        definition = entry if definition is None else definition
        if name in self._entries and not _is_same(self._definitions[name], definition):
            raise InputError(f"there is a {self.kind} of the name {name} already; choose another")
        self._entries[name], self._definitions[name] = entry, definition
        if _LOADER.current is not None:
            self._plugins[name] = _LOADER.current

    def plugin_of(self, name: str) -> Plugin | None:
        """Return the plug-in that an entry came from; none for parttag's own, or a script's."""
        load_plugins()
        return self._owner(name) if name in self._entries else None

    def _owner(self, name: str) -> Plugin | None:
        module = _module_of(self._definitions[name])
        if module is not None:
            # What a plug-in imports first is not its own: a part of parttag, another plug-in.
            package = module.partition(".")[0]
            if package == "parttag" or package in _LOADER.by_package:
                return _LOADER.by_package.get(package)
        return self._plugins.get(name)

    def leave_out(self, plugin: Plugin) -> None:
        """Forget what a plug-in added before its import failed."""
        for name in [n for n in self._entries if self._owner(n) == plugin]:
            del self._entries[name], self._definitions[name]
            self._plugins.pop(name, None)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            load_plugins()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        load_plugins()
        return iter(dict(self._entries))

    def __len__(self) -> int:
        load_plugins()
        return len(self._entries)


def _is_same(one: object, other: object) -> bool:
    """Return whether two entries are one definition, as after a module was imported anew."""
    names = [
        (getattr(entry, "__module__", None), getattr(entry, "__qualname__", None))
        for entry in (one, other)
    ]
    return one is other or (names[0] == names[1] and None not in names[0])


def _module_of(definition: object) -> str | None:
    """Return where something is defined; ``None`` for a value, which does not say it."""
    if isinstance(definition, ModuleType):
        return definition.__name__
    return str(definition.__module__) if hasattr(definition, "__qualname__") else None


class _Loader:
    """Which plug-ins there are, and the one whose import is under way."""

    def __init__(self) -> None:
        self.loaded: tuple[Plugin, ...] | None = None
        self.by_package: dict[str, Plugin] = {}
        self.current: Plugin | None = None

    def load(self) -> tuple[Plugin, ...]:
        if self.loaded is None:
            self.loaded = ()  # what a plug-in looks up while it is imported loads none again
            self.loaded = tuple(p for point in entry_points(group=GROUP) if (p := self._one(point)))
        return self.loaded

    def _one(self, point: EntryPoint) -> Plugin | None:
        self.current = Plugin(point.name, "unknown")
        try:
            if (dist := point.dist) is not None:
                self.current = Plugin(dist.name or point.name, dist.version or "unknown")
            self.by_package[point.module.partition(".")[0]] = self.current
            point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever a foreign module raises)
            for registry in _REGISTRIES:
                registry.leave_out(self.current)
            warnings.warn(
                f"the plug-in {self.current.package} is left out: {point.value} cannot be imported "
                f"({type(error).__name__}: {error})",
                stacklevel=3,
            )
            return None
        else:
            return self.current
        finally:
            self.current = None


_LOADER = _Loader()


def load_plugins() -> tuple[Plugin, ...]:
    """Import the modules that other packages name, once; return the packages that loaded.

    A plug-in that cannot be imported is a warning that names it, and parttag goes on without it.
    """
    return _LOADER.load()
