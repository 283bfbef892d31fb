"""Splits text by UTF-16 length."""

from __future__ import annotations

from services.tiktok.rendering import length


def split(text: str, limit: int) -> list[str]:
    pieces: list[str] = []
    while length(text) > limit:
        end = limit
        while length(text[:end]) > limit:
            end -= 1
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text]
