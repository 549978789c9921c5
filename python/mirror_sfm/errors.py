"""The errors a user can cause. Each message is one line: what was expected, what came, what to do."""


class MirrorError(Exception):
    """The input cannot be used; the message says why. The command line prints it without a traceback."""

    exit_code = 1


class UsageError(MirrorError):
    """The job was asked for in a wrong way: an option out of range, a folder that is not there."""

    exit_code = 2
