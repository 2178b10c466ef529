"""Run the tutorials of docs/tutorials, each in an interpreter of its own.

    PARTTAG_DOCS_SIZE=small python scripts/run_tutorials.py     # does each still run? In minutes
    python scripts/run_tutorials.py --store [NAMES…]            # full size; outputs are stored

Without ``--store`` nothing is written: the site shows the outputs that were stored last.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

_FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"


def main() -> None:
    """Run the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="as ten_minutes; all by default")
    parser.add_argument("--store", action="store_true", help="keep the outputs in the notebooks")
    given = parser.parse_args()
    paths = sorted(_FOLDER.glob("*.ipynb"))
    if given.names:
        paths = [_FOLDER / f"{name}.ipynb" for name in given.names]
    failed = [path.name for path in paths if not _runs(path, given.store)]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _runs(path: Path, store: bool) -> bool:
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    try:
        NotebookClient(
            notebook, timeout=3600, resources={"metadata": {"path": path.parent}}
        ).execute()
    except CellExecutionError as error:
        print(f"{path.name}: {error}")
        return False
    print(f"{path.name}: {time.perf_counter() - start:.0f} s")
    if store:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # when each cell ran
        notebook.metadata["parttag"] = {"commit": _commit()}
        nbformat.write(notebook, path)
    return True


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        command, cwd=_FOLDER, capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
