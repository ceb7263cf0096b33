"""Why signing on failed."""


class SignOnError(Exception):
    """
    This user cannot be signed on to this application.

    The text is for the operator's log: it names the claim or the step, and
    carries no value of it.

    @ivar reason: what the user is told: one of L{appproxy.model.refusal.SIGN_ON_REASONS}.
    @ivar cause: a stable name of what went wrong, where there are several for a reason. The text
        begins with it.
    """

    def __init__(self, text: str, reason: str = "sso_failed", cause: str = "") -> None:
        Exception.__init__(self, f"{cause}: {text}" if cause else text)
        self.reason = reason
        self.cause = cause
