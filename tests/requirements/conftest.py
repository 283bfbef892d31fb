"""Fixtures: one world inside this process for all of these tests, and every channel of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import structlog

from tests.e2e.providers import NAMES
from tests.requirements.inside import Channel, Inside, opened


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the services log is not what these tests are about."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def well_behaved(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test made the providers do ends with it."""
    yield
    if "inbox" in request.fixturenames:
        for channel in request.getfixturevalue("inbox").channels.values():
            channel.service.instead = None
            channel.provider.behave()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def inbox() -> AsyncIterator[Inside]:
    """The inbox's side of everything. Tests that use it run on the loop of the session."""
    async with opened() as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session", params=NAMES)
async def channel(request: pytest.FixtureRequest, inbox: Inside) -> Channel:
    """Each channel in turn."""
    return await inbox.channel(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def whatsapp(inbox: Inside) -> Channel:
    return await inbox.channel("whatsapp")


@pytest_asyncio.fixture(loop_scope="session")
async def telegram(inbox: Inside) -> Channel:
    return await inbox.channel("telegram")


@pytest_asyncio.fixture(loop_scope="session")
async def tiktok(inbox: Inside) -> Channel:
    return await inbox.channel("tiktok")
