"""Packs what scripts/gpu_checks.sh needs on a machine without a network, and unpacks it there.

    pip download --no-deps --only-binary :all: -r scripts/gpu_wheels.txt -d WHEELS
    pip download --no-deps weaver-core==0.5.3 -d WHEELS        # the peer, without its dependencies
    python scripts/pack_gpu_checks.py pack JETS WHEELS .gpu    # JETS: train, val and test, as files
    python scripts/pack_gpu_checks.py unpack .gpu/jets STORES  # which the checks do themselves

Jets become stores, without loss in fewer bytes: of a four-momentum, (px, py, pz) with the bytes of
equal weight together, and the energy by how far it is from |p| in units of the last place. With the
files of the repository all of it must fit ``LIMIT``, and nothing is left where it does not.
"""

import json
import lzma
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

LIMIT = 64 << 20
"""Bytes of the working tree and the pack together."""
SPLITS = ("train", "val", "test")
ROOT = Path(__file__).parents[1]


def pack_store(store: Path, out: Path) -> None:
    """Write a store in fewer bytes."""
    out.mkdir(parents=True)
    manifest = (store / "manifest.json").read_bytes()
    (out / "manifest.json").write_bytes(manifest)
    for shard in json.loads(manifest)["shards"]:
        content = bytearray((store / shard["name"]).read_bytes())
        begin, end = _momenta(shard)
        p4 = np.frombuffer(bytes(content[begin:end]), "<f4").reshape(-1, 4)
        content[begin:end] = bytes(end - begin)
        planes = np.ascontiguousarray(p4[:, :3].T).view(np.uint8).reshape(-1, 4).T
        units = p4[:, 3].view(np.int32) - _magnitude(p4[:, :3]).view(np.int32)
        for part, values in (("rest", content), ("p3", planes.tobytes()), ("e", units.tobytes())):
            path = out / f"{shard['name']}.{part}.xz"
            path.write_bytes(lzma.compress(bytes(values), preset=1))


def unpack_store(packed: Path, out: Path) -> None:
    """Write a store as it was before ``pack_store``."""
    out.mkdir(parents=True)
    manifest = (packed / "manifest.json").read_bytes()
    (out / "manifest.json").write_bytes(manifest)
    for shard in json.loads(manifest)["shards"]:
        rest, p3, units = (
            lzma.decompress((packed / f"{shard['name']}.{part}.xz").read_bytes())
            for part in ("rest", "p3", "e")
        )
        content, (begin, end) = bytearray(rest), _momenta(shard)
        by_weight = np.frombuffer(p3, np.uint8).reshape(4, -1)
        momenta = np.ascontiguousarray(by_weight.T).view("<f4").reshape(3, -1).T
        energy = (_magnitude(momenta).view(np.int32) + np.frombuffer(units, np.int32)).view("<f4")
        content[begin:end] = np.column_stack([momenta, energy]).astype("<f4").tobytes()
        (out / shard["name"]).write_bytes(bytes(content))


def _momenta(shard: dict) -> tuple[int, int]:
    """Return where the four-momenta of a shard begin and end in its file."""
    begin = shard["starts"]["p4"]
    return begin, begin + 16 * shard["num_particles"]


def _magnitude(momenta: np.ndarray) -> np.ndarray:
    return np.sqrt((momenta.astype(np.float64) ** 2).sum(axis=1)).astype("<f4")


def pack(jets: Path, wheels: Path, out: Path) -> dict[str, int]:
    """Pack jets and wheels; return the bytes of each, and of the files of the repository."""
    from parttag.data import prepare

    if out.exists():
        sys.exit(f"{out} exists; remove it, or choose another folder")
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        for split in SPLITS:
            files = sorted(jets.glob(f"{split}*"))
            if not files:
                sys.exit(f"{jets} holds nothing whose name begins with {split}")
            prepare([str(files[0])], folder / "stores" / split)
            pack_store(folder / "stores" / split, folder / "pack" / "jets" / split)
        (folder / "pack" / "wheels").mkdir()
        for wheel in sorted(wheels.glob("*.whl")):
            shutil.copy(wheel, folder / "pack" / "wheels")
        sizes = {name: _bytes_in(folder / "pack" / name) for name in ("jets", "wheels")}
        sizes["repository"] = _bytes_of_repository()
        total = sum(sizes.values())
        said = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in sizes.items())
        print(f"{total / 2**20:.1f} MiB of {LIMIT / 2**20:.0f}: {said}")
        if total > LIMIT:
            sys.exit("that is too much: take fewer jets or wheels")
        shutil.move(folder / "pack", out)
    return sizes


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _bytes_of_repository() -> int:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    return sum((ROOT / name).stat().st_size for name in names if (ROOT / name).is_file())


def main() -> None:
    """Pack or unpack."""
    match sys.argv[1:]:
        case ["pack", jets, wheels, out]:
            pack(Path(jets), Path(wheels), Path(out))
        case ["unpack", packed, out]:
            for store in sorted(Path(packed).iterdir()):
                unpack_store(store, Path(out) / store.name)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
