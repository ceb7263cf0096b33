"""Why signing on failed."""


class SignOnError(Exception):
    """
    This user cannot be signed on to this application.

    The text is for the operator's log: it names the claim or the step, and
    carries no value of it.

    @ivar reason: what the user is told: one of L{appproxy.model.refusal.SIGN_ON_REASONS}.
    """

    def __init__(self, text: str, reason: str = "sso_failed") -> None:
        Exception.__init__(self, text)
        self.reason = reason
