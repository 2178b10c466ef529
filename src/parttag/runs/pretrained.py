"""A finished run as a trained network to pass on: safetensors and a model card in a folder."""

from pathlib import Path
from typing import Any

from parttag.errors import InputError, option
from parttag.models.shipped import WEIGHTS, ModelCard, card_files
from parttag.options import read_options
from parttag.runs.config import build_config
from parttag.runs.run import Run
from parttag.system.atomic_files import whole_directory
from parttag.system.files import sha256
from parttag.training import checkpoint
from parttag.training.shared_weights import write_shared


def write_pretrained(run: Run, folder: Path, said: dict[str, Any]) -> ModelCard:
    """Write a run's network and its model card into a new folder, whose name becomes the network's.

    The names of the files that it was trained on are left out: they mean nothing elsewhere. What
    was said of them in the card stays.

    Parameters
    ----------
    run
        With the weights of its best epoch; a single network, without a calibration.
    folder
        To be made. Below ``models/pretrained`` of the package it ships; the environment variable
        ``PARTTAG_PRETRAINED`` names other folders that such are below.
    said
        The fields of ``ModelCard`` that the run does not tell: summary, data, training, command,
        and numbers, limits and the commit, if there are any.

    Raises
    ------
    InputError
        If the run has several networks, a field is missing, or the folder exists or cannot be
        written.
    """
    run.refuse_folds("a network to pass on")
    if folder.exists():
        raise InputError(f"{folder} exists already; give another {option('out', '')}")
    content = checkpoint.read_checkpoint(checkpoint.weights_file(run.directory))
    config = build_config(content["config"])
    data = config.data.model_copy(update={"train": (), "val": (), "test": ()})
    content["config"] = config.model_copy(
        update={"data": data, "init_from": None, "tokenizer_from": None}
    ).model_dump(mode="json")
    with whole_directory(folder) as made:
        write_shared(made / WEIGHTS, content)
        card = read_options(
            ModelCard,
            {
                **said,
                "classes": content["classes"],
                "features": content["features"],
                "num_parameters": sum(p.numel() for p in run.model.parameters()),
                "weights_sha256": sha256(made / WEIGHTS),
            },
        )
        for name, text in card_files(folder.name, card).items():
            (made / name).write_text(text, encoding="utf-8")
    return card
