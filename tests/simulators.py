"""Writes `docs/simulators.md` and a document of each: every operation, with an example that a test has carried out.

`make docs` runs it; `tests/sandbox/test_dialect.py` carries the examples out and fails where a document is stale.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import yaml
from aiohttp import web

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "simulators.md"
OWN = ROOT / "docs" / "simulators"  # a document of each, so that a new one changes none
EXAMPLES = ROOT / "tests" / "sandbox" / "examples"
HOST = "127.0.0.1"
EXAMPLE = "telegram"  # whose calls show what all simulators do
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
_CONTENT = {
    ".pdf": (b"%PDF-1.7\n", "application/pdf"),
    ".png": (PIXEL, "image/png"),
    ".ogg": (b"OggS", "audio/ogg"),
    ".txt": (b"text", "text/plain"),
}
_HEAD = (EXAMPLES / "head.md").read_text()
Row = dict[str, Any]


def names() -> list[str]:
    """The simulators there are."""
    return sorted(path.parent.name for path in (ROOT / "sandbox" / "simulators").glob("*/__main__.py"))


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the examples; `own` is one of the provider's API, made only so that the next ones make sense."""

    method: str
    path: str
    own: bool
    fields: Row
    files: tuple[str, ...]
    form: bool
    headers: Mapping[str, str]
    keep: str | None
    at: str

    @property
    def part(self) -> str:
        """What the parts with its files are called."""
        return "files" if len(self.files) > 1 else "file"

    @classmethod
    def of(cls, given: Row) -> Step:
        method, _, path = str(given.get("ask") or given["call"]).partition(" ")
        return cls(
            method,
            path,
            "call" in given,
            given.get("with") or given.get("form") or {},
            tuple(given.get("files") or ([given["file"]] if "file" in given else [])),
            "file" in given or "files" in given,
            given.get("headers", {}),
            given.get("keep"),
            given.get("at", "id"),
        )


def script(name: str) -> tuple[list[str], list[Step]]:
    """The arguments a simulator is started with, and the steps in their order."""
    loaded = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return loaded["arguments"], [Step.of(step) for step in loaded["steps"]]


@contextlib.asynccontextmanager
async def running(name: str) -> AsyncIterator[str]:
    """A simulator as a process of its own; its address."""
    arguments, _ = script(name)
    command = ["-m", f"sandbox.simulators.{name}", "--port", "0", *arguments]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)


class Client:
    """Carries steps out; what they keep stands for `<name>` in later ones."""

    def __init__(self, url: str, session: aiohttp.ClientSession, receiver: str) -> None:
        self._url = url
        self._session = session
        self._kept: dict[str, Any] = {"receiver": receiver}

    async def make(self, step: Step) -> tuple[int, Any]:
        """Status and answer of one step: JSON, or bytes where it is something else."""
        path = self._filled(step.path, in_path=True)
        url = f"{self._url}{path}" if step.own else f"{self._url}/_sim/{path}"
        body: Row = {}
        if step.form:
            body = {"data": self._form(step)}
        elif step.fields or step.method in ("POST", "PATCH"):
            body = {"json": self._filled(step.fields)}
        async with self._session.request(step.method, url, headers=step.headers, **body) as answer:
            content = await answer.read()
            found = json.loads(content) if answer.content_type == "application/json" else content
            if step.keep is not None and answer.status == 200:
                self._kept[step.keep] = _inside(found, step.at)
            return answer.status, found

    def _form(self, step: Step) -> aiohttp.FormData:
        form = aiohttp.FormData(self._filled(step.fields))
        for name in step.files:
            content, mime_type = _CONTENT[Path(name).suffix]
            form.add_field(step.part, content, filename=name, content_type=mime_type)
        return form

    def _filled(self, value: Any, *, in_path: bool = False) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner) for inner in value]
        if isinstance(value, str):
            for name, kept in self._kept.items():
                if value == f"<{name}>":
                    return kept
                value = value.replace(f"<{name}>", quote(str(kept), safe="") if in_path else str(kept))
        return value


def _inside(found: Any, path: str) -> Any:
    for key in path.split("."):
        found = found[int(key) if isinstance(found, list) else key]
    return found


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[str]:
    """An address that takes every webhook and passes Meta's challenge."""

    async def serve(request: web.BaseRequest) -> web.Response:
        return web.Response(text=request.query.get("hub.challenge", ""))

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}/webhooks"
    finally:
        await runner.cleanup()


async def carried_out(name: str) -> tuple[list[Row], list[tuple[Step, int, Any]]]:
    """The operations a simulator lists, and every step with its status and answer."""
    async with running(name) as url, receiving() as receiver, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/_sim/") as answer:
            operations = await answer.json()
        client = Client(url, session, receiver)
        return operations, [(step, *await client.make(step)) for step in script(name)[1]]


def matches(operation: Row, step: Step) -> bool:
    """Whether the step is an example of the operation."""
    wanted = operation["path"].removeprefix("/_sim/").split("/")
    given = step.path.partition("?")[0].split("/")
    same = len(wanted) == len(given) and all(w[:1] == "{" or w == g for w, g in zip(wanted, given, strict=True))
    return same and operation["method"] == step.method and not step.own


def _example(step: Step) -> str:
    files = " ".join(f"-F {step.part}=@{name}" for name in step.files)
    fields = json.dumps(step.fields, ensure_ascii=False) if step.fields else ""
    if step.form:
        fields = " ".join(f"-F {name}={json.dumps(value, ensure_ascii=False)}" for name, value in step.fields.items())
    return " ".join(f"{step.method} /_sim/{step.path} {fields} {files}".split())


def _rows(operations: list[Row], steps: list[Step]) -> Iterator[str]:
    yield "| example | what it does |\n|---|---|"
    for operation in operations:
        shown = next(_example(step) for step in steps if matches(operation, step))
        cells = (f"`{shown}`", operation["does"])
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def documents(operations: Mapping[str, list[Row]]) -> dict[Path, str]:
    """Every document, of what each simulator lists."""
    in_all = [row for row in operations[EXAMPLE] if all(row in listed for listed in operations.values())]
    found = {DOCUMENT: "\n".join([_HEAD, *_rows(in_all, script(EXAMPLE)[1]), ""])}
    for name, listed in operations.items():
        arguments, steps = script(name)
        own = [row for row in listed if row not in in_all]
        command = " ".join(["python", "-m", f"sandbox.simulators.{name}", *arguments])
        head = [
            f"# The simulator of {name}",
            "",
            f"As `{command}` answers, beside what [all of them](../simulators.md) do.",
            "",
        ]
        found[OWN / f"{name}.md"] = "\n".join([*head, *_rows(own, steps), ""])
    return found


async def _listed() -> dict[str, list[Row]]:
    return {name: (await carried_out(name))[0] for name in names()}


if __name__ == "__main__":
    OWN.mkdir(exist_ok=True)
    for path, text in documents(asyncio.run(_listed())).items():
        path.write_text(text)
