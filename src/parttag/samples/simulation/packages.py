"""The optional packages that simulation needs, and the versions that decide what comes out."""

from importlib import metadata
from importlib.util import find_spec

from parttag import __version__
from parttag.errors import InputError

_REQUIRED = ("pythia8mc", "fastjet")


def require_packages() -> None:
    """Check that the optional packages are installed, without importing them.

    Raises
    ------
    InputError
        If one is missing; the message says how to install it.
    """
    missing = [name for name in _REQUIRED if find_spec(name) is None]
    if missing:
        raise InputError(
            f"simulation needs {' and '.join(missing)}, not installed here; "
            'install with: pip install "parttag[sim]"'
        )


def package_versions() -> dict[str, str]:
    """Return the versions of everything that the simulated jets depend on."""
    names = (*_REQUIRED, "numpy")
    return {"parttag": __version__, **{name: metadata.version(name) for name in names}}
