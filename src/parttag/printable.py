"""Foreign text, such as names in files, made fit for terminals and logs."""

import logging

# What turns the direction of the text that follows, or breaks lines, besides ASCII's.
_HIDDEN = (*range(0x80, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_SHOWN = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) != "\n"},
    0x7F: "␡",
    **dict.fromkeys(_HIDDEN, "�"),
    **dict.fromkeys(range(0xD800, 0xE000), "�"),  # which UTF-8 cannot hold
}


def printable(text: str) -> str:
    """Return a text whose control characters, line ends apart, are shown instead of sent.

    A terminal that is sent them may change its title, its colours or what was printed before. Each
    becomes one character: ``␛`` for an escape.
    """
    return text.translate(_SHOWN)


class PrintableFormatter(logging.Formatter):
    """Writes log messages whose control characters are shown."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines, of a message."""
        return printable(super().format(record))
