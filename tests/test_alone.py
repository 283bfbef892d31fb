"""What CI runs: what is committed, with nothing beside it, and only its own folders to write to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Stands in for make: says what it was asked for and what it sees, and fails when the tests would.
MAKE = """#!/bin/sh
echo "asked: $*"
echo "here: $(ls -A | grep -v '^.git$' | tr '\\n' ' ')"
echo "beside: $(ls -A .. | tr '\\n' ' ')"
echo "home: $HOME, $(ls -A "$HOME" | wc -l) files"
echo "temporary: $TMPDIR"
echo "input: $(wc -c)"
exit "${FAKE_STATUS:-0}"
"""

# Run by a hook, git would take the project's repository for that of the test.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with two commits, `.ci/run`, and something that is not committed; its path has a blank in it."""
    made = tmp_path / "some where" / "checkout"
    (made / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", made / ".ci" / "run")
    _git(made, "init", "--quiet")
    for name in ("first", "second"):
        (made / name).write_text(name)
        _git(made, "add", "--all")
        _git(made, "-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "--quiet", "--message", name)
    (made / "not committed").write_text("")
    (made.parent / "specs").mkdir()
    return made


def _git(where: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    ran = subprocess.run(command, cwd=where, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def _run(checkout: Path, tmp_path: Path, **environment: str) -> tuple[int, dict[str, str]]:
    """Exit status, and what the stand-in said."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "make").write_text(MAKE)
    (programs / "make").chmod(0o755)
    (tmp_path / "tmp").mkdir()
    own = {"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "tmp"), "CI": "true", **environment}
    ran = subprocess.run(
        ["bash", ".ci/run"], cwd=checkout, env={**ENVIRONMENT, **own}, capture_output=True, text=True, stdin=None
    )
    assert ran.stderr == ""
    return ran.returncode, dict(line.split(": ", 1) for line in ran.stdout.splitlines())


def test_what_is_committed_is_tested_alone(checkout: Path, tmp_path: Path) -> None:
    status, said = _run(checkout, tmp_path)
    assert status == 0
    assert said["asked"] == "test"
    assert said["here"].split() == [".ci", "first", "second"]
    assert said["beside"].split() == ["clone", "home", "tmp"]
    assert said["home"].startswith(str(tmp_path / "tmp"))
    assert said["home"].endswith(" 0 files")
    assert said["temporary"].startswith(str(tmp_path / "tmp"))
    assert said["input"] == "0"


def test_its_status_is_that_of_the_tests_and_nothing_is_left(checkout: Path, tmp_path: Path) -> None:
    status, said = _run(checkout, tmp_path, FAKE_STATUS="2")
    assert (status, said["asked"]) == (2, "test")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("kind", ["shallow", "detached", "worktree"])
def test_whatever_way_it_was_checked_out(checkout: Path, tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    if kind == "shallow":
        _git(tmp_path, "clone", "--quiet", "--depth", "1", checkout.as_uri(), str(other))
    elif kind == "worktree":
        _git(checkout, "worktree", "add", "--quiet", "--detach", str(other))
    else:
        _git(tmp_path, "clone", "--quiet", str(checkout), str(other))
        _git(other, "checkout", "--quiet", "--detach", "HEAD~1")
    status, said = _run(other, tmp_path)
    assert status == 0
    assert said["here"].split() == [".ci", "first"] + (["second"] if kind != "detached" else [])
