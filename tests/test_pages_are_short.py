"""Pages of the site are short: their words, their paragraphs, and where commits stand."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if not {"_build", "generated"} & set(path.relative_to(DOCS).parts)
)
OUTSIDE = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "data/README.md")
]
MOST_WORDS = 1500
MOST_WORDS_OF_THE_README = 900
MOST_WORDS_OF_A_PARAGRAPH = 90
# Seven to forty hexadecimal digits, of which some are letters and some are not.
COMMIT = re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b")
# The file of a link or a picture, without a place in it.
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(text: str) -> list[str]:
    """Return the paragraphs and the items of lists, without code, tables and headings."""
    text = re.sub(r"^( *)(```|:::).*?^\1\2 *$", "\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^ *(\||#).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"^ *([-*]|\d+\.) ", "\n", text, flags=re.MULTILINE)
    return [block for block in re.split(r"\n\s*\n", text) if block.strip()]


def faults(path: Path, most_words: int) -> list[str]:
    """Return what a page has too much of."""
    text = path.read_text(encoding="utf-8")
    found = []
    if len(text.split()) > most_words:
        found.append(f"{len(text.split())} words")
    for block in blocks(text):
        words = block.split()
        if len(words) > MOST_WORDS_OF_A_PARAGRAPH:
            found.append(f"{len(words)} words in: {' '.join(words[:8])}")
    if path.name != "log.md":
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("|")]
        found += [f"commit {c} outside of a table" for c in COMMIT.findall("\n".join(lines))]
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_a_page_is_short(path):
    is_reference = path.is_relative_to(DOCS / "reference")
    assert not faults(path, 10_000 if is_reference else MOST_WORDS)


def test_the_readme_is_short():
    assert not faults(ROOT / "README.md", MOST_WORDS_OF_THE_README)


def test_what_is_too_long_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n" + "word " * 91 + "\n\n- " + "item " * 90 + "\n- item\n")
    assert faults(page, 300) == ["91 words in: word word word word word word word word"]
    page.write_text("| at | 1a2b3c4 |\n|---|---|\n\nAt 1a2b3c4, of 1234567 jets that faded.\n")
    assert faults(page, 300) == ["commit 1a2b3c4 outside of a table"]
    assert faults(page, 10) == ["13 words", "commit 1a2b3c4 outside of a table"]


@pytest.mark.parametrize("path", OUTSIDE + PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(path):
    """Links to pages that the site makes are checked where it is built."""
    text = path.read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if "://" not in link and "generated/" not in link]
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing
