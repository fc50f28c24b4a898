"""What each endpoint reads, in TEI's order of fields."""

from tests.servers.tei.bodies import Body, Field, Json, WrongShape, boolean, one_of, optional, size, string, strings
from tests.servers.tei.encoding import Input, Pair

DIRECTION = one_of("Left", "left", "Right", "right")


def inputs(given: Json) -> Input | list[Input]:
    """One text, or one input as token ids, or a list that may mix both."""
    if isinstance(given, str):
        return given
    if isinstance(given, list):
        if all(_is_id(each) for each in given):
            return _ids(given)
        found: list[Input] = []
        for each in given:
            if isinstance(each, str):
                found.append(each)
            elif isinstance(each, list) and all(_is_id(one) for one in each):
                found.append(_ids(each))
            else:
                break
        else:
            return found
    raise WrongShape("data did not match any variant of untagged enum Input")


def texts(given: Json) -> str | list[str]:
    if isinstance(given, str):
        return given
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        return [each for each in given if isinstance(each, str)]
    raise WrongShape("data did not match any variant of untagged enum TokenizeInput")


def ids(given: Json) -> list[int] | list[list[int]]:
    if isinstance(given, list):
        if all(_is_id(each) for each in given):
            return _ids(given)
        if all(isinstance(each, list) and all(_is_id(one) for one in each) for each in given):
            return [_ids(each) for each in given if isinstance(each, list)]
    raise WrongShape("data did not match any variant of untagged enum InputIds")


def sequences(given: Json) -> str | Pair | list[str | Pair]:
    """A text, a pair of texts, or a list of lists of one text or two."""
    if isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise WrongShape("invalid type, expected a string, a pair of strings or a batch")
    if given and all(isinstance(each, list) for each in given):
        return [_sequence(strings(each), len(given)) for each in given]
    return _sequence(strings(given), len(given), least=2)


def _sequence(given: list[str], length: int, least: int = 1) -> str | Pair:
    if least <= len(given) <= 2:
        return (given[0], given[1]) if len(given) == 2 else given[0]
    raise WrongShape(
        f"invalid length {length}, expected a string, a pair of strings [string, string] or a batch of mixed strings "
        "and pairs [[string], [string, string], ...]"
    )


def _is_id(given: Json) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 2**32


def _ids(given: list[Json]) -> list[int]:
    return [each for each in given if isinstance(each, int)]


EMBED = Body(
    "EmbedRequest",
    {
        "inputs": Field(inputs),
        "truncate": Field(optional(boolean), None),
        "truncation_direction": Field(DIRECTION, "right"),
        "prompt_name": Field(optional(string), None, positional=False),
        "normalize": Field(boolean, True),
        "dimensions": Field(optional(size), None, positional=False),
    },
)
EMBED_ALL = Body("EmbedAllRequest", {name: EMBED.fields[name] for name in list(EMBED.fields)[:4]})
EMBED_SPARSE = Body("EmbedSparseRequest", EMBED_ALL.fields)
OPENAI = Body(
    "OpenAICompatRequest",
    {
        "input": Field(inputs),
        "model": Field(optional(string), None, positional=False),
        "user": Field(optional(string), None, positional=False),
        "encoding_format": Field(one_of("float", "base64", syntax=True), "float"),
        "dimensions": Field(optional(size), None, positional=False),
    },
)
RERANK = Body(
    "RerankRequest",
    {
        "query": Field(string),
        "texts": Field(strings),
        "truncate": Field(optional(boolean), None),
        "truncation_direction": Field(DIRECTION, "right"),
        "raw_scores": Field(boolean, False),
        "return_text": Field(boolean, False),
    },
)
PREDICT = Body(
    "PredictRequest",
    {
        "inputs": Field(sequences),
        "truncate": Field(optional(boolean), None),
        "truncation_direction": Field(DIRECTION, "right"),
        "raw_scores": Field(boolean, False),
    },
)
TOKENIZE = Body(
    "TokenizeRequest",
    {
        "inputs": Field(texts),
        "add_special_tokens": Field(boolean, True),
        "prompt_name": Field(optional(string), None, positional=False),
    },
)
DECODE = Body("DecodeRequest", {"ids": Field(ids), "skip_special_tokens": Field(boolean, True)})


def _nested(body: Body) -> Field:
    def read(given: Json) -> dict[str, object]:
        return body.take(given)

    return Field(read)


SIMILARITY = Body(
    "SimilarityRequest",
    {
        "inputs": _nested(Body("SimilarityInput", {"source_sentence": Field(string), "sentences": Field(strings)})),
        "parameters": Field(
            optional(
                Body(
                    "SimilarityParameters",
                    {
                        "truncate": Field(optional(boolean), None),
                        "truncation_direction": Field(DIRECTION, "right"),
                        "prompt_name": Field(optional(string), None),
                    },
                ).take
            ),
            None,
        ),
    },
)
