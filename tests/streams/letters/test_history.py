"""What a record went through: whatever it was, it fits a header and can be read back."""

from hypothesis import given
from hypothesis import strategies as st

from streams.letters.history import MAX_DETAIL_CHARS, Failure, earlier, lengthened
from streams.runtime.headers import MAX_HISTORY_BYTES, history_of
from streams.runtime.records import Headers

FAILURES = st.builds(Failure, st.text(), st.text(), st.text(max_size=5_000), st.text(), st.integers(1, 1_000))


@given(st.lists(FAILURES, min_size=1, max_size=60))
def test_a_history_is_bounded_and_ends_with_the_last_failures(failures: list[Failure]) -> None:
    headers: Headers = [("ce_type", b"a")]
    for failure in failures:
        headers = lengthened(headers, failure)
    assert [name for name, _ in headers] == ["ce_type", "hw-history"]
    kept = earlier(headers)
    assert kept
    assert len(dict(headers)["hw-history"] or b"") <= MAX_HISTORY_BYTES
    assert [each.attempts for each in kept] == [each.attempts for each in failures[-len(kept) :]]
    assert all(len(each.detail) <= MAX_DETAIL_CHARS for each in kept)


def test_the_oldest_goes_first_and_only_when_there_is_no_room() -> None:
    headers: Headers = []
    for number in range(60):
        headers = lengthened(headers, Failure("chunk", "odd", "x" * 200, "2026-01-01T00:00:00+00:00", number))
    numbers = [failure.attempts for failure in earlier(headers)]
    assert numbers == list(range(60 - len(numbers), 60))
    assert len(numbers) > 20


def test_what_is_no_history_counts_as_none() -> None:
    for value in (b"", b"{", b"{}", b"null", b"[1, null]", b"\xff"):
        assert earlier([("hw-history", value)]) == ()
    (failure,) = earlier([("HW-History", b'[{"stage": 1, "code": "odd", "attempts": "many"}]')])
    assert failure == Failure("", "odd", "", "", 1)
    assert len(earlier(lengthened([("hw-history", b"{")], failure))) == 1


def test_a_history_of_somebodys_own_that_is_too_long_is_not_carried_on() -> None:
    longest = b"[" + b" " * (MAX_HISTORY_BYTES - 2) + b"]"
    assert history_of([("hw-history", longest)]) == longest
    assert history_of([("hw-history", longest + b" ")]) is None
