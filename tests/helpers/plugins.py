"""Packages that add to parttag: installed for a test, or made up, and forgotten after it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import parttag
from parttag import plugins

EXAMPLE = Path(__file__).parents[1] / "plugin_package"
SOURCE = Path(parttag.__file__).parents[1]


def install(package: Path, site: Path) -> None:
    """Build a package and install it, as pip does for everybody, into a folder of its own."""
    copy = shutil.copytree(package, site.with_name(site.name + "-source"))
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(copy)]
    subprocess.run(command, check=True)


def install_module(site: Path, name: str, code: str) -> None:
    """Install a package of one module, ``name``, by hand: what pip would leave of it."""
    site.mkdir(exist_ok=True)
    (site / f"{name}.py").write_text(code)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{name} = {name}\n")


def run_parttag(
    *arguments: object, site: Path | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``parttag`` in a process of its own that sees the packages in ``site``."""
    folders = [str(folder) for folder in (site, SOURCE) if folder is not None]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, "-m", "parttag.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )


@contextmanager
def registers_kept(*packages: str) -> Iterator[None]:
    """Forget afterwards what was registered inside, and that ``packages`` were imported."""
    kept = [
        (held, dict(held))
        for registry in plugins._REGISTRIES
        for held in (registry._entries, registry._definitions, registry._plugins)
    ]
    try:
        yield
    finally:
        for held, content in kept:
            held.clear()
            held.update(content)
        for name in [n for n in sys.modules if n.partition(".")[0] in packages]:
            del sys.modules[name]
