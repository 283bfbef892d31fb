"""The first page of a PDF as a picture, by PDFium. It has no bounds of its own: the worker's hold."""

from __future__ import annotations

from pathlib import Path

import pypdfium2 as pdfium

from shared.media.codecs.pictures import small
from shared.media.facts import THUMBNAIL_SIDE, Facts, Look, Unfit


def look(path: Path, thumbnail: Path) -> Look:
    """Raises Unfit."""
    try:
        document = pdfium.PdfDocument(path)
        page = document[0]
        width, height = page.get_size()
        scale = THUMBNAIL_SIDE / max(width, height, 1.0)
        image = page.render(scale=scale, may_draw_forms=False).to_pil()
    except (pdfium.PdfiumError, IndexError, ValueError):
        raise Unfit("broken") from None
    thumbnail.write_bytes(small(image.convert("RGB")))
    return Look(Facts("application/pdf"), thumbnail=True)
