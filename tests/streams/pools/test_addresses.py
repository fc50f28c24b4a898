"""A name with `resolve=all` becomes a URL for each address; what cannot be dialled safely so is refused."""

import pytest

from processors.errors import Poison, Transient
from streams.pools.addresses import by_dns, instances, names_many, plain


async def two(host: str, port: int) -> frozenset[str]:
    assert (host, port) == ("tei-headless.default.svc", 8080)
    return frozenset({"10.1.0.7", "fd00::7"})


async def test_each_address_becomes_an_instance_with_all_the_other_options() -> None:
    found = await instances("tei+http://tei-headless.default.svc:8080?query_prefix=query:%20&resolve=all", two)
    assert found == {
        "tei+http://10.1.0.7:8080?query_prefix=query:%20",
        "tei+http://[fd00::7]:8080?query_prefix=query:%20",
    }


async def test_the_path_stays() -> None:
    found = await instances("triton+grpc://tei-headless.default.svc:8080/model?resolve=all", two)
    assert "triton+grpc://10.1.0.7:8080/model" in found


async def test_the_systems_resolver_knows_this_machine() -> None:
    assert "127.0.0.1" in await by_dns("localhost", 80)
    with pytest.raises(Transient, match=r"'no-such-host.invalid' does not resolve"):
        await by_dns("no-such-host.invalid", 80)


@pytest.mark.parametrize("url", ["tei+http://host:1", "tei+http://host:1?x=resolve", "embedded://minilm-int8"])
def test_other_urls_name_one_instance(url: str) -> None:
    assert not names_many(url)
    assert plain(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("tei+https://host:1?resolve=all", "which no certificate names: list the instances by name"),
        ("triton+grpcs://host:1/m?resolve=all", "which no certificate names"),
        ("tei+http://host:1?resolve=some", "resolve=some is not known; write resolve=all"),
        ("tei+http://host?resolve=all", "needs a host and a port"),
        ("embedded://?resolve=all", "needs a host and a port"),
    ],
)
def test_what_cannot_work_is_refused_with_what_would(url: str, reason: str) -> None:
    with pytest.raises(Poison, match=reason):
        names_many(url)
