"""The one exception that is the user's to act on."""


class InputError(Exception):
    """A file, branch, configuration key or option that parttag cannot use.

    The message is one sentence that names the culprit and says what to do. The command line
    prints it without a traceback and exits with code 2.
    """
