"""Whoever publishes a version and asks at once for an answer from it never gets an older one."""

import asyncio

import pytest

from schemas import AnswerCompleted, AnswerRefused, DocumentRejected, FinalReply, QueryFailed
from streams.client import Client
from streams.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240), pytest.mark.usefixtures("workers")]

ROUNDS = 50
QUESTION = "How many days of annual leave does an employee have?"


def handbook(days: int) -> str:
    return f"Every employee has {days} days of annual leave per year."


def seen(reply: FinalReply) -> set[int]:
    """The versions that an answer was made from."""
    return {citation.version for citation in reply.citations} if isinstance(reply, AnswerCompleted) else set()


async def test_fifty_versions_are_each_seen_by_the_question_that_names_them(deployment: Settings, tenant: str) -> None:
    stale = 0
    async with Client(deployment) as client:
        for version in range(1, ROUNDS + 1):
            await client.publish("handbook", handbook(version), tenant=tenant, version=version)
            named, plain = await asyncio.gather(
                client.answer(QUESTION, tenant=tenant, min_versions={"handbook": version}, wait_for_s=60.0),
                client.answer(QUESTION, tenant=tenant),
            )
            assert isinstance(named, AnswerCompleted), named
            assert seen(named) == {version}
            assert named.text == handbook(version)
            stale += seen(plain) != {version}
    assert stale > 0, "nothing had to be waited for: this run proves nothing"


async def test_a_deletion_that_is_named_is_seen_at_once_and_by_its_tenant_alone(
    deployment: Settings, tenant: str
) -> None:
    async with Client(deployment) as client:
        other = await client.publish("handbook", handbook(7), tenant=f"{tenant}-b", version=1)
        await client.receipt(other)
        for version in range(1, 11, 2):
            await client.publish("handbook", handbook(version), tenant=tenant, version=version)
            await client.delete("handbook", tenant=tenant, version=version + 1)
            wanted = {"handbook": version + 1}
            gone = await client.answer(QUESTION, tenant=tenant, min_versions=wanted, wait_for_s=60.0)
            assert isinstance(gone, AnswerRefused), gone
            assert gone.considered == ()
        there = await client.answer(QUESTION, tenant=f"{tenant}-b", min_versions={"handbook": 1})
        assert seen(there) == {1}
        failed = await client.answer(QUESTION, tenant=f"{tenant}-b", min_versions={"handbook": 2}, wait_for_s=0.2)
    assert isinstance(failed, QueryFailed)
    assert failed.detail.startswith("version 2 of 'handbook' is not visible, version 1 is; the question waited 0.")


async def test_a_version_that_was_rejected_ends_the_wait_at_its_bound(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        await client.receipt(await client.publish("handbook", handbook(1), tenant=tenant, version=1))
        event = await client.publish("handbook", b"", tenant=tenant, version=2)
        assert isinstance(await client.receipt(event), DocumentRejected)
        began = asyncio.get_running_loop().time()
        failed = await client.answer(QUESTION, tenant=tenant, min_versions={"handbook": 2}, wait_for_s=1.0)
        took_s = asyncio.get_running_loop().time() - began
    assert isinstance(failed, QueryFailed)
    assert (failed.stage, failed.code) == ("retrieve", "not-visible")
    assert 1.0 <= took_s < 30.0


async def test_a_question_that_is_withdrawn_while_it_waits_ends_at_once(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        asking = asyncio.create_task(
            client.answer(QUESTION, tenant=tenant, query_id=tenant, min_versions={"never": 1}, wait_for_s=60.0)
        )
        await asyncio.sleep(0.5)
        await client.cancel(tenant)
        failed = await asking
    assert isinstance(failed, QueryFailed)
    assert failed.code == "cancelled"


async def test_a_hundred_questions_that_wait_hold_up_no_other(deployment: Settings, tenant: str) -> None:
    async with Client(deployment) as client:
        await client.receipt(await client.publish("handbook", handbook(1), tenant=tenant, version=1))
        waiting = [
            asyncio.create_task(
                client.answer(QUESTION, tenant=tenant, min_versions={"handbook": 2}, wait_for_s=60.0, deadline_s=90.0)
            )
            for _ in range(100)  # of which the window holds 64
        ]
        await asyncio.sleep(1)
        others = [await client.answer(QUESTION, tenant=tenant, deadline_s=20.0) for _ in range(5)]
        assert [seen(reply) for reply in others] == [{1}] * 5
        assert not any(task.done() for task in waiting)
        await client.publish("handbook", handbook(2), tenant=tenant, version=2)
        assert [seen(reply) for reply in await asyncio.gather(*waiting)] == [{2}] * 100
