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
    """A file of a record: its name, what ``--files`` may call it, its MD5 where we know it."""

    name: str
    aliases: tuple[str, ...]
    md5: str | None = None


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

RECORDS: dict[DataSet, Record] = {
    "toptagging": Record(
        2603256, tuple(RecordFile(f"{split}.h5", (split,)) for split in ("train", "val", "test"))
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
        (
            RecordFile("QG_jets.npz", ("0",)),
            *(RecordFile(f"QG_jets_{i}.npz", (str(i),)) for i in range(1, 20)),
        ),
    ),
}


@dataclass(frozen=True)
class Source:
    """Where a file comes from, and how to know that it came: bytes and MD5."""

    name: str
    url: str
    size: int
    md5: str


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
                "JetClass was published with: download it by hand if that is meant"
            )
    return tuple(sources)


def web_address(url: str) -> str:
    """Return an address, or raise ``ValueError`` if it is one of a file of this machine, say."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url} is no address of the web")
    return url
