"""The command line of ``weaver`` to the sections ``training``, ``optimizer`` and ``schedule``.

Flags and defaults are those of weaver-core 0.5.3 (``weaver/train.py``).
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from typing import NoReturn

from parttag.errors import InputError
from parttag.runs.weaver.remarks import Remarks

_NUMBERS: dict[str, tuple[type, object]] = {
    "num_epochs": (int, 20),
    "steps_per_epoch": (int, None),
    "steps_per_epoch_val": (int, None),
    "samples_per_epoch": (int, None),
    "samples_per_epoch_val": (int, None),
    "start_lr": (float, 5e-3),
    "batch_size": (int, 128),
    "batch_size_val": (int, None),
    "batch_size_test": (int, None),
    "warmup_steps": (float, 0.25),
    "data_fraction": (float, 1.0),
    "data_fraction_val": (float, None),
    "file_fraction": (float, 1.0),
    "fetch_step": (float, 0.01),
    "fetch_step_val": (float, None),
    "data_split_num": (int, 1),
    "data_split_val": (int, None),
    "train_val_split": (float, 0.8),
    "num_workers": (int, 1),
    "prefetch_factor": (int, None),
    "load_epoch": (int, None),
    "onnx_opset": (int, 15),
}
_TEXTS: dict[str, str | None] = {
    "run_mode": "train,val,test",
    "data_config_val": None,
    "data_config_test": None,
    "extra_selection_train": None,
    "extra_selection_val": None,
    "extra_selection_test": None,
    "lr_finder": None,
    "tensorboard": None,
    "tensorboard_custom_fn": None,
    "custom_functions": None,
    "load_model_weights": None,
    "exclude_model_weights": None,
    "freeze_model_weights": None,
    "optimizer": "ranger",
    "lr_scheduler": "flat+decay",
    "amp_dtype": "bf16",
    "gpus": "0",
    "predict_gpus": None,
    "predict_output": None,
    "export_onnx": None,
    "log_file": None,
    "backend": None,
    "cross_validation": None,
}
_SWITCHES = (
    *("regression_mode", "fetch_by_files", "in_memory", "in_memory_val", "demo", "use_amp"),
    *("compile", "compile_optimizer", "predict", "io_test", "copy_inputs", "print", "profile"),
    "auto_clean",
)

LR_MULT, CLIP = "lr_mult", "clip_grad_norm"
"""Options of the optimizer that are no options of its class."""

# What has no counterpart and takes nothing away: how parttag does it.
_NOT_NEEDED = {
    "fetch_step": "parttag mixes all jets, in memory or in a store (parttag prepare)",
    "fetch_step_val": "the jets of data.val are all read",
    "fetch_by_files": "parttag mixes all jets, in memory or in a store (parttag prepare)",
    "in_memory": "jets are kept in memory anyway, those of a store on disk",
    "in_memory_val": "jets are kept in memory anyway, those of a store on disk",
    "data_split_num": "jets are kept in memory once, or streamed from a store",
    "data_split_val": "jets are kept in memory once, or streamed from a store",
    "num_workers": "the loader needs no worker processes",
    "prefetch_factor": "the loader needs no worker processes",
    "batch_size_val": "validation has batches of its own, which change nothing",
    "batch_size_test": "parttag evaluate has batches of its own, which change nothing",
    "log_file": "a run keeps its train.log",
    "backend": "parttag chooses it; start several ranks with torchrun",
    "copy_inputs": "make a store on the local disk with parttag prepare",
    "auto_clean": "a run keeps its best and its last checkpoint",
    "tensorboard_custom_fn": "TensorBoard gets the metrics of every epoch",
    "compile_optimizer": "optimizers step with fused kernels",
    "predict_gpus": "give parttag predict its --device",
    "predict_output": "parttag predict RUN FILES --out, with --keep",
    "run_mode": "parttag train, evaluate and predict are commands of their own",
    "predict": "parttag predict RUN FILES --out, with --keep",
    "export_onnx": "see what parttag has to export",
    "onnx_opset": "see what parttag has to export",
    "io_test": "parttag benchmark loader measures it",
    "print": "parttag prints the network's parameters when a training begins",
    "profile": "use torch's profiler",
    "demo": "data.num_train_jets takes some of the jets",
}
_MISSING = {
    "regression_mode": ("regression", "parttag does not learn numbers, only classes"),
    "data_config_val": ("--data-config-val", "val is read as train is; convert that file too"),
    "data_config_test": ("--data-config-test", "test is read as train is; convert that file too"),
    "lr_finder": ("--lr-finder", "try a few values of optimizer.lr"),
    "custom_functions": (
        "--custom-functions",
        "no code is run; write the functions out in columns.derived",
    ),
    "load_epoch": ("--load-epoch", "weights of weaver come in by parttag import; then init_from"),
    "exclude_model_weights": ("--exclude-model-weights", "see init_from"),
    "freeze_model_weights": ("--freeze-model-weights", "see init_from.lr_multipliers"),
    "cross_validation": ("--cross-validation", "write the folds' selections into cuts"),
    "data_fraction_val": ("--data-fraction-val", "name fewer files in data.val"),
    "file_fraction": ("--file-fraction", "name fewer files in data.train"),
    "steps_per_epoch_val": ("--steps-per-epoch-val", "all jets of data.val are used"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"the command line of weaver: {message}")


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the flags of a command line of weaver's, and the data configuration.

    Raises
    ------
    InputError
        If one is unknown or its value is none.
    """
    parser = _Parser(prog="weaver", add_help=False, allow_abbrev=False)
    parser.add_argument("data", nargs="?")
    parser.add_argument("-c", "--data-config")
    parser.add_argument("-i", "--data-train", nargs="*", default=[])
    parser.add_argument("-l", "--data-val", nargs="*", default=[])
    parser.add_argument("-t", "--data-test", nargs="*", default=[])
    parser.add_argument("-n", "--network-config")
    parser.add_argument("-m", "--model-prefix")
    parser.add_argument("-o", "--network-option", nargs=2, action="append", default=[])
    parser.add_argument("-p", "--optimizer-option", nargs=2, action="append", default=[])
    parser.add_argument("--compiler-option", nargs=2, action="append", default=[])
    parser.add_argument("--no-remake-weights", action="store_true")
    for name, (kind, _) in _NUMBERS.items():
        parser.add_argument(_flag(name), type=kind)
    for name in _TEXTS:
        aliases = ["--log"] if name == "log_file" else []
        parser.add_argument(_flag(name), *aliases, dest=name)
    for name in _SWITCHES:
        parser.add_argument(_flag(name), action=argparse.BooleanOptionalAction, default=None)
    known, others = parser.parse_known_args(list(arguments))
    if others:
        raise InputError(
            f"weaver has no {others[0]}; take it out, or look at the flags of weaver --help"
        )
    return known


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def value_of(flags: argparse.Namespace, name: str) -> object:
    """Return what a flag says, or weaver's default."""
    given = getattr(flags, name)
    if given is not None:
        return given
    if name in _NUMBERS:
        return _NUMBERS[name][1]
    return _TEXTS.get(name, False)


def training_sections(flags: argparse.Namespace, remarks: Remarks) -> dict[str, dict[str, object]]:
    """Return ``training``, ``optimizer`` and ``schedule``, and add to the remarks."""
    for name, how in _NOT_NEEDED.items():
        if getattr(flags, name) not in (None, False):
            remarks.note(_flag(name), how)
    for name, (what, how) in _MISSING.items():
        if getattr(flags, name) not in (None, False):
            remarks.missing(what, how)
    training = _training(flags, remarks)
    return {
        "training": training,
        "optimizer": _optimizer(flags, remarks),
        "schedule": _schedule(flags, training, remarks),
    }


def _training(flags: argparse.Namespace, remarks: Remarks) -> dict[str, object]:
    batch_size = int(str(value_of(flags, "batch_size")))
    section: dict[str, object] = {
        "epochs": value_of(flags, "num_epochs"),
        "batch_size": batch_size,
        "drop_last": True,
    }
    steps = flags.steps_per_epoch
    if steps is None and flags.samples_per_epoch is not None:
        steps = max(flags.samples_per_epoch // batch_size, 1)
    if steps is not None:
        section["steps_per_epoch"] = steps
    if flags.use_amp:
        section["precision"] = "bf16"
        if value_of(flags, "amp_dtype") == "fp16":
            remarks.note("--amp-dtype fp16", "mixed precision is bf16, which needs no scaling")
    if flags.compile:
        section["compile"] = True
    if flags.gpus == "":
        section["device"] = "cpu"
    elif "," in (flags.gpus or ""):
        remarks.note("--gpus", "start a training on several GPUs with torchrun")
    if flags.tensorboard is not None:
        section["tensorboard"] = True
    clip = optimizer_options(flags).get(CLIP)
    if clip is not None:
        section["max_grad_norm"] = clip
    if value_of(flags, "data_fraction") != 1:
        remarks.missing("--data-fraction", "data.num_train_jets takes a number of jets at random")
    return section


def _optimizer(flags: argparse.Namespace, remarks: Remarks) -> dict[str, object]:
    name = str(value_of(flags, "optimizer"))
    section: dict[str, object] = {"name": name.lower(), "lr": value_of(flags, "start_lr")}
    if name.lower() not in ("ranger", "adam", "adamw"):
        remarks.missing(f"--optimizer {name}", "choose ranger, adam or adamw; ranger is taken")
        section["name"] = "ranger"
    if section["name"] == "adamw":
        section["betas"] = [0.95, 0.999]  # weaver's, and not torch's
    for key, value in optimizer_options(flags).items():
        if key in ("weight_decay", "eps"):
            section[key] = value
        elif key == "betas":
            section[key] = list(value) if isinstance(value, tuple | list) else value
        elif key not in (LR_MULT, CLIP):
            remarks.missing(f"--optimizer-option {key}", f"{section['name']} has none here")
    return section


def optimizer_options(flags: argparse.Namespace) -> dict[str, object]:
    """Return what ``--optimizer-option`` says, by its name.

    Raises
    ------
    InputError
        If a value is none.
    """
    found: dict[str, object] = {}
    for key, text in flags.optimizer_option:
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise InputError(f"--optimizer-option {key} {text}: the value is none") from None
    return found


def _schedule(
    flags: argparse.Namespace, training: dict[str, object], remarks: Remarks
) -> dict[str, object]:
    name = str(value_of(flags, "lr_scheduler"))
    warmup = float(str(value_of(flags, "warmup_steps")))
    steps = training.get("steps_per_epoch")
    if name == "none":
        return {"name": "constant"}
    if name in ("flat+linear", "flat+cos"):
        return {"name": name, "warmup": warmup}
    if name == "one-cycle":
        remarks.missing(
            "--lr-scheduler one-cycle",
            "the rate is the same, but the first beta, which there goes from 0.95 to 0.85 and "
            "back, stays as optimizer.betas has it",
        )
        return {"name": "one_cycle+cos"}
    if name == "steps" and isinstance(steps, int):
        third = round(int(str(training["epochs"])) / 3)
        # Two steps down and no more: without the floor, there would be a third one for 10 epochs.
        return {"name": "step", "every": max(third * steps, 1), "factor": 0.1, "floor": 0.01}
    if name == "warmup+cos":
        if warmup >= 1:
            return {"name": "cosine", "warmup_steps": int(warmup)}
        if isinstance(steps, int):
            whole = steps * int(str(training["epochs"]))
            return {"name": "cosine", "warmup_steps": round(warmup * whole)}
        remarks.missing(
            "--warmup-steps",
            "a share of the steps, of which the flags say no number: give schedule.warmup_steps",
        )
        return {"name": "cosine"}
    if name != "flat+decay":
        remarks.missing(
            f"--lr-scheduler {name}",
            "without --steps-per-epoch it is not known here; flat+decay, weaver's own, is taken",
        )
    return {"name": "flat+decay"}
