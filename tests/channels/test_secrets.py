"""Secrets in logs: every channel's are masked by their shape, and its libraries do not write requests out."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.runtime.logs import MASK, Masking, configure_logs
from tests.channels import goldens

EXAMPLES = {
    "telegram": ("123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",),
    "whatsapp": ("EAAGm0PX4ZCpsBAKZCexample0123456789",),
    "tiktok": ("act.0123456789abcdefABCDEF!4567", "rft.0123456789abcdefABCDEF!4567"),
}
LIBRARIES = {"telegram": ("telegram", "telegram.Bot"), "whatsapp": ("pywa", "pywa.api", "httpx")}


@pytest.mark.parametrize(("name", "secret"), [(name, secret) for name in EXAMPLES for secret in EXAMPLES[name]])
def test_a_secret_is_masked_wherever_it_stands(name: str, secret: str) -> None:
    masked = Masking(goldens.secrets(name)).masked
    assert masked(f"the token {secret} is wrong") == f"the token {MASK} is wrong"
    assert masked({"url": f"https://provider.example/{secret}"}) == {"url": f"https://provider.example/{MASK}"}


def test_a_bots_token_is_masked_in_its_address() -> None:
    masked = Masking(goldens.secrets("telegram")).masked
    address = f"https://api.telegram.org/bot{EXAMPLES['telegram'][0]}/sendMessage"
    assert masked(address) == f"https://api.telegram.org/bot{MASK}/sendMessage"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is written to standard error at DEBUG."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logs("DEBUG")
    yield written
    structlog.reset_defaults()
    logging.basicConfig(level="WARNING", handlers=[logging.NullHandler()], force=True)


@pytest.mark.parametrize("name", LIBRARIES)
async def test_a_library_that_logs_requests_is_quiet(name: str, lines: io.StringIO) -> None:
    channel = goldens.channel(name)
    await channel.start()
    for library in LIBRARIES[name]:
        logging.getLogger(library).info("POST https://provider.example/secret")
    await channel.stop()
    assert "provider.example" not in lines.getvalue()
