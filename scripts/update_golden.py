"""Write tests/golden/training.json anew: what networks and objectives give, bit for bit.

    OMP_NUM_THREADS=1 python scripts/update_golden.py [NAME ...]

Only to be used in a change that is meant to move a number, or that adds a network or an objective,
and then with the names of the cases in question: all others keep their numbers. That needs the
processor and the torch that the file was made with. Without names everything is measured again,
for another processor or another torch; let tests/test_golden.py pass on the old ones first. The
message of the commit says which numbers moved, and why.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.golden import CASES, PATH, fingerprint, measure, train_others, write_numbers


def main() -> None:
    """Measure the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases; all if none is named")
    names = parser.parse_args().names
    unknown = set(names) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    old = json.loads(PATH.read_text()) if names else {"cases": {}}
    if names and old["made_with"] != fingerprint():
        parser.error(f"the other cases were made with {old['made_with']}, not {fingerprint()}")
    kept = {name: numbers for name, numbers in old["cases"].items() if name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        train_others(Path(folder))
        for name in names or CASES:
            kept[name] = measure(CASES[name], Path(folder))
    write_numbers(kept)
    print(f"{len(names or CASES)} of {len(kept)} cases measured; see git diff {PATH.name}")


if __name__ == "__main__":
    main()
