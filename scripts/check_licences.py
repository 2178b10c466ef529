"""Check the licences of what parttag needs, as the installed packages state them.

python scripts/check_licences.py

Packages under the GPL may be in extras (``sim``, ``dev``) only: whoever installs parttag without
extras, or distributes it so, needs none of them. A package that states no licence is an error, too,
unless its licence was looked up and is written down here.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.markers import default_environment
from packaging.requirements import Requirement

FREE = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla|ISC|BSL|Boost|Zlib|CC0|"
    r"HPND|Unlicense|NVIDIA)\b",
    re.IGNORECASE,
)
COPYLEFT = re.compile(r"\b[AL]?GPL|GNU", re.IGNORECASE)
# Looked up in the sources of the package, whose metadata say nothing.
LOOKED_UP = {
    "hdf5plugin": "MIT, and those of the filters that it holds (BSD, Apache, MIT, zlib)",
}
EXTRAS_ALLOWED = ("sim", "export", "track", "dask", "remote", "dev")


def licences(found: Distribution) -> str:
    """Return what a package says of its licence: expression, else classifiers, else first line."""
    metadata = found.metadata
    name = found.metadata["Name"].lower()
    if metadata.get("License-Expression"):
        return str(metadata["License-Expression"])
    classifiers = [
        text.rpartition("::")[2].strip()
        for text in metadata.get_all("Classifier") or ()
        if text.startswith("License ::")
    ]
    text = (metadata.get("License") or "").strip()
    return LOOKED_UP.get(name) or "; ".join(classifiers) or text.partition("\n")[0]


def needed(name: str, extra: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what a package requires here, and the extras of that which it asks for."""
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        environment = {**default_environment(), "extra": extra}
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement.name, frozenset(requirement.extras)


def closure(extra: str = "") -> dict[str, str]:
    """Return the licences of all that parttag, or an extra of it, needs and that is installed."""
    waiting = [("parttag", extra)]
    seen: set[tuple[str, str]] = set()
    found: dict[str, str] = {}
    while waiting:
        name, own = waiting.pop()
        if (name.lower(), own) in seen:
            continue
        seen.add((name.lower(), own))
        try:
            found[name.lower()] = licences(distribution(name))
            below = list(needed(name, own))
        except PackageNotFoundError:
            continue  # of an extra that is not installed
        waiting += [(other, e) for other, extras in below for e in ("", *extras)]
    return found


def problems(core: dict[str, str], extras: dict[str, str]) -> list[str]:
    """Return what is wrong with the licences, one sentence each."""
    sentences = []
    for name, licence in core.items():
        if COPYLEFT.search(licence):
            sentences.append(f"{name} ({licence}) is needed without extras")
    for name, licence in {**extras, **core}.items():
        if not FREE.search(licence) and not COPYLEFT.search(licence):
            sentences.append(f"{name} states no licence that is known here: {licence!r}")
    return sentences


def main() -> int:
    """Print the packages and what is wrong; return the exit code."""
    core = closure()
    extras = {n: text for extra in EXTRAS_ALLOWED for n, text in closure(extra).items()}
    wrong = problems(core, extras)
    copyleft = sorted(name for name, text in extras.items() if COPYLEFT.search(text))
    print(f"{len(core)} packages without extras, none of them under the GPL" if not wrong else "")
    print(f"{len(extras)} with those extras that are installed; GPL: {', '.join(copyleft)}")
    print("\n".join(wrong), file=sys.stderr if wrong else sys.stdout)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
