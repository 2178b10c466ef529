"""The one exception that is the user's to act on, and options in the words of who reads it."""

import re

STOPPED_BY_SIGINT, STOPPED_BY_SIGTERM = 128 + 2, 128 + 15
"""What a shell reports of a process that ended at signal 2 or 15."""


class InputError(Exception):
    """A file, branch, configuration key or option that parttag cannot use.

    The message is one sentence that names the culprit and says what to do. The command line
    prints it without a traceback and exits with code 2. An option that it names by ``option``
    reads ``overwrite=True`` in Python and ``--overwrite`` in the shell.

    Examples
    --------
    >>> error = InputError(f"scores.h5 exists already; add {option('overwrite')} to replace it")
    >>> str(error)
    'scores.h5 exists already; add overwrite=True to replace it'
    >>> error.for_shell()
    'scores.h5 exists already; add --overwrite to replace it'
    """

    def __str__(self) -> str:
        return _OPTION.sub(_in_python, super().__str__())

    def for_shell(self) -> str:
        """Return the message as the command line prints it."""
        return _OPTION.sub(_in_shell, super().__str__())


def option(name: str, value: str | bool = True) -> str:
    """Return what names an option in a message, with the value that it should have.

    An empty value stands for one that the caller chooses: ``out`` and ``--out``.
    """
    return f"\x1e{name}\x1f{value}\x1e"


_OPTION = re.compile("\x1e([a-z_]+)\x1f([^\x1e\x1f]*)\x1e")


def _in_python(match: re.Match[str]) -> str:
    name, value = match.groups()
    if not value:
        return name
    return f"{name}={value}" if value in ("True", "False") else f'{name}="{value}"'


def _in_shell(match: re.Match[str]) -> str:
    name, value = match.groups()
    flag = "--" + name.replace("_", "-")
    return flag if value in ("", "True") else f"{flag} {value}"
