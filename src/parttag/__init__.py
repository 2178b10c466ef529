"""Jet tagging with the Particle Transformer: from ROOT files to background rejection."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Look the version up when it is asked for: that takes longer than the rest of this."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("parttag")
        except PackageNotFoundError:  # the source alone, not installed
            return "0+unknown"
