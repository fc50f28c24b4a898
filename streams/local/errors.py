"""What can go wrong with the local stack, each with what to do about it."""


class StackError(Exception):
    """The local stack cannot do what was asked; the message says why and what to do."""


class AlreadyRunning(StackError):
    """Another supervisor was quicker."""


class PartFailed(StackError):
    """One part does not start or stay up."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"{part}: {reason}")
        self.part = part
        self.reason = reason
