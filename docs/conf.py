"""Configuration of the site: Sphinx reads it; ``scripts/docs.sh`` builds."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))
sys.path.append(str(Path(__file__).parents[1] / "scripts"))

project = "parttag"
author = "the parttag developers"
copyright = author  # noqa: A001

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "generated_pages",
]
exclude_patterns = ["extensions"]

# The tutorials are committed with the outputs of their full size; scripts/docs.sh runs each of them
# at toy size first, and fails where one fails.
nb_execution_mode = "off"
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "parttag"
html_static_path = ["static"]
html_css_files = ["site.css"]
