"""Buttons are never lost: each is tapped or written, in the order of the command, and answers with its own id."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.contract.commands import Button
from shared.policy.choices import Room, arranged, as_lines, row_of, unusable

ROOM = Room(
    "The channel",
    buttons=3,
    title=20,
    id=64,
    id_unit="bytes",
    alone=frozenset({"url"}),
    rows=10,
    row_title=24,
    row_description=72,
    row_id=200,
)
titles = st.text(st.characters(codec="utf-8", categories=["L", "Nd", "So"]), min_size=1, max_size=90)
buttons = st.builds(
    Button,
    title=titles,
    kind=st.sampled_from(["reply", "url", "phone", "copy_code"]),
    id=st.none() | titles,
    url=st.just("https://example.org"),
    value=st.just("12345"),
)


@given(st.lists(buttons, max_size=14))
def test_every_button_is_tapped_or_written(given: list[Button]) -> None:
    placed = {f"content.buttons.0.{index}": button for index, button in enumerate(given)}
    way = arranged(placed, ROOM)
    rest = [button for field, button in placed.items() if field not in way.tappable]
    assert list(way.lines) == rest
    assert bool(way.misfits) == (bool(rest) or way.shape == "list")
    assert (way.shape == "none") == (not way.tappable)
    if way.shape == "buttons":
        assert len(way.tappable) <= 3
        assert all(len(button.title) <= 20 for button in way.tappable.values())
    if way.shape == "list":
        rows = [row_of(button, ROOM) for button in way.tappable.values()]
        assert all(len(row.title) <= 24 and len(row.description or "") <= 72 for row in rows)
        for row, button in zip(rows, way.tappable.values(), strict=True):
            assert row.id == (button.id or button.title)
            assert button.title in (row.title, row.description)
    for line, button in zip(as_lines(way.lines), way.lines, strict=True):
        assert button.title in line


def test_one_link_alone_is_a_button_and_two_are_lines() -> None:
    link = Button(kind="url", title="Open", url="https://example.org/a")
    assert arranged({"content.buttons.0": link}, ROOM).shape == "buttons"
    two = arranged({"content.buttons.0": link, "content.buttons.1": link}, ROOM)
    assert (two.shape, len(two.lines)) == ("none", 2)
    assert two.misfits[0].detail == "The channel takes a link button only alone; this message has 2 buttons."


def test_what_nobody_could_use_is_no_button() -> None:
    bad = {
        "content.buttons.0.title": Button(title=" "),
        "content.buttons.0.url": Button(kind="url", title="Open"),
        "content.buttons.0.value": Button(kind="phone", title="Call", value="me"),
    }
    for field, button in bad.items():
        misfit = unusable({"content.buttons.0": button})
        assert misfit is not None
        assert misfit.facts == {"field": field}
    assert unusable({"content.buttons.0": Button(title="Yes")}) is None
