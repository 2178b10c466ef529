"""The public records: which files each has, and what Zenodo says of them.

A checksum that is written down here is the one that counts; where there is none, the record's own
is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

from parttag.errors import InputError, option

ZENODO = "https://zenodo.org"
_TIMEOUT = 60.0  # seconds

DataSet = Literal["toptagging", "jetclass", "quarkgluon"]


@dataclass(frozen=True)
class RecordFile:
    """A file of a record: its name, what ``--files`` may call it, checksums where we know them."""

    name: str
    aliases: tuple[str, ...]
    md5: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Record:
    """A record of Zenodo, by its number, with the files that parttag knows of."""

    number: int
    files: tuple[RecordFile, ...]

    @property
    def doi(self) -> str:
        """The record's DOI."""
        return f"10.5281/zenodo.{self.number}"

    def choose(self, wanted: Sequence[str]) -> tuple[RecordFile, ...]:
        """Return the files of these names, all if there are none.

        Raises
        ------
        InputError
            If a name is neither a file of this record nor an alias.
        """
        for name in wanted:
            if not any(name in (file.name, *file.aliases) for file in self.files):
                known = dict.fromkeys(alias for file in self.files for alias in file.aliases)
                raise InputError(
                    f"{option('files', name)}: {self.doi} has no such file; it has "
                    f"{', '.join(known)}"
                )
        chosen = set(wanted)
        return tuple(f for f in self.files if not wanted or chosen & {f.name, *f.aliases})


_JETCLASS_TRAIN_MD5 = (
    "de4fd2dca2e68ab3c85d5cfd3bcc65c3",
    "9722a359c5ef697bea0fbf79bf50f003",
    "1e9f66cd1f915f9d10e90ae1d7761720",
    "47348fc8985319fa4806da87500482fa",
    "6b0ce16bd93b442a8d51914466990279",
    "416e347512e716de51d392bee327b8e9",
    "e9b9c1557b1b39bf0a16e4ab631ae451",
    "5bfc6cb285ccb7680cefa9ac82ad1a2e",
    "540c1a0d66dfad78d2b363c5740ccf86",
    "668f40b3275167ff7104c48317c0ae2a",
)

# Of QG_jets.npz, QG_jets_1.npz and so on: MD5 and SHA-256 as the authors of the record write them
# down in their package EnergyFlow (energyflow/datasets/qg_jets.py, HASHES, pythia, nobc).
_QUARK_GLUON = (
    (
        "f5d052f10a79c6e8b9382637aca0ef52",
        "3f27a02eab06e8b83ccc9d25638021e6e24c9361341730961f9d560dee12c257",
    ),
    (
        "f6a1081c76a47386bc11abcf0e499552",
        "648e49cd59b5353e0064e7b1a3388d9c2f4a454d3ca67afaa8d0344c836ecb35",
    ),
    (
        "2628367c57ba598f4473c870d1381041",
        "09f7b16fa7edb312c0f652bb8504de45f082c4193df65204d693155017272fe9",
    ),
    (
        "dd3ad998b0a1bd9acea2ecf029a8a921",
        "7dc9a50bb38e9f6fc1f11db18f9bd04f72823c944851746b848dee0bba808537",
    ),
    (
        "a56d6bb98361b55382aa8c06225e05d8",
        "3e6217aad8e0502f5ce3b6371c61396dfc48a6cf4f26ee377cc7b991b1d2b543",
    ),
    (
        "266c688e9e6ff1cd20840692d45eaaf8",
        "b5b7d742b2599bcbe1d7a639895bca64c28da513dc3620b0e5bbb5801f8c88fd",
    ),
    (
        "95a9f7e555fb7b1073967056b9030b11",
        "7d31bc48c15983401e0dbe8fd5ee938c3809d9ee3c909f4adab6daf8b73c14f1",
    ),
    (
        "4ae72aaabe121bd489532c99a6bdde95",
        "cec0d7b2afa9d955543c597f9b7f3b3767812a68b2401ec870caf3a2ceb98401",
    ),
    (
        "a2b80bd4199468fde4f302d346a8c9d8",
        "e984620f57abe06fc5d0b063f9f84ba54bd3e8c295d2b2419a7b1c6175079ed4",
    ),
    (
        "1157cbace488c70c9dcfc250f3345b06",
        "6e3b69196995d6eb3b8e7af874e2b9f93d904624f7a7a73b8ff39f151e3bd189",
    ),
    (
        "4b424b553e1e7f852e47ea9904bc2dcf",
        "fa3d386f230b806058ff17e5bd77326ff4bf01d72aa5eb3325c1df2a8825927c",
    ),
    (
        "ccd29c9d1abb34dd7cfb48cfc57a9695",
        "acd49ab7bea8f72ecf699a9a898bccacc8730474259d68406656a5a43d407fb0",
    ),
    (
        "1ed1f6f19fb8439c9811dced41d5127d",
        "2edd55b8bc30c686a0637855e1ba068586eb97041e8114d5540d96db2a7a2e17",
    ),
    (
        "af45818c361e11ca9b3adaba30db06ad",
        "7276a8a0e573f9795a47f9d5addc10d2af903c2a0ffa5c848a720ccae93daa90",
    ),
    (
        "488ced3ea409d7e2b196da67f7d182ec",
        "2068ecfa912e94cd3ce7273b7c77af0bbd5ec57940997e7483b56f03434a6869",
    ),
    (
        "c5e083019de6cd6a0ef12bcec1ea566b",
        "41a732ce6321dd593214225b03fb87329607ccae768c705e3896ffecc28bfcca",
    ),
    (
        "48605d55edff665f0c7d2f800b5a622e",
        "9d68caeb18f3ccf127b9032f52e63ee011c4381293a3a503f894e5c0741ae215",
    ),
    (
        "8fd47760957b5fd9adec9048b50cd1a9",
        "086053ca611bb04d97fa0b6509b4ffb6955421b067c7b277498f0e5188879331",
    ),
    (
        "d43d611484b55391e891ba31c605f792",
        "cdc595f5fedef7db9411a9f93f2786f110073b4d17a523700f625846588b1e44",
    ),
    (
        "6753508e34014cc69714a01fca20ec38",
        "d07781139320ae134ce4824bc0cefa43fd5003cd97cdf3aed90d4fb12fad8a1d",
    ),
)

# As several programs that read the set check them, keras' loader of hep-ml-lab among them; no
# SHA-256 of these files, nor of JetClass's, has been published.
_TOP_TAGGING_MD5 = {
    "train": "45663819f47c13724f67eb0fd80bfa5c",
    "val": "dca4b7248027618f041f9baa86d360fc",
    "test": "13163479dee30a5fe546e4536cc3d04d",
}

RECORDS: dict[DataSet, Record] = {
    "toptagging": Record(
        2603256,
        tuple(RecordFile(f"{split}.h5", (split,), md5) for split, md5 in _TOP_TAGGING_MD5.items()),
    ),
    "jetclass": Record(
        6619768,
        (
            *(
                RecordFile(f"JetClass_Pythia_train_100M_part{i}.tar", ("train", f"part{i}"), md5)
                for i, md5 in enumerate(_JETCLASS_TRAIN_MD5)
            ),
            RecordFile("JetClass_Pythia_val_5M.tar", ("val",), "7235ccb577ed85023ea3ab4d5e6160cf"),
            RecordFile(
                "JetClass_Pythia_test_20M.tar", ("test",), "64e5156d26d101adeb43b8388207d767"
            ),
        ),
    ),
    "quarkgluon": Record(
        3164691,
        tuple(
            RecordFile(f"QG_jets_{i}.npz" if i else "QG_jets.npz", (str(i),), *checksums)
            for i, checksums in enumerate(_QUARK_GLUON)
        ),
    ),
}


@dataclass(frozen=True)
class Source:
    """Where a file comes from, and how to know that it came: bytes, MD5, SHA-256 if known."""

    name: str
    url: str
    size: int
    md5: str
    sha256: str | None = None


def look_up(
    record: Record, files: Sequence[RecordFile], base_url: str = ZENODO
) -> tuple[Source, ...]:
    """Ask the record for address, size and checksum of its files.

    Raises
    ------
    InputError
        If the record cannot be reached or read, lacks a file, or gives another checksum than the
        one that is known.
    """
    from pooch.downloaders import ZenodoRepository

    page = f"{base_url}/records/{record.number}"
    repository = ZenodoRepository(record.doi, page, timeout=_TIMEOUT)
    repository.base_api_url = f"{base_url}/api/records"
    listing = SimpleNamespace(registry={})
    try:
        repository.populate_registry(listing)
        sizes = {
            entry.get("key", entry.get("filename")): int(entry.get("size", entry.get("filesize")))
            for entry in repository.api_response["files"]
        }
        sources = [
            Source(
                file.name,
                web_address(repository.download_url(file.name)),
                sizes[file.name],
                listing.registry[file.name].removeprefix("md5:"),
                file.sha256,
            )
            for file in files
        ]
    except OSError as error:  # of the network too
        raise InputError(
            f"the record {page} cannot be reached ({type(error).__name__}): try again later, or "
            "check the connection"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"the record {page} does not say where its files are ({error}): download them by hand"
        ) from error
    for file, source in zip(files, sources, strict=True):
        if file.md5 not in (None, source.md5):
            raise InputError(
                f"{file.name}: the record {page} has the MD5 {source.md5}, not {file.md5}, which "
                "the set was published with: download it by hand if that is meant"
            )
    return tuple(sources)


def web_address(url: str) -> str:
    """Return an address, or raise ``ValueError`` if it is one of a file of this machine, say."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url} is no address of the web")
    return url
