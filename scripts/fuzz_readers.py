"""Read thousands of damaged files of every format, and count what came of it.

python scripts/fuzz_readers.py --number 600 --json fuzz.json

The formats are the public layouts, and one kind of each that ``data.columns`` describes (events
with index tables, ranges, references …; npz by columns; slices …). ``--files delphes.root:delphes``
damages files that are there, read by the layout of that name: what is hit is what they hold of the
branches that are read, since most of such a file is of no use here.

With ``--headers`` sizes, offsets, strides and counts are changed instead of any bytes, and YAML of
any depth and archives are read, too.

Each file is read in a process of its own kind, with a limit on its time and memory: a hang, a crash
of a library and an allocation of terabytes are counted like everything else.
"""

import argparse
import io
import json
import multiprocessing
import os
import resource
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import uproot

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from helpers.damage import (  # noqa: E402
    FAULT,
    REFUSED,
    SAME,
    WRITERS,
    damages,
    header_damages,
    outcome,
    repeated_jets,
)
from helpers.mapped import layout as mapped  # noqa: E402
from helpers.mapped_files import MAPPED  # noqa: E402
from parttag.data.readers import read_chunks  # noqa: E402
from parttag.data.readers.column_layout import ColumnLayout  # noqa: E402
from parttag.errors import InputError  # noqa: E402
from parttag.jets.arrays import JetArrays, concatenate  # noqa: E402
from parttag.runs.yaml_files import read_content  # noqa: E402
from parttag.samples.download.archives import unpack  # noqa: E402

MEMORY_BYTES = 2 << 30
TIME_LIMIT_S = 60


def main() -> None:
    """Print the counts of each format as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=600, help="damaged files of each format")
    parser.add_argument("--jets", type=int, default=25, help="jets in a file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--formats",
        nargs="*",
        default=[*WRITERS, *MAPPED],
        choices=[*WRITERS, *MAPPED, *OTHERS],
        metavar="FORMAT",
    )
    parser.add_argument("--files", nargs="*", default=[], metavar="FILE:LAYOUT")
    parser.add_argument("--json", type=Path, help="write the counts and the worst cases here")
    parser.add_argument("--headers", action="store_true", help="change numbers in headers only")
    options = parser.parse_args()
    results = {}
    for kind in [*options.formats, *options.files]:
        results[kind] = fuzz(kind, options.number, options.jets, options.seed, options.headers)
        print(kind, dict(results[kind]["counts"]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(results, indent=2))


def fuzz(kind: str, number: int, num_jets: int, seed: int, headers: bool = False) -> dict[str, Any]:
    """Return the counts of outcomes, and what was done to the files with the unwanted ones."""
    counts: Counter[str] = Counter()
    cases: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        damaged = Path(folder) / "damaged"
        if kind in OTHERS:
            content, worker = b"", Worker(kind)
            made = OTHERS[kind](seed)
        else:
            path, layout = whole_file(kind, Path(folder) / "whole", num_jets)
            content = path.read_bytes()
            worker = Worker(concatenate(list(read_chunks(path, layout=layout))), layout)
            if kind in WRITERS or kind in MAPPED:
                made = (header_damages if headers else damages)(content, seed)
            else:
                made = damages(content, seed, parts_that_are_read(path, layout))
        for case, (what, changed) in zip(range(number), made, strict=False):
            damaged.write_bytes(changed)
            result = worker.outcome(damaged)
            counts[result.split(":")[0]] += 1
            cases.setdefault(result, []).append(f"{case}: {what} of {len(content)}")
        worker.end()
    return {"counts": counts, "bytes": len(content), "cases": cases}


def whole_file(kind: str, path: Path, num_jets: int) -> tuple[Path, ColumnLayout | None]:
    """Return a file of a format, or the one that is named with its layout, and what reads it."""
    if kind in WRITERS:
        return WRITERS[kind](path, repeated_jets(num_jets)), None
    if kind in MAPPED:
        return MAPPED[kind].write(path, repeated_jets(num_jets)), mapped(MAPPED[kind].text)
    name, _, layout = kind.rpartition(":")
    return Path(name), mapped(f"layout: {layout}")


def parts_that_are_read(path: Path, layout: ColumnLayout | None) -> list[range]:
    """Return the bytes of a ROOT file that hold the baskets of branches that are read."""
    assert layout is not None
    parts = []
    with uproot.open(path) as file:
        tree = file[layout.tree]
        for name in layout.branches_to_read(tree.keys(), path):
            branch = tree[name]
            places = branch.member("fBasketSeek")[: branch.num_baskets]
            sizes = branch.member("fBasketBytes")[: branch.num_baskets]
            ends = places + sizes
            parts += [range(a, b) for a, b in zip(places.tolist(), ends.tolist(), strict=True)]
    return [part for part in parts if part]


class Worker:
    """A process that reads what it is given, and is replaced when it hangs or dies."""

    def __init__(self, whole: JetArrays | str, layout: ColumnLayout | None = None) -> None:
        self.whole, self.layout = whole, layout
        self.start()

    def start(self) -> None:
        """Start a process in the place of the last one."""
        self.connection, other = multiprocessing.Pipe()
        arguments = (other, self.whole, self.layout)
        self.process = multiprocessing.Process(target=serve, args=arguments)
        self.process.start()
        other.close()

    def outcome(self, path: Path) -> str:
        """Return what came of a file."""
        before = self.seconds()
        self.connection.send(path)
        try:
            while not self.connection.poll(1):
                if self.seconds() - before > TIME_LIMIT_S:
                    break
            else:
                return str(self.connection.recv())
            result = "hang"
        except EOFError:
            self.process.join()
            result = f"crash: exit code {self.process.exitcode}"
        self.end()
        self.start()
        return result

    def seconds(self) -> float:
        """Return the processor time that the process took, and a tenth of all time beside it.

        On a busy machine, a process that waits for its turn does not hang; one that sleeps does.
        """
        taken = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, taken[11:13])) / os.sysconf("SC_CLK_TCK") + 0.1 * time.monotonic()

    def end(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join()


def serve(connection: Connection, whole: JetArrays | str, layout: ColumnLayout | None) -> None:
    """Read the files that are asked for, until killed."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, taken + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        path = connection.recv()
        connection.send(
            other_outcome(path, whole) if isinstance(whole, str) else outcome(path, whole, layout)
        )


def other_outcome(path: Path, kind: str) -> str:
    """Return what reading a configuration or unpacking an archive gives."""
    try:
        if kind == "yaml":
            read_content(path)
        else:
            with tempfile.TemporaryDirectory() as folder:
                unpack(path, Path(folder))
    except InputError:
        return REFUSED
    except Exception as error:  # noqa: BLE001 (whatever it is, it is to be counted)
        return f"{FAULT}: {type(error).__name__}: {error}"
    return SAME


def hostile_yaml(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield texts of many levels, aliases, tags and scalars, without end."""
    rng = np.random.default_rng(seed)
    kinds = ["int", "float", "timestamp", "binary", "set", "omap", "python/x"]
    tags = ("", *(f"!!{kind} " for kind in kinds))
    texts = ("1", "x", "2024-13-41", "1:99:99", "0x", ".inf", "~", "'", "{", "[", "*a0", "?", "|")
    while True:
        depth, width = int(10 ** rng.uniform(0, 4)), int(rng.integers(1, 9))
        opening, closing = (("[", "]"), ("{a: ", "}"), ("- ", ""))[rng.integers(3)]
        lines = [f"a0: &a0 {rng.choice(tags)}{rng.choice(texts)}"]
        lines += [
            f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * width)}]"
            for number in range(1, int(rng.integers(1, 14)))
        ]
        lines.append(f"deep: {opening * depth}{rng.choice(texts)}{closing * depth}")
        rng.shuffle(lines)
        yield f"depth {depth}, width {width}", "\n".join(lines).encode()


def hostile_archives(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield tar archives in whose headers a field is another text or number."""
    rng = np.random.default_rng(seed)
    fields = {"name": (0, 100), "mode": (100, 8), "size": (124, 12), "type": (156, 1)}
    lies = (b"0" * 11, b"7" * 11, b"\x80" + b"\xff" * 7, b"../../x", b"/etc/x", b"S", b"2", b"x")
    while True:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for number in range(4):
                info = tarfile.TarInfo("a/" * int(10 ** rng.uniform(0, 2)) + f"{number}.root")
                info.size = 600
                tar.addfile(info, io.BytesIO(bytes(600)))
        content = bytearray(stream.getvalue())
        block = 512 * int(rng.integers(len(content) // 512))
        name, (start, length) = list(fields.items())[rng.integers(len(fields))]
        lie = bytes(lies[rng.integers(len(lies))])[:length]
        content[block + start : block + start + len(lie)] = lie
        if rng.random() < 0.8 and block + 512 <= len(content):  # of a right checksum
            header = content[block : block + 148] + b" " * 8 + content[block + 156 : block + 512]
            content[block + 148 : block + 156] = b"%06o\0 " % sum(header)
        yield f"{name} of block {block // 512}: {lie!r}", bytes(content)


OTHERS = {"yaml": hostile_yaml, "archives": hostile_archives}


if __name__ == "__main__":
    main()
