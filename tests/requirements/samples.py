"""A file of each of the 26 types an agent can pick, with the bytes that make it what it is."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile

from PIL import Image

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
EXE = b"MZ\x90\x00" + bytes(60) + b"This program cannot be run in DOS mode."


def _image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 12), (200, 40, 40)).save(buffer, kind)
    return buffer.getvalue()


def _office(folder: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(f"{folder}/document.xml", "<document/>")
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes.txt", "something")
    return buffer.getvalue()


def _tar(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("notes.txt"), io.BytesIO())
    return buffer.getvalue()


def _wav() -> bytes:
    data = bytes(200)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def _boxes(brand: bytes) -> bytes:
    return struct.pack(">I4s4sI", 16, b"ftyp", brand, 0) + struct.pack(">I4s", 8, b"mdat")


_MPEG = b"\x00\x00\x01\xba\x44\x00\x04\x00\x04\x01" + bytes(100)

FILES: dict[str, bytes] = {
    "jpg": _image("JPEG"),
    "jpeg": _image("JPEG"),
    "gif": _image("GIF"),
    "bmp": _image("BMP"),
    "png": _image("PNG"),
    "txt": b"Dear customer,\nthank you.\n",
    "xls": OLE,
    "xlsx": _office("xl"),
    "doc": OLE,
    "docx": _office("word"),
    "csv": b"name,amount\nIda,3\n",
    "ppt": OLE,
    "pptx": _office("ppt"),
    "mp3": b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x00" + bytes(400),
    "mp4": _boxes(b"isom"),
    "mov": _boxes(b"qt  "),
    "wav": _wav(),
    "mpg": _MPEG,
    "mpeg": _MPEG,
    "zip": _zip(),
    "tar": _tar("w"),
    "tgz": _tar("w:gz"),
    "gz": gzip.compress(b"something"),
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "log": b"2026-11-22 10:00:00 started\n",
    "xml": b'<?xml version="1.0"?><a/>',
}
assert len(FILES) == 26
