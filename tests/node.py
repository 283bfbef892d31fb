"""Node for tests: the packages of a lock file, fetched once into `.cache/`."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_MISSING = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
needs_node = pytest.mark.skipif(bool(_MISSING), reason=f"no {' and no '.join(_MISSING)}")


def packages(project: Path) -> Path:
    """A folder whose `node_modules` are what the project's lock file says."""
    folder = ROOT / ".cache" / "node" / project.name
    folder.mkdir(parents=True, exist_ok=True)
    lock = (project / "package-lock.json").read_text()
    complete = folder / "complete"
    with folder.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # several test processes may want them at the same time
        if not complete.exists() or complete.read_text() != lock:
            complete.unlink(missing_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(project / name, folder)
            npm(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
            complete.write_text(lock)
    return folder


def npm(folder: Path, *arguments: str) -> str:
    """What npm prints; fails with that."""
    done = subprocess.run(["npm", *arguments], cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def borrow(project: Path, to: Path) -> Path:
    """A copy of the project's own files with its packages beside them."""
    shutil.copytree(project, to, ignore=shutil.ignore_patterns("node_modules"))
    (to / "node_modules").symlink_to(packages(project) / "node_modules")
    return to


def compiled(folder: Path) -> str:
    """What the TypeScript compiler says of the folder's project: nothing where it is right."""
    command = ["node_modules/.bin/tsc", "--project", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    return done.stdout + done.stderr
