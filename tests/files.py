"""Writes `docs/files.md`: what becomes of each type of file. `make docs` runs it, a test keeps it fresh."""

from __future__ import annotations

from pathlib import Path

from shared.media.file_table import as_document
from tests.channels import goldens

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "files.md"
_HEAD = """# Files: what becomes of each type on each channel

Written by `make docs` from the capabilities of the channels (`file_outcomes` on `channels.capabilities`): as an agent
picks a file, a name and bytes, without saying what kind it is meant as. Tested cell by cell with real files, which the
simulators of the providers then take.

- A kind alone (`image`, `video`, `audio`, `voice`, `document`): it goes out as it is. *Converted*: into that type, with
  the warning `converted`. *Rejected*: `file_type_unsupported`, before anything is sent.
- What is larger than the channel takes of its kind is made smaller (`recompressed`) or converted, where the type is one
  that can be; a transparent picture becomes a PNG where that fits, else it gets a white ground.
- A kind that was asked for is kept to: `voice` is made mono Opus in Ogg, `video_note` a square of 384 pixels (Telegram,
  up to a minute), `sticker` a WebP of 512 by 512; `document` goes out as it is.
- Where a conversion fails (a file that is too long or too large, or takes too long), the next way is taken: as a
  document (`sent_as_document`) where the channel takes the type so, else `file_unprocessable`. So goes a picture, a
  video or a recording that is damaged, also where it would fit by type and size: it is read to its end before it goes
  out. A file of kind `document` goes out as it is.
- Every channel takes files of up to 20 MiB, and less where the provider does.
- A service without `av` ([ADR 9](adr/0009-video-is-an-extra.md)) converts pictures alone, and says so in its
  capabilities.

"""


def document() -> str:
    names = sorted(path.parent.name for path in (ROOT / "services").glob("*/capabilities.py"))
    able = [goldens.channel(name).capabilities for name in names]
    return _HEAD + as_document({found.label: found.file_outcomes for found in able})


if __name__ == "__main__":
    DOCUMENT.write_text(document())
