"""Which letters are meant: by id, or by what they say."""

from dataclasses import dataclass

from streams.letters.letter import DeadLetter, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Letters by their ids, or those that fit all that is said; several values of one kind are alternatives."""

    ids: frozenset[Place] | None = None
    """None: by what they say."""
    codes: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    """`tenant/document_id`."""

    def picks(self, letter: DeadLetter) -> bool:
        if self.ids is not None:
            return letter.id in self.ids
        return (
            (not self.codes or letter.code in self.codes)
            and (not self.stages or letter.stage in self.stages)
            and (not self.documents or letter.key in self.documents)
        )
