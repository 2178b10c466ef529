"""Foreign text made safe to print. Needs nothing else of parttag."""

from parttag.printable import PrintableFormatter, printable

__all__ = ["PrintableFormatter", "printable"]
