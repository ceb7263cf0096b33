"""Why a call was not made."""


class Overloaded(Exception):
    """
    Too many calls wait already, or none are taken any more.

    The text says which bound was met, and names no user.
    """
