"""The parts of scripts/gpu_checks.sh, one after the other, each with a limit; correctness first.

    python scripts/gpu_checks.py STORES OUT --seconds 500

A part that fails or is late is written down, and the next one runs. Each is a process of its own:
an error of CUDA spoils the process that has it. What time is left goes to a training with its
evaluation.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "configs/toptagging/particle_transformer.yaml"
# Of a log, in characters: what is kept of one that failed, and of any other.
_LOG, _TAIL = 4_000, 400
_MOST_FILES, _MOST_BYTES = 8, 16 << 20
_BATCHES = (512, 2048, 4096)


@dataclass(frozen=True)
class Part:
    """A command with the seconds that it may take, and the JSON that it writes, if any."""

    name: str
    command: list[str]
    limit: float
    result: Path | None = None


def parts(stores: Path, work: Path, peer: Path | None, device: str, *, tiny: bool) -> list[Part]:
    """Return all parts but the training."""
    python, val = sys.executable, str(stores / "val")
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if find_spec("xdist") is not None and not tiny:
        pytest += ["-n", "8"]
    check = [python, "-m", "parttag.cli", "check"]
    few, speeds = (["--collect-only"], []) if tiny else ([], ["--speed"])
    found = [
        Part(
            "check",
            [*check, *speeds, "--device", device, "--json", str(work / "check.json")],
            90,
            work / "check.json",
        ),
        Part("kernels against float64", [*pytest, "tests/ops/kernels", *few], 90),
        Part("networks equal the CPU", [*pytest, "tests/models/test_cuda.py", *few], 60),
    ]
    for batch in (8,) if tiny else _BATCHES:
        path = work / f"speed_{batch}.json"
        speed = [python, "scripts/bench_model.py", "--data", val, "--batch", str(batch)]
        speed += ["--jets", str(2 * batch), "--rounds", "1" if tiny else "3"]
        speed += ["--steps", "1" if tiny else "8", "--device", device, "--json", str(path)]
        if tiny:
            speed += ["--precisions", "fp32", "--model", "particle_transformer_small"]
        if device == "cuda":
            speed += ["--compiled", "--graphed"]
        if peer is not None:
            script = work / "peer_python"
            _write_interpreter(script, peer)
            speed += ["--peer-python", str(script), "--peer-precisions", "fp32", "bf16"]
        found.append(Part(f"speed, batches of {batch}", speed, 90, path))
    path = work / "profile.json"
    profile = [python, "scripts/profile_step.py", "--data", val, "--json", str(path)]
    profile += ["--device", device, "--batch", "8" if tiny else "512"]
    found.append(Part("profile of a step", profile, 40, path))
    return found


def _write_interpreter(path: Path, peer: Path) -> None:
    """Write a Python that finds the peer's package."""
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{peer}:$PYTHONPATH" exec "{sys.executable}" "$@"\n')
    path.chmod(0o755)


def training(stores: Path, run: Path, seconds: float, device: str, *, tiny: bool) -> Part:
    """Return a training of the full Particle Transformer, and its evaluation, for the time left."""
    data = [f"data.{split}={stores / split}" for split in ("train", "val", "test")]
    most = seconds - min(60, seconds / 3)
    options = [f"training.max_seconds={most:.0f}", f"training.device={device}"]
    options += ["training.precision=bf16"] if device == "cuda" else []
    options += ["training.steps=2", "training.batch_size=16"] if tiny else []
    command = [sys.executable, "-m", "parttag.cli", "train", str(RECIPE), *data, *options]
    return Part("training", [*command, "--out", str(run)], seconds)


def run(part: Part, limit: float, log: Path) -> dict:
    """Run a part; return its exit code (124: it was late), its seconds, and what it has found."""
    print(f"== {part.name}, at most {limit:.0f} s", flush=True)
    began = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(
            part.command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            code = 124
    said = log.read_text(errors="replace")
    found = {"rc": code, "seconds": round(time.perf_counter() - began, 1)}
    found["log"] = said[-(_LOG if code else _TAIL) :]
    if part.result is not None and part.result.exists():
        found["result"] = json.loads(part.result.read_text())
    return found


def outcome_of_training(folder: Path) -> dict:
    """Return the epochs and the metrics of a run, as far as there are any."""
    found: dict = {}
    epochs, metrics = folder / "metrics.jsonl", folder / "evaluation" / "metrics.json"
    if epochs.exists():
        found["epochs"] = [json.loads(line) for line in epochs.read_text().splitlines()]
    if metrics.exists():
        found["metrics"] = json.loads(metrics.read_text())
    return found


def as_table(results: dict) -> str:
    """Return what came out, one line a part, then jets a second."""
    lines = ["| part | outcome | seconds |", "|---|---|---|"]
    for name, found in results.items():
        how = {0: "passed", 124: "late"}.get(found["rc"], f"FAILED ({found['rc']})")
        lines.append(f"| {name} | {how} | {found['seconds']} |")
    lines += ["", "| batch | contestant | jets/s |", "|---|---|---|"]
    for found in results.values():
        result = found.get("result", {})
        for name, rate in result.get("rates", {}).items():
            lines.append(f"| {result['batch']} | {name} | {rate['jets_per_second']:,.0f} |")
    return "\n".join(lines) + "\n"


def write(out: Path, results: dict) -> None:
    """Write what is known so far."""
    for name, text in (
        ("results.json", json.dumps(results, indent=1)),
        ("results.md", as_table(results)),
    ):
        (out / f".{name}").write_text(text)
        (out / f".{name}").rename(out / name)


def keep_logs(logs: list[Path], results: dict, out: Path) -> None:
    """Keep the logs of parts that failed, as many and as long as may be."""
    room = _MOST_FILES - sum(1 for _ in out.iterdir())
    failed = [log for log in logs if results[log.stem]["rc"]]
    for log in failed[: max(room, 0)]:
        (out / f"{log.stem.replace(' ', '_')}.log").write_bytes(log.read_bytes()[-_MOST_BYTES:])


def main() -> None:
    """Run all parts; the exit code is 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stores", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--peer", type=Path, help="folder of weaver-core")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="a moment's work, to try the script")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    end = time.perf_counter() + args.seconds
    peer = args.peer if args.peer is not None and (args.peer / "weaver").is_dir() else None
    results: dict = {}
    logs = []
    with TemporaryDirectory() as directory:
        work = Path(directory)
        for part in parts(args.stores, work, peer, args.device, tiny=args.tiny):
            limit = min(
                part.limit if not args.tiny else args.seconds, end - time.perf_counter() - 5
            )
            if limit < 5:
                break
            logs.append(work / f"{part.name}.log")
            results[part.name] = run(part, limit, logs[-1])
            write(args.out, results)
        left = end - time.perf_counter() - 5
        if left > 30:
            part = training(args.stores, work / "run", left, args.device, tiny=args.tiny)
            logs.append(work / "training.log")
            results["training"] = run(part, left, logs[-1])
            results["training"]["result"] = outcome_of_training(work / "run")
            write(args.out, results)
        keep_logs(logs, results, args.out)
    print((args.out / "results.md").read_text())
    sys.exit(any(found["rc"] for found in results.values()))


if __name__ == "__main__":
    main()
