"""Files that are small and would become much, go on without an end, or lead elsewhere."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.shared.media import samples


def _png(side: int) -> bytes:
    """A PNG of nothing but black, square."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, row = zlib.compressobj(9), bytes(side // 8 + 1)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _gif_without_end(frames: int = 100_000, side: int = 2000) -> bytes:
    """Frames of 2,000 by 2,000, each of which is a few bytes."""
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\x00\x01\x00\x00\x00" + b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0)
    return head + (frame + b"\x02\x02\x4c\x01\x00") * frames + b"\x3b"


def _pdf_in_itself(depth: int = 10) -> bytes:
    """A form that draws ten forms that draw ten forms …"""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
    objects.append(
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>>>"
    )
    objects.append(b"<</Length 4>>stream\n/F Do\nendstream")
    for level in range(depth):
        inner = b" ".join([b"/F Do"] * 10) if level < depth - 1 else b"0 0 1 1 re f"
        resources = b"/Resources<</XObject<</F %d 0 R>>>>" % (6 + level) if level < depth - 1 else b""
        head = b"<</Type/XObject/Subtype/Form/BBox[0 0 600 800]%s/Length %d>>" % (resources, len(inner))
        objects.append(head + b"stream\n" + inner + b"\nendstream")
    made = io.BytesIO(b"%PDF-1.4\n")
    made.seek(0, io.SEEK_END)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(made.tell())
        made.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = made.tell()
    made.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    made.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    made.write(b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))
    return made.getvalue()


def _webp() -> bytes:
    made = io.BytesIO()
    Image.new("L", (13_000, 13_000)).save(made, "WEBP", quality=0, method=0)
    return made.getvalue()


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


BOMBS: dict[str, Callable[[], tuple[bytes, str]]] = {
    "png of 2,500 megapixels": lambda: (_png(50_000), "image/png"),
    "png of 100 megapixels": lambda: (_png(10_000), "image/png"),
    "gif of 100,000 frames": lambda: (_gif_without_end(), "image/gif"),
    "pdf whose forms draw each other": lambda: (_pdf_in_itself(), "application/pdf"),
    "half a jpeg": lambda: (_half(samples.picture("JPEG", samples.noise((300, 300)))), "image/jpeg"),
    "half an mp4": lambda: (_half(samples.mp4()), "video/mp4"),
    "a playlist": lambda: (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "video/mp4"),
    "a megabyte of amr frames of a byte": lambda: (b"#!AMR\n" + b"\x7c" * 1_000_000, "audio/amr"),
    "nothing but zeros": lambda: (bytes(2_000_000), "video/mp4"),
}
