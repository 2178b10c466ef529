"""What ran, where and when: what a run says of each start."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import parttag
from parttag.runs.config import RunConfig
from parttag.runs.plugin_parts import plugin_parts
from parttag.training.distributed import Ranks

_PACKAGES = ("torch", "numpy", "awkward", "uproot", "h5py", "pydantic")


def describe_start(ranks: Ranks, config: RunConfig) -> dict[str, Any]:
    """Return what a start of the command ran, where and when."""
    on_gpu = ranks.device.type == "cuda"
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "parttag": parttag.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "plugins": plugin_parts(config),
        "hardware": {
            "host": platform.node(),
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name(ranks.device) if on_gpu else None,
            "ranks": ranks.size,
        },
    }


def commit() -> str | None:
    """Return the commit of parttag's checkout, marked if there are changes; else ``None``."""
    package = Path(parttag.__file__).parent
    if not (package.parents[1] / ".git").exists():
        return None
    command = ["git", "-C", str(package), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
