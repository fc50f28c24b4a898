"""Each user of Kafka may do what its work takes, and nothing else: proven on a broker with the rules of infra/k8s."""

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from opentelemetry.trace import NoOpTracer

from schemas import (
    AnswerCompleted,
    AnswerRefused,
    DocumentIndexed,
    DocumentRejected,
    QueryAsked,
    QueryId,
    ReplyTo,
    Tenant,
)
from streams import pages, provisioning, strimzi
from streams.backup.archive import Archive
from streams.backup.restoring import restore
from streams.backup.saving import save
from streams.client import Client
from streams.engines import engine_of
from streams.lag import lags
from streams.letters.desk import Desk
from streams.letters.kafka import KafkaLog
from streams.letters.letter import DeadLetter
from streams.letters.replaying import Pace
from streams.letters.selection import Selection
from streams.local.listeners import free_ports
from streams.local.parts import Part
from streams.pipelines import ingest, query
from streams.runtime.errors import Fatal
from streams.runtime.producer import KafkaBroker
from streams.runtime.records import Outgoing
from streams.runtime.segments import Segment, segments
from streams.runtime.work import settle
from streams.sender import Sender
from streams.settings import EngineName, Settings
from streams.topics import CANCELLATIONS, QUERIES, RECEIPTS
from streams.worker import Worker
from tests.chaos.worker import SimplePorts
from tests.servers.certificates import Authority
from tests.servers.own import broker, running

PASSWORD = "one-for-all-of-this-test"
STAGES = ("chunk", "embed", "upsert", "retrieve", "rerank", "generate")
PATIENCE_S = 60.0

if not pages.KAFKA.is_dir():
    pytest.skip("an installed wheel has no infra", allow_module_level=True)


def resources(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((pages.KAFKA / name).read_text()))


USERS = {user["metadata"]["name"]: user["spec"]["authorization"]["acls"] for user in resources("users.yaml")}


def hosted() -> Sequence[Segment]:
    settings = Settings()
    ports = SimplePorts(settings)
    return [
        *segments(ingest(ports, settings), settings.ingest_segments),
        *segments(query(ports, settings), settings.query_segments),
    ]


def test_every_topic_is_as_the_table_says() -> None:
    rendered = {
        each["metadata"]["name"]: (each["spec"]["partitions"], {k: str(v) for k, v in each["spec"]["config"].items()})
        for each in resources("topics.yaml")
    }
    assert rendered == {spec.name: (spec.partitions, spec.config) for spec in provisioning.desired(Settings())}


def test_every_rule_is_rendered_and_no_other() -> None:
    rendered = {
        user: {
            (a["resource"]["type"], a["resource"]["name"], a["resource"]["patternType"], *a["operations"]) for a in acls
        }
        for user, acls in USERS.items()
    }
    assert rendered == {
        user: {(r.kind, r.name, "prefix" if r.prefix else "literal", *r.operations) for r in rules}
        for user, rules in strimzi.rights(hosted()).items()
    }
    others = {f"headwater-{user}" for user in ("client", "operator", "backup", "restore")}
    assert set(rendered) == {*(f"headwater-{stage}" for stage in STAGES), *others}


def test_nothing_is_allowed_on_all_names_and_what_is_on_many_has_its_reason() -> None:
    rules = [rule for rules in strimzi.rights(hosted()).values() for rule in rules]
    assert not [rule for rule in rules if "*" in rule.name or not rule.name]
    assert all(rule.why for rule in rules if rule.prefix)
    assert {rule.name for rule in rules if rule.prefix} == {strimzi.OWN_ANSWERS}
    assert not {topic.name for topic in provisioning.desired(Settings()) if topic.name.startswith(strimzi.OWN_ANSWERS)}


class Deployment:
    """A broker that asks everybody who they are, with the users and the rules of infra/k8s."""

    def __init__(self, stack: Settings, part: Part, guarded_port: int, ca_file: Path) -> None:
        index = f"{stack.index_url.rpartition('/')[0]}/strimzi_{uuid4().hex[:8]}"
        self.open = stack.model_copy(update={"kafka": f"127.0.0.1:{part.port}", "index": index})
        self._guarded = f"127.0.0.1:{guarded_port}"
        self._ca_file = ca_file

    def of(self, user: str, **update: object) -> Settings:
        """The settings of a user, who is one of headwater's."""
        options = worker_options()
        for name, value in {
            "$(KAFKA_USER)": f"headwater-{user}",
            "$(KAFKA_PASSWORD)": PASSWORD,
            "/etc/headwater/kafka/ca.crt": str(self._ca_file),
        }.items():
            assert name in options
            options = options.replace(name, value)
        return Settings.model_validate(
            self.open.model_dump() | {"kafka": self._guarded, "kafka_options": json.loads(options)} | update
        )

    def provision(self) -> None:
        """As Strimzi's operators do."""
        admin = AdminClient({"bootstrap.servers": self.open.kafka, "log_level": 0})
        provisioning.apply(self.open)
        topics = [NewTopic(name, 1, 1) for name in ("answers-mine", "elsewhere")]
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        upsertions: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, scram, PASSWORD.encode()) for user in USERS
        ]
        bindings = [binding for user, acls in USERS.items() for acl in acls for binding in bound(user, acl)]
        futures = [
            *admin.create_topics(topics).values(),
            *admin.alter_user_scram_credentials(upsertions).values(),
            *admin.create_acls(bindings).values(),
        ]
        for future in futures:
            future.result(PATIENCE_S)
        while not self._knows_its_users():
            time.sleep(0.1)

    def _knows_its_users(self) -> bool:
        """The controller says yes before the broker knows; the last user with the last rule stands for all of them."""
        admin = AdminClient({**self.of("operator").kafka_config, "log_level": 0})
        try:
            return "letters-settled" in admin.list_topics(timeout=5).topics and bool(lags(self.of("operator")))
        except KafkaException:
            return False


def worker_options() -> str:
    """HEADWATER_KAFKA_OPTIONS of every worker of infra/k8s, before Kubernetes puts the user's name into it."""
    deployment = yaml.safe_load((pages.KAFKA.parent / "worker" / "deployment.yaml").read_text())
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    [options] = [each["value"] for each in environment if each["name"] == "HEADWATER_KAFKA_OPTIONS"]
    return str(options)


def bound(user: str, acl: Mapping[str, Any]) -> Iterator[AclBinding]:
    """A rule as the broker has it."""
    kind = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}[acl["resource"]["type"]]
    pattern = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
    words = {"DescribeConfigs": AclOperation.DESCRIBE_CONFIGS}
    for word in acl["operations"]:
        yield AclBinding(
            kind,
            acl["resource"]["name"],
            pattern[acl["resource"]["patternType"]],
            f"User:{user}",
            "*",
            words.get(word) or AclOperation[word.upper()],
            AclPermissionType.ALLOW,
        )


def guarded(part: Part, folder: Path, port: int, authority: Authority) -> Part:
    """The broker with a second listener, where only what is allowed is possible; at the first nobody has a name."""
    properties, keys = folder / "kafka" / "server.properties", folder / "broker.pem"
    certificate, key = authority.issue("127.0.0.1")
    keys.write_bytes(key.read_bytes() + certificate.read_bytes())

    def prepare() -> None:
        assert part.prepare is not None
        part.prepare()
        text = properties.read_text()
        for name in ("listeners", "advertised.listeners"):
            text = text.replace(f"\n{name}=", f"\n{name}=SASL_SSL://127.0.0.1:{port},")
        text = text.replace("PLAINTEXT:PLAINTEXT\n", "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL\n")
        properties.write_text(
            text + "sasl.enabled.mechanisms=SCRAM-SHA-512\n"
            f"ssl.keystore.type=PEM\nssl.keystore.location={keys}\n"
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config="
            "org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
            "super.users=User:ANONYMOUS\n"
        )

    return dataclasses.replace(part, prepare=prepare)


@pytest.fixture
async def deployment(stack: Settings, tmp_path: Path) -> AsyncIterator[Deployment]:
    [port] = free_ports(1)
    authority = Authority(tmp_path)
    part = guarded(broker(stack, tmp_path), tmp_path, port, authority)
    async with running(part, tmp_path / "kafka.log"):
        there = Deployment(stack, part, port, authority.ca_file)
        await asyncio.to_thread(there.provision)
        yield there


@asynccontextmanager
async def at_work(deployment: Deployment, engine: EngineName) -> AsyncIterator[Mapping[str, "asyncio.Task[None]"]]:
    """A worker per stage, each as its own user."""
    stop = asyncio.Event()
    settings = {stage: deployment.of(stage, engine=engine) for stage in STAGES}
    workers = {
        stage: asyncio.create_task(
            Worker(each, (stage,), tracer=NoOpTracer(), ports=SimplePorts(each)).run(stop), name=stage
        )
        for stage, each in settings.items()
    }
    try:
        yield workers
    finally:
        stop.set()
        await asyncio.gather(*workers.values())


def asked(topic: str) -> QueryAsked:
    """A question whose answer belongs into this topic."""
    query_id = QueryId(uuid4().hex)
    at = datetime.now(UTC)
    to = ReplyTo(topic=topic, partition=0)
    return QueryAsked(query_id=query_id, tenant=Tenant("default"), text="Where is the mill?", reply_to=to, asked_at=at)


async def letters(desk: Desk, count: int) -> Sequence[DeadLetter]:
    """So many open ones, once they are there."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := (await asyncio.to_thread(desk.read, Selection())).open) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


@pytest.mark.stack
@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", ["confluent", "faust"])
async def test_everybody_can_do_their_work(deployment: Deployment, engine: EngineName) -> None:
    client, operator = deployment.of("client"), deployment.of("operator")
    desk = Desk(operator, on_wait=lambda: None)
    async with AsyncExitStack() as stack:
        workers = await stack.enter_async_context(at_work(deployment, engine))
        caller = await stack.enter_async_context(Client(client))
        good = await caller.publish("good", "The mill stands at the river since 1817.")
        assert isinstance(await caller.receipt(good), DocumentIndexed)
        assert isinstance(await caller.receipt(await caller.publish("bad", "  ")), DocumentRejected)
        assert isinstance(await caller.answer("Where is the mill?"), AnswerCompleted | AnswerRefused)

        sender = Sender(client)
        await sender.open(NoOpTracer())
        stack.push_async_callback(sender.close)
        for topic in ("answers-mine", "elsewhere", "documents", CANCELLATIONS.name):
            await sender.send(QUERIES, asked(topic))
        found = await letters(desk, 4)
        assert sorted(letter.code for letter in found) == ["empty-document", *["reply-unreachable"] * 3]
        # One that all may read and none may write is found out where the answer is sent.
        assert {letter.id.topic for letter in found} == {"documents-dlq", "queries-dlq", "evidence-dlq"}
        await until_written(deployment, "answers-mine")
        assert not [stage for stage, worker in workers.items() if worker.done()]

        assert provisioning.plan(operator) == []
        assert set(lags(operator) or ()) == set(STAGES)
        bad = Selection(codes=frozenset(("empty-document",)))
        ignored: Any = lambda *_: None  # noqa: E731
        await desk.replay(bad, pace=Pace(), stop=asyncio.Event(), on_plan=ignored, on_done=ignored)
        await letters(desk, 4)
        dropped, deleted = await desk.drop(Selection())
        assert (len(dropped), deleted) == (4, 5)


async def until_written(deployment: Deployment, topic: str) -> None:
    log = KafkaLog(deployment.open.kafka_config, "")
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(lambda: list(log.scan(log.starts([topic])))):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.stack
async def test_what_one_user_saves_another_restores_and_neither_can_do_both(
    deployment: Deployment, tmp_path: Path
) -> None:
    reader, writer = deployment.of("backup"), deployment.of("restore")
    archive = Archive(str(tmp_path / "backup"), new=True)
    async with Client(deployment.of("client")) as caller:
        await caller.publish("kept", "The mill stands at the river since 1817.")
    assert (await save(reader, archive), await save(reader, archive)) == (1, 0)
    assert await restore(writer, archive) == 1
    assert await save(reader, archive) == 1
    with pytest.raises(ConnectionError, match="'documents' was not written"):
        await restore(reader, archive)
    with pytest.raises(ConnectionError, match="authorization failed"):
        await save(writer, Archive(str(tmp_path / "other"), new=True))


@pytest.mark.stack
async def test_nobody_can_do_another_s_work(deployment: Deployment) -> None:
    for user, topic in (("chunk", "vectors"), ("generate", "documents"), ("client", "receipts")):
        broker = KafkaBroker({"log_level": 0, **deployment.of(user).kafka_config}, max_record_bytes=100_000)
        await broker.open()
        try:
            sent = await broker.send(Outgoing(topic=topic, key=b"k", value=b"v", headers=[]))
            with pytest.raises(Fatal, match="not-allowed"):
                await settle(sent, RECEIPTS)
        finally:
            await broker.close()
    segment_of = {segment.name: segment for segment in hosted()}
    for user, stage in (("embed", "chunk"), ("client", "retrieve"), ("operator", "upsert")):
        engine = engine_of(deployment.of(user), groups=1)
        engine.host(segment_of[stage].group(""), segment_of[stage].source.name, AsyncMock())
        with pytest.raises(Fatal, match="broker-lost"):
            await engine.run(asyncio.Event(), on_ready=lambda: None)
