"""Builds the packages of the contract into `dist/`: `channel_connectors_contract` for Python, and its types for npm.

`make packages` runs it. Both are made of what services themselves use: the wheel has the same modules, the types come
from the published bundle.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

from shared.contract import bundle, typescript
from shared.contract.publish_schemas import PUBLISHED
from shared.contract.version import version

_ROOT = Path(__file__).parents[2]
NAME = "channel_connectors_contract"
NPM_NAME = NAME.replace("_", "-")
# What others need of the package: what crosses Kafka, and nothing that writes documents.
MODULES = (
    *("accounts", "base", "capabilities", "commands", "content", "envelope", "errors", "events", "ids", "sentences"),
    *("state", "statuses", "topics", "unknown_fields", "vocabularies"),
)
_ABOUT = "What crosses Kafka between channel connectors and an inbox"
_PYPROJECT = f"""\
[project]
name = "{NPM_NAME}"
version = "{{version}}"
description = "{_ABOUT}"
requires-python = ">=3.11"
dependencies = ["pydantic>=2.12"]

[build-system]
requires = ["uv_build"]
build-backend = "uv_build"
"""


def wheel(to: Path) -> Path:
    """Builds the wheel into a folder and returns it. Raises CalledProcessError."""
    sources = to / "python"
    package = sources / "src" / NAME
    shutil.rmtree(sources, ignore_errors=True)
    package.mkdir(parents=True)
    (sources / "pyproject.toml").write_text(_PYPROJECT.format(version=version()))
    (package / "py.typed").touch()
    (package / "__init__.py").write_text(f'"""{_ABOUT}."""\n\n__version__ = "{version()}"\n')
    for module in MODULES:
        text = (Path(__file__).parent / f"{module}.py").read_text()
        (package / f"{module}.py").write_text(text.replace("shared.contract", NAME))
    uv = _ROOT / ".tools" / "bin" / "uv"
    # Offline: uv is its own build backend.
    command = [str(uv), "build", "--wheel", "--offline", "--quiet", "--out-dir", str(to), str(sources)]
    subprocess.run(command, check=True)  # noqa: S603 - paths of ours
    return to / f"{NAME}-{version()}-py3-none-any.whl"


def npm(to: Path) -> Path:
    """Packs the types into a folder, as npm has packages, and returns the archive."""
    sources = to / "npm"
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir(parents=True)
    described = {
        "name": NPM_NAME,
        "version": version(),
        "description": _ABOUT,
        "types": "index.d.ts",
        "exports": {".": {"types": "./index.d.ts"}, "./contract.v1.json": f"./{bundle.FILE}"},
        "files": ["index.d.ts", bundle.FILE],
    }
    (sources / "package.json").write_text(json.dumps(described, indent=2) + "\n")
    (sources / "index.d.ts").write_text(typescript.declarations(bundle.bundle()))
    shutil.copy(PUBLISHED / bundle.FILE, sources)
    archive = to / f"{NPM_NAME}-{version()}.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(sources, "package")
    return archive


def main() -> None:
    """Build both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--to", type=Path, default=_ROOT / "dist", help="the folder (default: dist)")
    to: Path = parser.parse_args().to
    to.mkdir(exist_ok=True)
    for made in (wheel(to), npm(to)):
        print(made)


if __name__ == "__main__":
    main()
