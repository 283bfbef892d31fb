"""Under which licences the packages of the images stand: out of the lock and what is installed here, without a network.

`make check` runs it: a package whose licence is none of those below, or that says nothing of it, ends it with status 1.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTICES = ROOT / "NOTICES.md"

# What asks for no more than to be named.
PERMISSIVE = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU"),
        *("PSF-2.0", "Unlicense", "Zlib"),
    }
)
# What asks for more, each package with why it may be in an image; `NOTICES.md` names it.
OTHERS = {
    "av": "its wheel holds FFmpeg with encoders under the GPL: in the extra `video` only",
    "pillow-heif": "its wheel holds libheif (LGPL) and libx265 (GPL): in the extra `video` only",
    "python-telegram-bot": "LGPL-3.0: used as it is, a file of its own that can be replaced",
    "certifi": "MPL-2.0: a list of certificates, unchanged",
    "orjson": "MPL-2.0 in parts: unchanged",
    "pypdfium2": "its wheel holds PDFium and what that is made of",
}
# What a package itself does not say in a way that can be read: looked up in its licence file, on the day beside it.
READ_BY_HAND = {
    "dkimpy": "Zlib",  # 2026-11-28, LICENSE: the terms of zlib; its metadata says "BSD-like"
    "httpx-aiohttp": "BSD-3-Clause",  # 2026-11-28, LICENSE.md
    "imapclient": "BSD-3-Clause",  # 2026-11-28, COPYING
    # Of the extra `msk`, which is not installed here: read in their metadata, 2026-11-28.
    "aws-msk-iam-sasl-signer-python": "Apache-2.0",
    "boto3": "Apache-2.0",
    "botocore": "Apache-2.0",
    "jmespath": "MIT",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "s3transfer": "Apache-2.0",
    "six": "MIT",
}
_NAMES = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "python software foundation license": "PSF-2.0",
}


def shipped(lock: Mapping[str, object]) -> set[str]:
    """Names of the packages that any image may hold: what the workspace's members need, with all of their extras."""
    packages = {package["name"]: package for package in lock["package"]}  # type: ignore[attr-defined]
    members = set(lock["manifest"]["members"])  # type: ignore[index]
    found: set[str] = set()
    ahead = sorted(members)
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found.add(name)
        package = packages[name]
        needed = [*package.get("dependencies", ()), *_of(package.get("optional-dependencies", {}))]
        ahead += [one["name"] for one in needed]
    return found - members


def _of(extras: Mapping[str, list[dict[str, str]]]) -> Iterator[dict[str, str]]:
    for needed in extras.values():
        yield from needed


def licence_of(name: str) -> str | None:
    """The licence of an installed package as an SPDX expression; None where it does not say."""
    if name in READ_BY_HAND:
        return READ_BY_HAND[name]
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return None
    classifiers = [line.rpartition("::")[2].strip() for line in said.get_all("Classifier") or []]
    given = (said.get("License") or "").strip()
    # Some have put the whole text into the field for its name.
    named = given.splitlines()[0].lstrip("# ").removeprefix("The ").removesuffix(" (MIT)") if given else ""
    for one in (said.get("License-Expression"), named, *classifiers):
        if one and (known := _NAMES.get(one.lower(), one)) and _is_allowed(known):
            return known
    return said.get("License-Expression") or named or None


def _is_allowed(expression: str) -> bool:
    """Whether every part that has to hold is permissive; of alternatives one is enough."""
    parts = re.split(r"\s+AND\s+", expression.replace("(", "").replace(")", ""))
    return all(any(one.strip() in PERMISSIVE for one in part.split(" OR ")) for part in parts)


def problems(names: set[str], notices: str) -> list[str]:
    """A sentence about each package that may not be in an image as it is."""
    found = []
    for name in sorted(names):
        licence = licence_of(name)
        if name in OTHERS:
            if f"`{name}`" not in notices:
                found.append(f"{name}: {OTHERS[name]}; NOTICES.md does not name it")
        elif licence is None:
            found.append(f"{name}: says nothing of its licence, or is not installed here: see READ_BY_HAND")
        elif not _is_allowed(licence):
            found.append(f"{name}: {licence} is not among the licences that are allowed")
    return [*found, *(f"{name}: is in no image any more" for name in sorted({*OTHERS, *READ_BY_HAND} - names))]


def main() -> int:
    """Print what is wrong; the exit status."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    wrong = problems(shipped(lock), NOTICES.read_text())
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
