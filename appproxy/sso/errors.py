"""Why signing on failed."""


class SignOnError(Exception):
    """
    This user cannot be signed on to this application.

    The text is for the operator's log: it names the claim or the step, and
    carries no value of it.
    """
