"""What ``parttag convert weaver`` writes: a configuration, with its remarks above it."""

from textwrap import wrap

from parttag.printable import printable
from parttag.runs.weaver.convert import Conversion

_WIDTH = 98


def written(conversion: Conversion, name: str) -> str:
    """Return the YAML of a conversion, with comments.

    Parameters
    ----------
    name
        Of the data configuration.
    """
    lines = [f"From weaver-core's {name} by parttag convert weaver."]
    if conversion.keep:
        lines.append(f"parttag predict RUN FILES --keep {','.join(conversion.keep)}")
    lines += map(str, conversion.remarks)
    comments = [
        f"# {part}" for line in lines for part in wrap(printable(line).replace("\n", " "), _WIDTH)
    ]
    return "\n".join(comments) + "\n" + conversion.text
