"""Convert a folder of public data configurations of weaver-core, and say what stops the rest.

    python scripts/survey_weaver.py FOLDER [--most 5]

``FOLDER`` holds one folder a repository. Files of the same content count once, ``*.auto.yaml``
not at all. ``--most`` takes only so many of each repository, those of the smallest SHA-256, so that
no repository decides. A file is converted whole if nothing is among what is missing.
"""

import argparse
import hashlib
import re
from collections import Counter, defaultdict
from pathlib import Path

from parttag import InputError, convert_weaver

_REASONS = {
    "regression, no classes": r"custom label",
    "no particles: numbers of events": r"no group of inputs is of particles",
    "one label only": r"has 1 entries",
    "no YAML or no formula (broken in the source)": r"is no formula|this is not YAML",
    "an unknown key (of a fork)": r"knows no key",
    "a function that is not allowed": r"the function|is not allowed",
}


def outcome(path: Path) -> tuple[str, list[str]]:
    """Return whole, part or not, and why."""
    try:
        missing = convert_weaver(path).missing
    except InputError as error:
        reasons = [name for name, text in _REASONS.items() if re.search(text, str(error))]
        return "not", reasons[:1] or [re.sub(r"line \d+", "line N", str(error))[-90:]]
    return ("part" if missing else "whole"), sorted({remark.what for remark in missing})


def different_files(folder: Path, most: int | None) -> dict[str, list[Path]]:
    """Return the files of each repository, each content once."""
    seen: set[str] = set()
    found: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for path in sorted(folder.rglob("*.y*ml")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if ".auto." in path.name or digest in seen:
            continue
        seen.add(digest)
        found[path.relative_to(folder).parts[0]].append((digest, path))
    return {name: [path for _, path in sorted(own)[:most]] for name, own in found.items()}


def main() -> None:
    """Print a table of repositories and one of reasons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, help="files of one repository")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    why: Counter[tuple[str, str]] = Counter()
    print("| repository | whole | in part | not |\n|---|---|---|---|")
    for name, paths in different_files(options.folder, options.most).items():
        counts: Counter[str] = Counter()
        for path in paths:
            result, reasons = outcome(path)
            counts[result] += 1
            why.update((reason, result) for reason in reasons)
        total += counts
        print(f"| {name} | {counts['whole']} | {counts['part']} | {counts['not']} |", flush=True)
    number = sum(total.values())
    print(f"| all {number} | {total['whole']} | {total['part']} | {total['not']} |")
    print(f"\nwhole: {total['whole'] / max(number, 1):.0%}\n\n| what stops the rest | | files |")
    print("|---|---|---|")
    for (reason, result), count in why.most_common():
        print(f"| {reason} | {result} | {count} |")


if __name__ == "__main__":
    main()
