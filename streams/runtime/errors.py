"""The one thing that ends a worker: everything else becomes a dead letter, a reply or a retry."""


class Fatal(Exception):
    """The worker must stop now and leave the record uncommitted, so that the next start tries it again.

    `code` is one of `transient-budget`, `breaker-open`, `dead-letter-failed`, `broker-lost`, `topic-missing`,
    `not-allowed`, `loop-stuck`, `commits-refused`.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class NotAllowed(ConnectionError):
    """The broker lets others write this topic, and us not."""
