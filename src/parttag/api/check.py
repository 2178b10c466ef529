"""What a machine is, and whether parttag computes the right numbers on it."""

import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from parttag.errors import InputError
from parttag.ops.kernels.trial import LENGTHS, Precision, Trial, run_trials
from parttag.ops.layout import AttentionPath
from parttag.system.atomic_files import new_files
from parttag.training.memory import allocator_hint
from parttag.training.speedups import try_steps

_PACKAGES = ("parttag", "torch", "triton", "numpy")
_COMPILERS = ("cc", "gcc", "clang")
# Of the published networks, and the widest that the kernels take.
_HEAD_WIDTHS = (16, 32, 64)


@dataclass(frozen=True)
class Check:
    """What ``check`` found."""

    machine: dict[str, str]
    """Versions, processor and GPU, by what they are."""
    trials: tuple[Trial, ...]
    """Each part of the attention and of the pair network, against float64."""
    step_faults: dict[str, str]
    """What is wrong with compiled and captured steps on a GPU, by their names; else nothing."""
    hints: tuple[str, ...]
    """What would make this machine faster, a sentence each."""

    @property
    def passed(self) -> bool:
        """Whether every part computes what it should."""
        return all(trial.passed for trial in self.trials) and not any(self.step_faults.values())

    def __repr__(self) -> str:
        lines = [f"{name}: {value}" for name, value in self.machine.items()]
        lines += [f"{'passed' if trial.passed else 'FAILED'}  {trial}" for trial in self.trials]
        for name, fault in self.step_faults.items():
            lines.append(f"FAILED  {name}: {fault}" if fault else f"passed  {name}")
        return "\n".join([*lines, *self.hints])

    def to_json(self) -> str:
        """Return all of it as JSON; an error that is none is null."""
        trials = []
        for trial in self.trials:
            entry = {**asdict(trial), "passed": trial.passed}
            entry["error"] = None if trial.error != trial.error else trial.error
            trials.append(entry)
        content = {"passed": self.passed, "machine": self.machine, "trials": trials}
        content["steps"] = self.step_faults
        return json.dumps({**content, "hints": self.hints}, indent=1)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write ``to_json`` to a file.

        Raises
        ------
        InputError
            If the file exists, unless ``overwrite`` is given, or cannot be written.
        """
        with new_files([Path(path)], overwrite=overwrite) as (file,):
            file.write(self.to_json().encode())


def check(*, speed: bool = False, device: str = "auto") -> Check:
    """Return what this machine is, and whether parttag computes the right numbers on it.

    On a GPU Triton's kernels are compiled for every width of heads that they take, and compared
    with float64 forwards and backwards, and so is plain torch; compiled steps and CUDA graphs are
    compared with plain steps. On a CPU it is plain torch alone (and the kernels where
    ``TRITON_INTERPRET=1`` asks for Triton's interpreter). It takes up to a minute.

    Parameters
    ----------
    speed
        Also time a second run of every part.
    device
        auto (a GPU if there is one), cpu or cuda.

    Raises
    ------
    InputError
        If there is no such device.

    Examples
    --------
    >>> pt.check(device="cpu").passed
    True
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device is {device!r}, but must be auto, cpu or cuda")
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise InputError("device is cuda, but this machine has no GPU; choose auto or cpu")
    place = torch.device("cuda" if has_gpu and device != "cpu" else "cpu")
    trials: list[Trial] = []
    for path in _paths(place):
        widths = _HEAD_WIDTHS if place.type == "cuda" else _HEAD_WIDTHS[:1]
        for width in widths:
            for precision in _precisions(path, place, width):
                trials += run_trials(
                    path, place, (precision,), (width,), _lengths(path, place), timed=speed
                )
    return Check(_machine(place), tuple(trials), _step_faults(place), _hints(place))


def _step_faults(device: torch.device) -> dict[str, str]:
    if device.type != "cuda":
        return {}
    return {
        "compiled steps": try_steps(device, compiled=True, graphed=False),
        "steps as CUDA graphs": try_steps(device, compiled=False, graphed=True),
        "compiled steps as CUDA graphs": try_steps(device, compiled=True, graphed=True),
    }


def _paths(device: torch.device) -> tuple[AttentionPath, ...]:
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    has_kernels = _version("triton") is not None and (device.type == "cuda" or interpreted)
    return ("torch", "triton") if has_kernels else ("torch",)


def _lengths(path: AttentionPath, device: torch.device) -> tuple[int, ...]:
    # The interpreter is slow.
    return (0, 1, 33, 7) if path == "triton" and device.type == "cpu" else LENGTHS


def _precisions(path: AttentionPath, device: torch.device, width: int) -> tuple[Precision, ...]:
    if path == "triton" and device.type == "cpu":
        return ("fp32",)
    # As ``choose_path``: in float32 the kernels take no wider heads.
    both: tuple[Precision, ...] = ("fp32", "bf16")
    return both if path == "torch" or width <= _HEAD_WIDTHS[1] else ("bf16",)


def _machine(device: torch.device) -> dict[str, str]:
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), "none, which Triton needs")
    machine = {name: _version(name) or "not installed" for name in _PACKAGES}
    machine |= {
        "Python": platform.python_version(),
        "system": platform.platform(),
        "C compiler": compiler,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "cores": str(os.cpu_count()),
        "threads of torch": str(torch.get_num_threads()),
        "oneDNN": "yes" if torch.backends.mkldnn.is_available() else "no",
    }
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        total = torch.cuda.get_device_properties(device).total_memory
        machine |= {
            "GPU": torch.cuda.get_device_name(device),
            "compute capability": f"{major}.{minor}",
            "GPU memory": f"{total / 2**30:.0f} GiB",
            "CUDA of torch": str(torch.version.cuda),
            "bf16 on tensor cores": "yes" if major >= 8 else "no",
        }
    return machine


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _hints(device: torch.device) -> tuple[str, ...]:
    hints = []
    if device.type == "cpu":
        hint = allocator_hint()
        hints += [] if hint is None else [hint]
        cores = os.cpu_count() or 1
        if torch.get_num_threads() > cores:
            hints.append(f"torch uses more threads than the {cores} cores: set OMP_NUM_THREADS")
    elif torch.cuda.get_device_capability(device) < (8, 0):
        hints.append("this GPU has no tensor cores for bf16: train and score with precision fp32")
    elif "expandable_segments" not in os.environ.get("PYTORCH_CUDA_ALLOC_CONF", ""):
        hints.append(
            "less memory is lost between tensors of changing sizes with "
            "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True in the environment"
        )
    return tuple(hints)
