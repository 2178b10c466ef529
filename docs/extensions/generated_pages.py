"""Pages that are made of the package itself: commands, keys, names, networks, layouts.

They are written to ``docs/reference/generated``, which is not committed, before Sphinx reads its
sources: what they say is what the installed parttag does.
"""

from collections.abc import Mapping
from pathlib import Path

import command_pages
import configuration_pages
import layout_pages
import markdown
import network_pages
import outside_pages
import python_pages
from sphinx.application import Sphinx

FOLDER = "reference/generated"


def pages() -> Mapping[str, str]:
    """Return every page by its path below the folder, without ``.md``."""
    made: dict[str, str] = {}
    for maker in (
        command_pages.pages,
        configuration_pages.pages,
        python_pages.pages,
        network_pages.pages,
        layout_pages.pages,
        outside_pages.pages,
    ):
        made.update(maker())
    return made


def _write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / FOLDER
    made = {folder / f"{name}.md": text for name, text in pages().items()}
    for path in folder.rglob("*.md"):
        if path not in made:
            path.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Untouched where nothing changed, so that Sphinx reads only what did.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the writing of the pages."""
    app.connect("builder-inited", _write)
    app.connect("source-read", outside_pages.turn_links)
    app.connect("source-read", markdown.keep_numbers_together)
    return {"parallel_read_safe": True}
