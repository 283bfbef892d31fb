"""vCards as phones write them: versions, dialects, and bounds."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from shared.policy.vcards import MOST_VALUES, read_vcard


def card(*lines: str, end: str = "\r\n") -> str:
    return end.join(["BEGIN:VCARD", *lines, "END:VCARD", ""])


def test_groups_type_lists_and_uris_of_every_version() -> None:
    said = read_vcard(
        card(
            "VERSION:4.0",
            "FN:Ada\\, Countess",
            'item1.TEL;VALUE=uri;TYPE="work,voice:x":tel:+44-20-7946-0001;ext=9',
            "TEL;TYPE=CELL;TYPE=PREF:+44 7700 900002",
            "TEL;CELL:+44 7700 900002",
            "EMAIL:mailto:ada@example.org?subject=Hi",
            "ORG:Engines;Research",
        )
    )
    assert said.phones == ["+44-20-7946-0001", "+44 7700 900002"]
    assert (said.name, said.emails, said.organisations) == (
        "Ada, Countess",
        ["ada@example.org"],
        ["Engines, Research"],
    )


def test_folded_lines_and_quoted_printable_of_another_charset() -> None:
    said = read_vcard(
        card(
            "VERSION:2.1",
            "N;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:Sj=F6=",
            "berg;=C5sa",
            "NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=nobody-knows:=41",
            "PHOTO;ENCODING=BASE64;TYPE=JPEG:AAAA=",
            "TEL;HOME:08 555",
            " 0102",
            end="\n",
        )
    )
    assert (said.given_name, said.family_name, said.name) == ("Åsa", "Sjöberg", "Åsa Sjöberg")
    assert said.phones == ["08 5550102"]  # the picture's padding is no soft line break


def test_the_number_whatsapp_knows_stands_beside_its_spelling() -> None:
    said = read_vcard(card("TEL;waid=5215550100003;type=CELL:+52 55 5010 0003", "TEL;waid=me:1", "TEL:+52 2"))
    assert said.whatsapp_ids == {"+52 55 5010 0003": "5215550100003"}
    assert said.phones == ["+52 55 5010 0003", "1", "+52 2"]


def test_the_first_card_of_several() -> None:
    assert read_vcard(card("FN:One") + card("FN:Two")).names == ["One"]
    assert read_vcard(None).name is read_vcard("no card").name is None


def test_a_hostile_card_costs_little() -> None:
    began = time.perf_counter()
    for line in ('TEL;X="' * 150_000, '":' * 500_000, "TEL:1\n " * 140_000, "N:" + "\\;" * 490_000, "=\n" * 500_000):
        read_vcard(line)
    assert len(read_vcard("\n".join(f"TEL:{n}" for n in range(1000))).phones) == MOST_VALUES
    assert time.perf_counter() - began < 20  # seconds, where each takes tenths; quadratic would be hours


@given(st.text(alphabet=':;="\\\r\n NTELFwaid,.-09é', max_size=200))
def test_nothing_raises(text: str) -> None:
    read_vcard(text)
