"""Read thousands of damaged files of every format, and count what came of it.

python scripts/fuzz_readers.py --number 600 --json fuzz.json

Each file is read in a process of its own kind, with a limit on its time and memory: a hang, a crash
of a library and an allocation of terabytes are counted like everything else.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from helpers.damage import WRITERS, damages, outcome, repeated_jets  # noqa: E402
from parttag.data.readers import read_chunks  # noqa: E402
from parttag.jets.arrays import JetArrays, concatenate  # noqa: E402

MEMORY_BYTES = 6 << 30
TIME_LIMIT_S = 60


def main() -> None:
    """Print the counts of each format as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=600, help="damaged files of each format")
    parser.add_argument("--jets", type=int, default=25, help="jets in a file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*", default=list(WRITERS), choices=list(WRITERS))
    parser.add_argument("--json", type=Path, help="write the counts and the worst cases here")
    options = parser.parse_args()
    results = {}
    for kind in options.formats:
        results[kind] = fuzz(kind, options.number, options.jets, options.seed)
        print(kind, dict(results[kind]["counts"]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


def fuzz(kind: str, number: int, num_jets: int, seed: int) -> dict[str, Any]:
    """Return the counts of outcomes, and what was done to the files with the unwanted ones."""
    counts: Counter[str] = Counter()
    cases: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = WRITERS[kind](Path(folder) / "whole", repeated_jets(num_jets))
        whole = concatenate(list(read_chunks(path)))
        content = path.read_bytes()
        damaged = Path(folder) / "damaged"
        worker = Worker(whole)
        for case, (what, changed) in zip(range(number), damages(content, seed), strict=False):
            damaged.write_bytes(changed)
            result = worker.outcome(damaged)
            counts[result.split(":")[0]] += 1
            cases.setdefault(result, []).append(f"{case}: {what} of {len(content)}")
        worker.end()
    return {"counts": counts, "bytes": len(content), "cases": cases}


class Worker:
    """A process that reads what it is given, and is replaced when it hangs or dies."""

    def __init__(self, whole: JetArrays) -> None:
        self.whole = whole
        self.start()

    def start(self) -> None:
        """Start a process in the place of the last one."""
        self.connection, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=serve, args=(other, self.whole))
        self.process.start()
        other.close()

    def outcome(self, path: Path) -> str:
        """Return what came of a file."""
        self.connection.send(path)
        try:
            if self.connection.poll(TIME_LIMIT_S):
                return str(self.connection.recv())
            result = "hang"
        except EOFError:
            self.process.join()
            result = f"crash: exit code {self.process.exitcode}"
        self.end()
        self.start()
        return result

    def end(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join()


def serve(connection: Connection, whole: JetArrays) -> None:
    """Read the files that are asked for, until killed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        connection.send(outcome(connection.recv(), whole))


if __name__ == "__main__":
    main()
