"""Any event that the classes allow, for property tests: strategies derived from the annotations themselves."""

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

import annotated_types
from hypothesis import strategies as st
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from schemas import Event

LONGEST = 40
"""Of texts and collections, where the class sets no lower limit: enough to differ, quick to draw."""


def events(event: type[Event]) -> st.SearchStrategy[Event]:
    return _values(event)


def _values(hint: Any, constraints: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    if hint is AwareDatetime or hint is datetime:
        return _times()
    if isinstance(hint, NewType):
        return _values(hint.__supertype__, constraints)
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        return st.builds(hint, **{each.name: _values(hints[each.name]) for each in fields(hint)})
    origin = get_origin(hint)
    if origin is Annotated:
        base, *extra = get_args(hint)
        return _values(base, (*constraints, *_flat(extra)))
    return _scalars(hint, constraints) if origin is None else _composed(origin, get_args(hint), constraints)


def _composed(origin: Any, arguments: tuple[Any, ...], constraints: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    composed: dict[Any, Callable[[], st.SearchStrategy[Any]]] = {
        Literal: lambda: st.sampled_from(arguments),
        Union: lambda: st.one_of([_values(option) for option in arguments]),
        types.UnionType: lambda: st.one_of([_values(option) for option in arguments]),
        tuple: lambda: st.lists(_values(arguments[0]), **_sizes(constraints, 4)).map(tuple),
        Mapping: lambda: st.dictionaries(_values(arguments[0]), _values(arguments[1]), **_sizes(constraints, 4)),
    }
    return composed[origin]()


def _flat(metadata: list[Any]) -> list[Any]:
    return [part for each in metadata for part in (each.metadata if isinstance(each, FieldInfo) else [each])]


def _scalars(hint: Any, constraints: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    pattern = next((each.pattern for each in constraints if getattr(each, "pattern", None)), None)
    if hint is str and pattern:
        return st.from_regex(pattern.replace("$", r"\Z"), fullmatch=True)
    if hint is str:
        return st.text(**_sizes(constraints, LONGEST))
    if hint is int:
        limits: dict[str, Any] = {
            name: getattr(each, name) for each in constraints for name in ("ge", "le", "lt") if hasattr(each, name)
        }
        return st.integers(limits.get("ge"), limits["lt"] - 1 if "lt" in limits else limits.get("le"))
    simple = {
        bool: st.booleans(),
        float: st.floats(
            *(
                next((getattr(each, name) for each in constraints if hasattr(each, name)), None)
                for name in ("ge", "le")
            ),
            allow_nan=False,
            allow_infinity=False,
        ),
        bytes: st.binary(max_size=LONGEST),
        types.NoneType: st.none(),
    }
    return simple[hint]


def _sizes(constraints: tuple[Any, ...], most: int) -> dict[str, Any]:
    least = max((each.min_length for each in constraints if isinstance(each, annotated_types.MinLen)), default=0)
    longest = min((each.max_length for each in constraints if isinstance(each, annotated_types.MaxLen)), default=most)
    return {"min_size": least, "max_size": min(longest, max(least, most))}


def _times() -> st.SearchStrategy[datetime]:
    offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    first, last = datetime(1970, 1, 2), datetime(9000, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
    return st.datetimes(min_value=first, max_value=last, timezones=st.one_of(st.just(UTC), offsets))
