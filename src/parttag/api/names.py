"""Names of files that are given to the command line."""

from parttag.options import local_name

__all__ = ["local_name"]
