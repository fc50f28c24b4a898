"""The things that a processor or a backend may say about a failure. Anything else raised is a bug."""


class Poison(Exception):
    """This event can never work: it goes to the dead letters, and its sender is told.

    `code` is a short dashed word that a program can compare; `detail` tells a person what is wrong with which
    input and what to do.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Transient(Exception):
    """A service cannot work right now: the same event is tried again, in place.

    `retry_after_s` says that it works and is busy: the delay that it asked for, or a short one where it asked for none.
    """

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class NotYet(Transient):
    """What the event asks for is under way, and it is worth waiting for: nothing is wrong with any service.

    The same event is tried again for `wait_s` in all; then it ends with `code`, and `reason` as the detail.
    """

    def __init__(self, code: str, reason: str, *, wait_s: float) -> None:
        super().__init__(reason)
        self.code = code
        self.wait_s = wait_s
