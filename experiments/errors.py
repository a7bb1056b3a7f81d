"""The error that the command line shows without a traceback."""


class UserError(ValueError):
    """What the user asked for cannot be done; the message says what to do instead."""
