"""What is known of a server before it is asked: its address, its version, and what its refusals mean."""

import re
from types import SimpleNamespace

import pytest

from processors.backends.http import Misdeployed
from processors.backends.milvus.address import MilvusAddress
from processors.backends.milvus.errors import CollectionMissing, NotLoaded, of_server
from processors.backends.milvus.schema import Server, search_parameters
from processors.errors import Poison, Transient


def test_a_url_names_server_database_collection_and_staleness() -> None:
    address = MilvusAddress.parse("milvus+https://cluster:19530/team/documents?staleness_s=0.5")
    assert address == MilvusAddress("https://cluster:19530", "team", "documents", 0.5)
    assert MilvusAddress.parse("milvus+http://host:1/docs") == MilvusAddress("http://host:1", "", "docs", None)
    assert MilvusAddress.parse("milvus+http://host:1").collection == "headwater"


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("milvus+http://root:Milvus@host:1/docs", "index_token"),
        ("milvus+http://host:1/a/b/c", "[database/]collection"),
        ("milvus+http://host:1/my-docs", "letters, digits and underscores"),
        ("milvus+http:///docs", "host:port"),
        ("milvus+http://host:port/docs", "host:port"),
        ("milvus+http://host:1/docs?staleness=1", "known: staleness_s"),
        ("milvus+http://host:1/docs?staleness_s=-1", "0 to 60"),
        ("milvus+http://host:1/docs?staleness_s=soon", "0 to 60"),
    ],
)
def test_a_url_of_another_form_is_refused_with_the_remedy(url: str, remedy: str) -> None:
    with pytest.raises(Poison, match=f"^bad-url.*{re.escape(remedy)}") as refused:
        MilvusAddress.parse(url)
    assert "Milvus" not in str(refused.value)


@pytest.mark.parametrize(
    ("version", "able", "sets", "routed"),
    [
        ("milvus_lite-3.2.2", (True, True, False), "text", True),
        ("v2.3.5-lite", (False, False, False), "array", False),
        ("2.4.17", (True, False, False), "array", True),
        ("v2.5.0-beta", (True, True, False), "array", True),
        ("2.6.2", (True, True, True), "array", True),
        ("v3.0.1", (True, True, True), "array", True),
        ("master-20261101-ab12cd", (True, None, False), "array", True),
    ],
)
def test_a_version_tells_what_a_server_can_do(
    version: str, able: tuple[bool, bool | None, bool], sets: str, routed: bool
) -> None:
    server = Server(version)
    assert (server.has_sparse, server.has_bm25, server.adds_fields) == able
    assert (server.form.sets, server.form.routed) == (sets, routed)


def refused(code: int, message: str) -> Poison | Transient:
    error = SimpleNamespace(code=code, message=message, is_input_error=False)
    return of_server(error, f"milvus at http://host:1: upsert: {message} (code {code})", is_input=False)


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        (9, "quota exceeded[reason=memory quota exhausted, please allocate more resources]", "more memory"),
        (65535, "deny to write the message, force: true, reason: memory quota exhausted", "more memory"),
        (7, "disk quota exceeded", "more memory or disk"),
        (8, "request is rejected by grpc RateLimiter middleware, please retry later: rate limit exceeded", "quotaAnd"),
        (65535, "request is rejected by grpc RateLimiter middleware", "quotaAndLimits"),
        (11, "time tick long delay", "more CPU"),
        (2, "Fail connecting to server on host:1, illegal connection params or server unavailable", "is it running"),
        (1, "[upsert_rows] Retry timeout: 10.0s", "overloaded"),
        (5, "something that nobody foresaw", "something that nobody foresaw"),
    ],
)
def test_what_passes_is_an_outage_with_the_remedy(code: int, message: str, remedy: str) -> None:
    failure = refused(code, message)
    assert isinstance(failure, Transient)
    assert not isinstance(failure, Misdeployed)
    assert "milvus at http://host:1" in failure.reason
    assert remedy in failure.reason


def test_a_quota_and_a_rate_say_when_to_come_again() -> None:
    quota, rate = refused(9, "quota exceeded"), refused(8, "rate limit exceeded")
    assert isinstance(quota, Transient)
    assert isinstance(rate, Transient)
    assert (quota.retry_after_s, rate.retry_after_s) == (10.0, 1.0)


@pytest.mark.parametrize(
    ("code", "message", "kind", "remedy"),
    [
        (65535, "auth check failure, please check username [root] and password are correct", "unauthorized", "index_t"),
        (1401, "PermissionDenied: insert", "unauthorized", "index_token"),
        (800, "database not found[database=team]", "no-database", "headwater index apply"),
        (6, "database 'team' does not exist", "no-database", "headwater index apply"),
    ],
)
def test_what_stays_until_somebody_changes_it_is_the_deployments_fault(
    code: int, message: str, kind: str, remedy: str
) -> None:
    failure = refused(code, message)
    assert isinstance(failure, Misdeployed)
    assert failure.code == kind
    assert remedy in failure.reason


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (1100, "invalid parameter"),
        (65535, "cannot parse expression: id == = 1"),
        (65535, "the length(7) of float data should divide the dim(8)"),
        (65535, "value 'NaN' is not a number or infinity"),
    ],
)
def test_an_input_that_can_never_work_is_poison(code: int, message: str) -> None:
    failure = refused(code, message)
    assert isinstance(failure, Poison)
    assert failure.code == "index-refused"


def test_a_collection_that_is_gone_or_not_loaded_is_told_apart() -> None:
    assert isinstance(refused(100, "collection not found[database=default][collection=docs]"), CollectionMissing)
    assert isinstance(refused(101, "collection not loaded[collection=1]"), NotLoaded)


@pytest.mark.parametrize("index", ["HNSW", "IVF_SQ8", "DISKANN", "FLAT", "AUTOINDEX"])
def test_a_search_tries_at_least_as_hard_as_its_limit_needs(index: str) -> None:
    parameters = search_parameters(index, 100)
    assert all(value >= 100 for name, value in parameters.items() if name in ("ef", "search_list"))
