"""The audit of the lock, against a stand-in for OSV (https://google.github.io/osv.dev/api/)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.audit import Audit, judge, locked, run

ADVISORY = {
    "id": "PYSEC-2099-1",
    "modified": "2099-01-01T00:00:00Z",
    "summary": "Something bad",
    "affected": [{"package": {"name": "yarl", "ecosystem": "PyPI"}}],
}


class Osv:
    def __init__(self) -> None:
        self.bad = ""
        self.asked: set[str] = set()

    async def batch(self, request: web.Request) -> web.Response:
        queries = (await request.json())["queries"]
        self.asked |= {f"{one['package']['name']}=={one['version']}" for one in queries}
        known = {"vulns": [{"id": ADVISORY["id"], "modified": ADVISORY["modified"]}]}
        return web.json_response({"results": [known if q["package"]["name"] == self.bad else {} for q in queries]})

    async def advisory(self, _: web.Request) -> web.Response:
        return web.json_response(ADVISORY)


@pytest_asyncio.fixture
async def osv() -> AsyncIterator[tuple[Osv, str]]:
    stand_in, app = Osv(), web.Application()
    app.router.add_post("/v1/querybatch", stand_in.batch)
    app.router.add_get("/v1/vulns/{id}", stand_in.advisory)
    async with TestServer(app) as server:
        yield stand_in, str(server.make_url("")).rstrip("/")


async def test_what_is_known_fails_the_check_also_when_nobody_can_be_asked(
    osv: tuple[Osv, str], tmp_path: Path
) -> None:
    stand_in, url = osv
    kept, nobody = tmp_path / "audit.json", "http://127.0.0.1:9"

    async def audited(service: str, *, online: bool = False) -> tuple[int, str]:
        status, said = await asyncio.to_thread(run, service=service, kept=kept, online=online)
        return status, "\n".join(said)

    status, said = await audited(nobody)
    assert (status, "nothing is known" in said) == (0, True)
    assert (await audited(nobody, online=True))[0] == 1
    assert (await audited(url))[0] == 0
    assert stand_in.asked == set(locked())
    status, said = await audited(nobody)
    assert (status, "not reached" in said, "0 days ago: 0 of" in said) == (0, True, True)
    stand_in.bad = "yarl"
    for service in (url, nobody):
        status, said = await audited(service)
        assert (status, "PYSEC-2099-1" in said) == (1, True)


@pytest.mark.parametrize(("now", "status"), [("yarl==1.0", 1), ("yarl==1.1", 0)])
def test_an_old_audit_says_its_age_and_what_has_changed_since(now: str, status: int) -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    audit = Audit(at.isoformat(), ["yarl==1.0"], [["yarl==1.0", "PYSEC-2099-1", "Something bad"]])
    found, said = judge(audit, [now], at + timedelta(days=20))
    assert found == status
    assert "20 days ago" in said[0]
    assert said[1:] == (["yarl==1.0: PYSEC-2099-1 Something bad"] if status else ["not looked up yet: yarl==1.1"])
