"""A master becomes a replica while its connections stay open: clients find the new master without a restart."""

import asyncio
from collections.abc import Iterator

import pytest
from redis.exceptions import ReadOnlyError

from tests.harness.servers.failover import Failover, two_servers
from tidecast.client import AsyncClient, Client

TIME = "2030-01-01T00:00:00Z"


@pytest.fixture
def failover(redis_program: str) -> Iterator[Failover]:
    """Two servers that exchange their roles on demand."""
    with two_servers(redis_program) as pair:
        yield pair


def test_a_client_reaches_the_new_master_after_one_refusal(failover: Failover) -> None:
    """Each kind of push is refused once, as the client repeats nothing; the next one arrives."""
    with Client(failover.url) as one, Client(failover.url) as many, Client(failover.url) as known:
        pushes = (
            lambda: one.push("a", 1.0, 1000),
            lambda: many.push_many([("a", 2.0, 2000), ("b", 2.0, 2000)]),
            lambda: known.push_known("a", {"price": 1.0}, TIME),
        )
        for push in pushes:
            push()
        failover.take_place()
        for push in pushes:
            with pytest.raises(ReadOnlyError):
                push()
            push()
    assert [2, 4] == [failover.new.xlen("known"), failover.new.xlen("readings") - 2]


def test_an_asyncio_client_reaches_the_new_master_after_one_refusal(failover: Failover) -> None:
    """As the blocking one does."""

    async def run() -> None:
        async with (
            AsyncClient(failover.url) as one,
            AsyncClient(failover.url) as many,
            AsyncClient(failover.url) as known,
        ):
            pushes = (
                lambda: one.push("a", 1.0, 1000),
                lambda: many.push_many([("a", 2.0, 2000), ("b", 2.0, 2000)]),
                lambda: known.push_known("a", {"price": 1.0}, TIME),
            )
            for push in pushes:
                await push()
            failover.take_place()
            for push in pushes:
                with pytest.raises(ReadOnlyError):
                    await push()
                await push()

    asyncio.run(run())
    assert [2, 4] == [failover.new.xlen("known"), failover.new.xlen("readings") - 2]
