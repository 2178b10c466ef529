"""What networks and objectives give on toy jets, bit for bit: the numbers of tests/golden.

Every case is trained for five steps by the code that trains every run, and read back. The numbers
depend on the processor and on torch's build, so what made them is kept beside them.
"""

import hashlib
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers.networks import SMALL, VARIANTS
from helpers.runs import toy_config
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_batch

PATH = Path(__file__).parents[1] / "golden" / "training.json"
NUM_STEPS = 5
_NUM_CLEAR = 8
_STEPS = (f"training.steps={NUM_STEPS}", "training.steps_per_epoch=1", "training.validate_every=5")
_UNLABELED = ("data.classes={}", "training.best_by=loss")
# The tokenizer that others read or predict the tokens of, and its sizes as they are told of it.
_TOKENIZER = {"name": "particle_tokenizer", **SMALL["omnijet"]["tokenizer"]}
_TOKENIZER_FROM = "tokenizer_from={folder}/tokenizer"
_SIZES = json.dumps(SMALL["omnijet"]["tokenizer"])
_NARROW = ("objective.width=16", "objective.dense_dim=12", "objective.num_heads=4")
_TOKENS = (f"objective.tokenizer={_SIZES}", _TOKENIZER_FROM)


@dataclass(frozen=True)
class Case:
    """A training: network, objective, and whatever else of the configuration is not the default."""

    model: str
    objective: str = "classify"
    options: tuple[str, ...] = ()
    """Overrides of the command line; ``{folder}`` is the one with the files."""
    variant: str = ""

    @property
    def name(self) -> str:
        """What the numbers of the case are kept under."""
        return "-".join(filter(None, (self.objective, self.variant or self.model)))

    def network(self) -> dict[str, Any]:
        """Return the options of the small network."""
        _, changes = VARIANTS.get(self.variant, (self.model, {}))
        return {"name": self.model, **json.loads(json.dumps({**SMALL[self.model], **changes}))}


def _classify(model: str, variant: str = "") -> Case:
    reads_tokens = (_TOKENIZER_FROM,) if model == "omnijet" else ()
    return Case(model, options=reads_tokens, variant=variant)


def _pretraining(model: str, objective: str, *options: str, variant: str = "") -> Case:
    return Case(model, objective, (*_UNLABELED, *options), variant)


CASES = {
    case.name: case
    for case in (
        *(_classify(model) for model in SMALL),
        *(
            _classify(model, name)
            for name, (model, _) in VARIANTS.items()
            if name != "omnijet_with_leaks"  # its tokenizer is another one
        ),
        _pretraining("jetclr", "contrastive"),
        # Not with pair features: ln m² of massless particles is rounding, and views are computed,
        # so that another processor's would have nothing in common.
        _pretraining("particle_transformer", "contrastive", variant="plain_transformer"),
        _pretraining("pfn", "contrastive", "objective.projection_dims=[8]", variant="pfn_narrow"),
        _pretraining("mpm", "masked", *_NARROW, *_TOKENS),
        _pretraining("particle_transformer", "masked", *_NARROW, *_TOKENS),
        *(
            _pretraining(
                model, "masked", *_NARROW, "objective.target=features", variant=f"{model}_features"
            )
            for model in ("mpm", "particle_transformer")
        ),
        _pretraining("particle_tokenizer", "tokenize"),
        _pretraining(
            "particle_tokenizer", "tokenize", "objective.reconstruction=l1", variant="tokenizer_l1"
        ),
        _pretraining("omnijet", "next_particle", _TOKENIZER_FROM),
        _pretraining("encoder_decoder", "encoder_decoder", "objective.targets=momenta"),
        _pretraining(
            "encoder_decoder",
            "encoder_decoder",
            "objective.targets=tokens",
            *_TOKENS,
            variant="tokens",
        ),
        Case("pfn", "distill", ("objective.teacher={folder}/teacher",)),
        Case(
            "particle_transformer",
            "tasks",
            (
                "targets={mass: {column: jet_mass, transform: log, relative_to: jet_pt, "
                "loss: quantiles, centre: -1.8, scale: 3}}",
                "objective.tasks={classify: {label_smoothing: 0.1}, mass: {weight: 0.1}}",
                "objective.weights=uncertainty",
            ),
            variant="plain_transformer",
        ),
    )
}


def train_others(folder: Path) -> None:
    """Train the tokenizer and the teacher that some cases need, into ``folder``."""
    options = (*_STEPS, *_UNLABELED, "objective.name=tokenize")
    teacher = {"name": "lorentz_net", **SMALL["lorentz_net"]}
    with one_thread():
        train_run(toy_config(folder, *options, model=_TOKENIZER), folder / "tokenizer")
        train_run(toy_config(folder, *_STEPS, model=teacher), folder / "teacher")


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Train a case and return its numbers, in a form that JSON keeps bit for bit.

    Parameters
    ----------
    case
        What to train.
    folder
        Where ``train_others`` was; the toy jets are in it, and the run is added.

    Returns
    -------
    dict
        ``train_loss`` of each step and ``val`` (loss and metrics) after the last as hexadecimal
        floats; ``output`` as the SHA-256 of its float32 bytes, and its ``shape`` and some of it.
        The output is the logits of a classifier, and the representation of jets of any other
        network.
    """
    overrides = [option.replace("{folder}", str(folder)) for option in case.options]
    if case.objective != "classify":
        overrides.append(f"objective.name={case.objective}")
    with one_thread():
        config = toy_config(folder, *_STEPS, *overrides, model=case.network())
        run = train_run(config, folder / case.name)
        model = load_run(run, "last").model
        with torch.inference_mode():
            batch = toy_batch(12, seed=3, max_particles=model.max_particles)
            output = (model if case.objective == "classify" else model.encode)(batch).numpy()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    places = np.linspace(0, output.size - 1, min(_NUM_CLEAR, output.size)).astype(int)
    return {
        "train_loss": [line["train_loss"].hex() for line in lines],
        "val": {k: v.hex() for k, v in lines[-1].items() if k.startswith("val_")},
        "output": {
            "sha256": hashlib.sha256(np.ascontiguousarray(output, "<f4").tobytes()).hexdigest(),
            "shape": list(output.shape),
            "values": [float(value) for value in output.reshape(-1)[places]],
        },
    }


def write_numbers(cases: dict[str, Any]) -> None:
    """Write the numbers of all cases, a line for each kind, and what they were made with."""
    lines = [f' "made_with": {json.dumps(fingerprint())},', ' "cases": {']
    for name in sorted(cases):
        kinds = [f"   {json.dumps(kind)}: {json.dumps(v)}" for kind, v in cases[name].items()]
        lines += [f"  {json.dumps(name)}: {{", ",\n".join(kinds), "  },"]
    lines[-1] = lines[-1].rstrip(",")
    PATH.write_text("\n".join(["{", *lines, " }", "}"]) + "\n")


def fingerprint() -> dict[str, str]:
    """Return what decides how float32 sums are rounded: the processor and torch's build."""
    return {
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "processor": _processor(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with a single thread: sums are cut into as many parts as there are threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _processor() -> str:
    """Return the name of the processor and, as virtual machines shorten it, the number of it."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor()
    first = path.read_text().split("\n\n", 1)[0]
    lines = dict(map(str.strip, line.split(":", 1)) for line in first.splitlines() if ":" in line)
    keys = ("model name", "cpu family", "model", "stepping")
    return " / ".join(lines[key] for key in keys if key in lines)
