"""What a file is, by its first bytes, whatever its name says."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.media.sniff import HEAD, sniff


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return made.getvalue()


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return made.getvalue()


_OFFICE = "application/vnd.openxmlformats-officedocument"
KNOWN = {
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "image/png": b"\x89PNG\r\n\x1a\n\x00",
    "image/gif": b"GIF89a",
    "image/bmp": b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36",
    "image/webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "image/heic": b"\x00\x00\x00\x18ftypheic",
    "audio/wav": b"RIFF\x00\x00\x00\x00WAVEfmt ",
    "audio/mpeg": b"ID3\x03\x00",
    "audio/aac": b"\xff\xf1\x50\x80",
    "audio/amr": b"#!AMR\n",
    "audio/ogg": b"OggS\x00\x02",
    "audio/mp4": b"\x00\x00\x00\x20ftypM4A ",
    "video/mp4": b"\x00\x00\x00\x20ftypisom",
    "video/3gpp": b"\x00\x00\x00\x14ftyp3gp4",
    "video/quicktime": b"\x00\x00\x00\x14ftypqt  ",
    "video/webm": b"\x1a\x45\xdf\xa3\x01",
    "video/mpeg": b"\x00\x00\x01\xba\x44",
    "video/x-msvideo": b"RIFF\x00\x00\x00\x00AVI LIST",
    "application/pdf": b"%PDF-1.4",
    "application/zip": zipped("a.txt"),
    "application/gzip": gzip.compress(b"log"),
    "application/x-tgsticker": gzip.compress(b'{"tgs":1,"v":"5.5.2"}'),
    "application/x-tar": tarred(),
    "application/x-ole-storage": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "application/vnd.microsoft.portable-executable": b"MZ\x90\x00",
    "application/x-executable": b"\x7fELF\x02",
    "application/x-mach-binary": b"\xca\xfe\xba\xbe\x00\x00\x00\x02",
    "application/java-vm": b"\xca\xfe\xba\xbe\x00\x00\x00\x41",
    "application/x-ms-shortcut": b"L\x00\x00\x00\x01\x14\x02\x00",
    "application/java-archive": zipped("META-INF/MANIFEST.MF", "A.class"),
    "application/vnd.android.package-archive": zipped("AndroidManifest.xml", "classes.dex"),
    "audio/flac": b"fLaC\x00",
    "video/x-matroska": b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska",
    "video/mp2t": (b"\x47" + bytes(187)) * 5,
    f"{_OFFICE}.wordprocessingml.document": zipped("[Content_Types].xml", "word/document.xml"),
    f"{_OFFICE}.spreadsheetml.sheet": zipped("[Content_Types].xml", "xl/workbook.xml"),
    f"{_OFFICE}.presentationml.presentation": zipped("[Content_Types].xml", "ppt/presentation.xml"),
    "application/xml": b"<?xml version='1.0'?><a/>",
    "text/html": b"\n <!DOCTYPE html><html>",
    "image/svg+xml": b"<svg xmlns='x'>",
    "text/plain": "Größe;Preis\n1;2 €".encode(),
}


@pytest.mark.parametrize("mime", KNOWN)
def test_it_is_told_by_its_first_bytes(mime: str) -> None:
    assert sniff(KNOWN[mime][:HEAD]) == mime


ODD = [
    pytest.param("Größe;Preis\r\n1;2\r\n".encode("latin-1"), "text/plain", id="latin-1"),
    pytest.param("Größe;Preis\n".encode("utf-16"), "text/plain", id="utf-16"),
    pytest.param(b"\xfe\xff" + "Größe".encode("utf-16-be"), "text/plain", id="utf-16, big end first"),
    pytest.param(b"<note>\n<to>Ida</to></note>", "application/xml", id="xml without a declaration"),
    pytest.param(b"<?xml version='1.0'?>\n<!-- x --><svg/>", "image/svg+xml", id="svg behind a declaration"),
    pytest.param(b"<p>Hello</p>", "text/plain", id="a piece of a page"),
    pytest.param(b"a < b and b > c", "text/plain", id="no xml"),
    pytest.param(b"\xef\xbb\xbf\r\n%PDF-1.4\n%\xe2\xe3", "application/pdf", id="pdf behind something"),
    pytest.param(b"MZ is short for Mozambique.", "text/plain", id="text that begins like a program"),
    pytest.param(zipped("a.txt", "word/list.txt"), "application/zip", id="archive with a folder called word"),
    pytest.param(zipped("notes about word/.txt", "[Content_Types].xml"), "application/zip", id="a name with word/"),
]


@pytest.mark.parametrize(("head", "mime"), ODD)
def test_what_is_easily_mistaken(head: bytes, mime: str) -> None:
    assert sniff(head) == mime


@pytest.mark.parametrize("head", [b"", b"\x00\x01\x02\x03", b"\xfe\xfd\xfc\xfb\xfa\xf9"])
def test_what_cannot_be_told(head: bytes) -> None:
    assert sniff(head) is None


def test_a_cut_inside_a_character_is_still_text() -> None:
    text = ("ä" * HEAD).encode()
    assert {sniff(text[:cut]) for cut in range(HEAD - 4, HEAD)} == {"text/plain"}


@given(st.binary(max_size=600))
def test_no_bytes_are_too_odd(head: bytes) -> None:
    found = sniff(head)
    assert found is None or "/" in found
    assert (found is None) or head
