"""Client properties in librdkafka's names, which the settings use, as faust understands them."""

import ssl
from collections.abc import Mapping

import faust
from faust.types.auth import CredentialsT

ENDPOINT = frozenset(("bootstrap.servers", "client.id"))
SECURITY = frozenset(
    (
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
    )
)


def faust_options(config: Mapping[str, str]) -> dict[str, object]:
    """Settings of a faust app for these properties. Raises ValueError for one that faust has no word for."""
    unknown = sorted(set(config) - ENDPOINT - SECURITY)
    if unknown:
        raise ValueError(
            f"kafka_options {', '.join(map(repr, unknown))}: the consumer knows {', '.join(sorted(SECURITY))}"
        )
    servers = config["bootstrap.servers"].split(",")
    options: dict[str, object] = {"broker": [f"kafka://{server.strip()}" for server in servers]}
    credentials = _credentials(config)
    if credentials is not None:
        options["broker_credentials"] = credentials
    return options


def _credentials(config: Mapping[str, str]) -> CredentialsT | None:
    protocol = config.get("security.protocol", "plaintext").lower()
    if protocol not in ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"):
        raise ValueError(f"security.protocol {protocol!r}: one of plaintext, ssl, sasl_plaintext, sasl_ssl")
    context = _context(config) if protocol.endswith("ssl") else None
    if protocol == "ssl":
        return faust.SSLCredentials(context)
    if protocol == "plaintext":
        return None
    mechanism = config.get("sasl.mechanism") or config.get("sasl.mechanisms") or "PLAIN"
    return faust.SASLCredentials(
        username=config.get("sasl.username"),
        password=config.get("sasl.password"),
        mechanism=mechanism,
        ssl_context=context,
    )


def _context(config: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
        certificate = config.get("ssl.certificate.location")
        if certificate is not None:
            context.load_cert_chain(certificate, config.get("ssl.key.location"), config.get("ssl.key.password"))
    except OSError as error:
        files = {name: value for name, value in config.items() if name.endswith(".location")}
        raise ValueError(f"kafka_options {files}: not all of these can be read as certificates: {error}") from error
    return context
