"""What ``data.reweight`` did to the training jets: said in the log, kept with the run, drawn."""

from __future__ import annotations

import json
import logging
from io import BytesIO
from pathlib import Path

from parttag.data.selection.reweight import Reweighting
from parttag.metrics import Reweighted
from parttag.plotting import reweighting_figure, save_figure
from parttag.system.atomic_files import write_file
from parttag.system.files import refuse_damaged

logger = logging.getLogger(__name__)

NUMBERS, PICTURE = "reweighting.json", "reweighting.png"


def write_reweighting(reweighting: Reweighting, directory: Path) -> None:
    """Write ``reweighting.json`` and a picture of the spectra to a run; log what it leaves out.

    Raises
    ------
    InputError
        If they cannot be written.
    """
    for sentence in reweighting.sentences():
        logger.info("%s", sentence)
    write_file(directory / NUMBERS, json.dumps(reweighting.to_json(), indent=2).encode())
    picture = BytesIO()
    save_figure(reweighting_figure(reweighting), picture)
    write_file(directory / PICTURE, picture.getvalue())


def read_reweighting(directory: Path) -> dict[str, Reweighted]:
    """Return what the reweighting of a run did to each class; nothing if there was none.

    Raises
    ------
    InputError
        If ``reweighting.json`` is damaged.
    """
    path = directory / NUMBERS
    if not path.is_file():
        return {}
    with refuse_damaged(path):
        classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
        return {str(name): Reweighted.from_json(content) for name, content in classes.items()}
