"""Whether Triton's kernels, and what else is new, compute the right numbers on this machine's GPU.

A short trial is run before their first use, and its result kept in the user's cache: one for each
GPU, torch, Triton and parttag. Where it fails, what is known takes over, and a warning says why.
"""

import json
import logging
import os
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from parttag.system.atomic_files import write_file

logger = logging.getLogger(__name__)


@cache
def fault_of_kernels(device: torch.device) -> str | None:
    """Return why the kernels are not to be used on a GPU, ``None`` if they are.

    The first call for a device says it too, if there is a fault.
    """
    fault = fault_of("", "Triton's kernels", device, _try)
    if fault is not None:
        where = _combination(device)
        logger.warning("plain torch computes attention and pairs: on %s, %s", where, fault)
    return fault


def fault_of(
    key: str, name: str, device: torch.device, trial: Callable[[torch.device], str]
) -> str | None:
    """Return what a trial found on a GPU of this machine, now or before; ``None`` if nothing.

    Parameters
    ----------
    key, name
        What is tried: in the user's cache, and in what is said of it.
    trial
        Returns the fault, or nothing.
    """
    path, key = _cache_file(), _combination(device) + key
    known = _read(path)
    if key not in known:
        logger.info("trying %s on %s, once: up to a minute", name, _combination(device))
        known[key] = trial(device)
        _write(path, known)
    return known[key] or None


def _try(device: torch.device) -> str:
    from parttag.ops.kernels.trial import run_trials

    short = torch.cuda.get_device_capability(device) >= (8, 0)
    failed = [
        trial
        for trial in run_trials("triton", device, ("fp32", "bf16") if short else ("fp32",))
        if not trial.passed
    ]
    return str(failed[0]) if failed else ""


def _combination(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "triton", "parttag"))
    return f"{torch.cuda.get_device_name(device)} (sm_{major}{minor}), {versions}"


def _cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "parttag" / "kernels.json"


def _read(path: Path) -> dict[str, str]:
    """Return the faults that are known; what is not such a file knows none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(content, dict) and all(isinstance(v, str) for v in content.values())
    return content if is_ours else {}


def _write(path: Path, known: dict[str, str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(known, indent=1).encode())
    except OSError as error:
        logger.info("the result of the trial cannot be kept: %s", error)
