"""Pages whose files are outside of docs: Sphinx reads copies, and links lead to these."""

import re
from collections.abc import Mapping
from pathlib import Path

from sphinx.application import Sphinx

_ROOT = Path(__file__).parents[2]
_PAGES = {
    "data_sets": "data/README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security_policy": "SECURITY.md",
}
_FOLDER = "reference/generated"
_LINK = re.compile(r"\]\((?P<path>[\w./-]+\.md)(?P<anchor>#[\w-]*)?\)")


def pages() -> Mapping[str, str]:
    """Return a copy of each page, with links as seen from where it goes."""
    return {
        name: _LINK.sub(lambda link, of=path: _seen_from_copy(link, of), (_ROOT / path).read_text())
        for name, path in _PAGES.items()
    }


def turn_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links of a page to files outside of docs to their copies."""
    folder = (Path(app.srcdir) / docname).parent
    source[0] = _LINK.sub(lambda link: _to_copy(link, folder), source[0])


def _to_copy(link: re.Match[str], folder: Path) -> str:
    target = (folder / link["path"]).resolve()
    for name, path in _PAGES.items():
        if target == _ROOT / path:
            return f"](/{_FOLDER}/{name}.md{link['anchor'] or ''})"
    return link[0]


def _seen_from_copy(link: re.Match[str], path: str) -> str:
    target = (_ROOT / path).parent / link["path"]
    for name, other in _PAGES.items():
        if target.resolve() == _ROOT / other:
            return f"]({name}.md{link['anchor'] or ''})"
    if target.resolve().is_relative_to(_ROOT / "docs"):
        return f"](/{target.resolve().relative_to(_ROOT / 'docs')}{link['anchor'] or ''})"
    return link[0]
