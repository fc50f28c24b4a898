"""Every setting, its default and its source: flags, then `HEADWATER_*` variables, then `headwater.toml`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, SecretStr, Tag
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from processors.chunking import ChunkingRules
from processors.index_plan import Expected
from schemas import AnswerMode

Port = Annotated[int, Field(ge=1, le=65_535)]
PooledPort = Literal["embedder", "reranker", "generator"]
EngineName = Literal["faust", "confluent"]


def _home() -> Path:
    """`.headwater` here; else the one beside the virtual environment, so that commands work in every folder."""
    here, beside = Path(".headwater"), Path(sys.prefix).parent / ".headwater"
    return beside if sys.prefix != sys.base_prefix and beside.is_dir() and not here.is_dir() else here


class Instance(BaseModel):
    """One of several servers behind a port."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """What it can take compared with the others of its tier."""
    tier: Annotated[int, Field(ge=0)] = 0
    """It gets calls while no instance of a lower tier can take them."""


def _listed(value: object) -> object:
    """The value, unless somebody meant several instances and wrote them in another way."""
    alone = isinstance(value, str) and not value.startswith(("[", "{")) and value.count("://") < 2
    if not alone and not isinstance(value, list | tuple):
        raise ValueError('give a URL, or several as a list: ["tei+http://a:8080", {"url": "tei+http://b:8080"}]')
    return value


def _kind(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "url"


def _distinct(value: str | tuple[str | Instance, ...]) -> str | tuple[str | Instance, ...]:
    if isinstance(value, str):
        return value
    urls = [each if isinstance(each, str) else each.url for each in value]
    if not urls:
        raise ValueError("an empty list names no instance: give at least one URL")
    if twice := next((url for url in urls if urls.count(url) > 1), ""):
        raise ValueError(f"{twice!r} is named twice: give it a larger weight instead")
    return value


Named = Annotated[str, Tag("url")] | Annotated[Instance, Tag("instance")]
Instances = Annotated[
    Annotated[str, Tag("url")]
    | Annotated[
        tuple[Annotated[Named, Discriminator(lambda each: "url" if isinstance(each, str) else "instance")], ...],
        Tag("list"),
    ],
    Discriminator(_kind),
    BeforeValidator(_listed),
    AfterValidator(_distinct),
]
"""A URL, or a list of URLs and of tables with `url`, `weight` and `tier`: a pool."""


class LocalStack(BaseModel):
    """The parts that `headwater up` starts, all on loopback."""

    model_config = ConfigDict(extra="forbid")

    kafka_port: Port = 19_092
    kafka_controller_port: Port = 19_093
    milvus_port: Port = 19_530
    llm_port: Port = 18_080
    llm_model: Path | None = None
    """A GGUF file of your own; none: SmolLM2-135M-Instruct."""
    jars: Path | None = None
    """Where the broker's jars are kept; none: `home/jars`."""


class Settings(BaseSettings):
    """What varies between deployments. Construct once, in the composition root, and pass down."""

    model_config = SettingsConfigDict(
        env_prefix="HEADWATER_", env_nested_delimiter="__", toml_file="headwater.toml", extra="forbid", frozen=True
    )

    home: Path = Field(default_factory=_home)
    """Where the local stack keeps its data, logs and state; default: `.headwater` here or beside the environment."""
    kafka: str = ""
    """Bootstrap servers, `host:port[,host:port]`; empty: the local stack's broker."""
    kafka_options: dict[str, SecretStr] = Field(default_factory=dict)
    """Further client properties in librdkafka's names, such as `sasl.username`."""
    topic_prefix: str = ""
    replication: int = 1
    """Replicas of each topic that `topics apply` creates."""
    tenant: str = "default"
    """For the command line, where no `--tenant` is given."""

    ingest_segments: str = "chunk|embed|upsert"
    """`|` is a topic, `+` is a call."""
    query_segments: str = "retrieve|rerank|generate"
    engine: EngineName = "confluent"
    """What reads the topics; see docs/adr/0012."""
    instance_id: str = ""
    """Names this worker within its consumer groups, so that a restart within ten seconds moves no partition; one that
    stays away keeps its partitions dark as long. Only with the engine `confluent`; empty: a new member each start."""
    window_events: int = 64
    """Events in flight per segment and worker."""
    window_bytes: int = 32 * 1024 * 1024
    read_ahead_bytes: Annotated[int, Field(ge=0)] = 0
    """Read ahead of the window per segment and worker, so that tenants take turns and nobody waits behind another's
    import. 0: 128 MiB, or the segments' share of an eighth of the container's memory where that is less."""
    max_waiting: Annotated[int, Field(ge=1)] = 256
    """Questions that wait for the window per segment and worker; one beyond fails at once, with a time to ask again."""
    grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    """What a worker has in hand may take this long to finish after SIGTERM; what does not is done by another. Leaving
    takes up to 15 s more, for which whoever would kill it must wait."""
    stop_at_poison: bool = True
    """A worker stops where event after event of several tenants is poison, since its deploy is bad then. False: the
    events are known to be at fault, and each becomes a dead letter."""

    parser: str = "embedded://unstructured"
    objects: str = ""
    """Where documents over 512 KB travel: `file:///folder`, `s3://bucket/prefix`, ...; empty: `home/objects`."""
    embedder: Instances = "embedded://minilm-int8"
    """`embedded://minilm-int8`, `embedded://minilm-fp32`, `embedded:///folder` with an ONNX model and tokenizer,
    `tei+http://host:port` or `triton+grpc://host:port/model`."""
    embedder_key: SecretStr | None = None
    index: str = ""
    """`milvus+http(s)://host:port/[database/]collection[?staleness_s=SECONDS]`; empty: the local stack's."""
    index_token: SecretStr | None = None
    """`USER:PASSWORD` or an API key."""
    index_expected: Expected = Field(default_factory=Expected)
    """What `index plan` and the first write size the collections for: `rows`, `writers`, `memory_gib`."""
    sparse: str = ""
    """`tei+http://host:port` with a SPLADE model: weighs terms for an index whose server has no BM25; empty: none."""
    sparse_key: SecretStr | None = None
    reranker: Instances = "embedded://minilm"
    """`embedded://minilm`, `tei+http://host:port` or `triton+grpc://host:port/model`."""
    reranker_key: SecretStr | None = None
    generator: Instances = ""
    """`openai+http://host:port/v1?model=name` or `triton+grpc://host:port/model`; empty: the local stack's."""
    generator_key: SecretStr | None = None
    ca_file: Path | None = None
    """PEM file of a private authority that servers over TLS may show, beside the public ones."""
    answer_mode: AnswerMode = "extractive"
    """For questions that name none."""

    max_generations: Annotated[int, Field(ge=1)] = 16
    """Generative answers under way per worker; a question beyond fails at once, with a time to ask again."""

    chunking: ChunkingRules = Field(default_factory=ChunkingRules)
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Where a worker answers `/livez` and `/readyz` over HTTP, on all addresses, as Kubernetes asks; 0: nowhere."""
    otlp_endpoint: str = ""
    """Where spans go by OTLP over HTTP; empty: the local stack's span store under `home`."""
    trace_content: bool = False
    """Put the text of documents, questions and answers on spans."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    local: LocalStack = Field(default_factory=LocalStack)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def kafka_url(self) -> str:
        return self.kafka or f"127.0.0.1:{self.local.kafka_port}"

    @property
    def index_url(self) -> str:
        return self.index or f"milvus+http://127.0.0.1:{self.local.milvus_port}/headwater"

    @property
    def generator_url(self) -> str:
        """The first instance's."""
        return self.instances("generator")[0].url

    def instances(self, port: PooledPort) -> tuple[Instance, ...]:
        """The instances behind a port, at least one."""
        named: str | tuple[str | Instance, ...] = getattr(self, port)
        if port == "generator":
            named = named or f"openai+http://127.0.0.1:{self.local.llm_port}/v1?model=local"
        several = (named,) if isinstance(named, str) else named
        return tuple(each if isinstance(each, Instance) else Instance(url=each) for each in several)

    @property
    def objects_url(self) -> str:
        return self.objects or (self.home.resolve() / "objects").as_uri()

    @property
    def kafka_config(self) -> dict[str, str]:
        """Client properties for confluent-kafka, secrets in the clear."""
        return {"bootstrap.servers": self.kafka_url} | {
            name: value.get_secret_value() for name, value in self.kafka_options.items()
        }

    @property
    def environment(self) -> dict[str, str]:
        """These settings as the variables that give a child process the same, whatever its folder; secrets included."""
        paths = {"home": self.home.resolve(), "ca_file": self.ca_file and self.ca_file.resolve()}
        values = self.model_copy(update=paths).model_dump(mode="json", exclude_none=True)
        values["kafka_options"] = {name: value.get_secret_value() for name, value in self.kafka_options.items()}
        for name in ("embedder_key", "index_token", "sparse_key", "reranker_key", "generator_key"):
            if (secret := getattr(self, name)) is not None:
                values[name] = secret.get_secret_value()
        return {
            f"HEADWATER_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }
