"""The layouts that parttag knows by name, each with the YAML that it stands for."""

from collections.abc import Mapping

import parttag


def pages() -> Mapping[str, str]:
    """Return the page of the layouts."""
    blocks = [
        "# Layouts by name",
        "`columns: {layout: NAME}` in a configuration, `--columns` of the commands, `columns=` in "
        "Python. What else stands in the section replaces what the layout says.",
    ]
    for name, layout in parttag.layouts().items():
        blocks += [f"## {name}", layout.description, f"```yaml\n{layout.text.strip()}\n```"]
    return {"layouts": "\n\n".join(blocks)}
