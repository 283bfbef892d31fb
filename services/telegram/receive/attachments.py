"""The files of a received message as attachments."""

from __future__ import annotations

from collections.abc import Sequence

from services.telegram.receive import wire
from shared.contract.accounts import AccountRecord
from shared.contract.content import Attachment, AttachmentKind, AttachmentStatus
from shared.contract.errors import Error, ErrorCode, error
from shared.kit.facts import attachment_names
from shared.kit.words import safe_filename

# core.telegram.org/bots/api#getfile; the server's own constant is 20 << 20.
MAX_DOWNLOAD = 20 * 1024 * 1024


_NAMELESS = {"attachment_id": ""}


class Attachments:
    """Collects the attachments of one message, in order; those of a message that is only quoted have no names."""

    def __init__(self, account: AccountRecord | None = None, message_id: str = "") -> None:
        self._account = account
        self._message_id = message_id
        self._found: list[Attachment] = []

    def __len__(self) -> int:
        return len(self._found)

    @property
    def found(self) -> tuple[Attachment, ...]:
        return tuple(self._found)

    def add(self, kind: AttachmentKind, file: wire.File, mime_type: str | None = None, animated: bool = False) -> None:
        """Add a file; `mime_type` is what Telegram makes of such files where it does not say.

        A file that Telegram will not let us have has failed already: `file_too_large` above 20 MiB.
        """
        # An edit may put another file in the same place: it must not be taken for the one that was there.
        index, account = len(self._found), self._account
        names = attachment_names(account, self._message_id, index, file.file_unique_id) if account else _NAMELESS
        problem = _problem(file)
        self._found.append(
            Attachment(
                **names,
                kind=kind,
                status=AttachmentStatus.FAILED if problem else AttachmentStatus.PENDING,
                filename=safe_filename(file.file_name) or _track(file),
                claimed_mime_type=file.mime_type or mime_type,
                size=file.file_size,
                width=file.width or file.length,
                height=file.height or file.length,
                duration=file.duration,
                provider_ref=file.file_id,
                animated=animated or None,
                error=problem,
            )
        )

    def add_photo(self, sizes: Sequence[wire.File] | None) -> None:
        """Add the largest of a photo's sizes."""
        if sizes:
            largest = max(sizes, key=lambda size: ((size.width or 0) * (size.height or 0), size.file_size or 0))
            self.add(AttachmentKind.IMAGE, largest, "image/jpeg")

    def add_animation(self, file: wire.File) -> None:
        """Add a GIF, which Telegram keeps as a silent video."""
        kind = AttachmentKind.IMAGE if (file.mime_type or "").startswith("image/") else AttachmentKind.VIDEO
        self.add(kind, file, "video/mp4", animated=True)

    def add_live_photo(self, live: wire.LivePhoto, photo: Sequence[wire.File] | None) -> None:
        """Add the picture and the video of a live photo."""
        self.add_photo(photo or live.photo)
        self.add(AttachmentKind.VIDEO, live, "video/mp4", animated=True)


def _track(file: wire.File) -> str | None:
    """What a player would show for a music file without a name: nothing else says what it is."""
    name = " - ".join(filter(None, (file.performer, file.title)))
    return safe_filename(name.replace("/", "_").replace("\\", "_"))


def _problem(file: wire.File) -> Error | None:
    if file.file_size is not None and file.file_size > MAX_DOWNLOAD:
        return error(
            ErrorCode.FILE_TOO_LARGE,
            "Telegram lets bots download files of at most 20 MiB.",
            limit=MAX_DOWNLOAD,
            actual=file.file_size,
            remedy="Ask for a smaller file or a link.",
        )
    if not file.file_id:
        return error(ErrorCode.FILE_UNAVAILABLE, "Telegram gave no id for the file.")
    return None
