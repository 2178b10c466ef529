"""A record of Zenodo on this machine, with every fault that a server can have."""

import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fake:
    """What a record has, and how its server misbehaves.

    ``cut_after``: bytes of each answer before the connection ends, with the full length promised;
    ``lie``: added to the promised length; ``says``: sizes or checksums that the record claims.
    """

    number: int
    files: dict[str, bytes]
    md5: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    cut_after: int | None = None
    ignores_ranges: bool = False
    lie: int = 0
    wrong_range: bool = False
    busy: int = 0
    status: int = 200
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def listing(self):
        """Return what Zenodo's API says of the record."""
        return {
            "id": self.number,
            "files": [
                {
                    "key": name,
                    "size": self.sizes.get(name, len(content)),
                    "checksum": "md5:" + self.md5.get(name, hashlib.md5(content).hexdigest()),
                    "links": {"self": f"{self.url}/api/records/{self.number}/files/{name}/content"},
                }
                for name, content in self.files.items()
            ],
        }

    def ranges(self, name):
        """Return the ranges that were asked for of a file."""
        return [wanted for path, wanted in self.requests if f"/{name}/" in path]


@contextmanager
def serving(fake):
    """Serve a record at ``fake.url``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_GET(self):
            fake.requests.append((self.path, self.headers.get("Range")))
            if self.path == f"/api/records/{fake.number}":
                return self.answer(200, json.dumps(fake.listing()).encode())
            name = self.path.split("/")[-2]
            if name not in fake.files or fake.status != 200:
                return self.answer(fake.status if fake.status != 200 else 404, b"")
            if fake.busy:
                fake.busy -= 1
                return self.answer(503, b"")
            return self.file(fake.files[name])

        def file(self, content):
            wanted = self.headers.get("Range")
            if wanted is None or fake.ignores_ranges:
                return self.answer(200, content, fake.lie, fake.cut_after)
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.answer(416, b"")
            told = start + 1 if fake.wrong_range else start
            where = f"bytes {told}-{len(content) - 1}/{len(content)}"
            return self.answer(206, content[start:], fake.lie, fake.cut_after, where)

        def answer(self, status, content, lie=0, cut_after=None, where=None):
            self.send_response(status)
            self.send_header("Content-Length", str(max(len(content) + lie, 0)))
            if where:
                self.send_header("Content-Range", where)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content if cut_after is None else content[:cut_after])
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
