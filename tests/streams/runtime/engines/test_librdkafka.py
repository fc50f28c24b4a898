"""Client properties in librdkafka's names become what faust means by them."""

import ssl
from typing import Any

import pytest
from faust.types.auth import AuthProtocol, SASLMechanism

from streams.runtime.engines.librdkafka import faust_options

SERVERS = {"bootstrap.servers": "one:9092, two:9093"}


def test_all_servers_are_named_and_plain_text_needs_no_credentials() -> None:
    assert faust_options(SERVERS) == {"broker": ["kafka://one:9092", "kafka://two:9093"]}


def test_a_user_and_a_password_over_tls() -> None:
    sasl = {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "me", "sasl.password": "s3cret"}
    credentials: Any = faust_options(SERVERS | {"security.protocol": "SASL_SSL"} | sasl)["broker_credentials"]
    assert (credentials.protocol, credentials.mechanism) == (AuthProtocol.SASL_SSL, SASLMechanism.SCRAM_SHA_512)
    assert (credentials.username, credentials.password) == ("me", "s3cret")
    assert credentials.ssl_context.verify_mode is ssl.CERT_REQUIRED


def test_tls_alone_checks_the_broker_s_certificate() -> None:
    credentials: Any = faust_options(SERVERS | {"security.protocol": "ssl"})["broker_credentials"]
    assert credentials.context.verify_mode is ssl.CERT_REQUIRED
    assert credentials.context.check_hostname


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"linger.ms": "5"}, "'linger.ms'"),
        ({"security.protocol": "tls"}, "'tls'"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/nowhere/ca.pem"}, "'/nowhere/ca.pem'"),
    ],
)
def test_what_the_consumer_cannot_do_is_an_error(options: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        faust_options(SERVERS | options)
