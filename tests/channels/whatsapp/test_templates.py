"""What a template needs, as its record says it: filled in, and nothing else, Meta's own checks take it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from sandbox.simulators.whatsapp.errors import GraphError
from sandbox.simulators.whatsapp.templates import Template as Defined
from sandbox.simulators.whatsapp.templates import Templates, samples
from services.whatsapp.api.templates import read_template
from shared.contract.templates import TemplateParameter

_COUPON: dict[str, Any] = {"type": "COPY_CODE", "example": "WINTER"}
_NAMED: dict[str, Any] = {
    "type": "BODY",
    "text": "{{name}}, until {{day}}.",
    "example": {"body_text_named_params": [{"param_name": "day", "example": "Friday"}]},
}
DEFINED = [
    *samples(),
    Defined("document", "en", components=[{"type": "HEADER", "format": "DOCUMENT"}, {"type": "BODY", "text": "Yours"}]),
    Defined("place", "en", components=[{"type": "HEADER", "format": "LOCATION"}, _NAMED]),
    Defined("coupon", "en", components=[{"type": "BODY", "text": "Hi"}, {"type": "BUTTONS", "buttons": [_COUPON]}]),
    Defined("twice", "en", components=[{"type": "BODY", "text": "{{1}}, {{2}} and {{1}} again"}]),
]
_VALUES: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": "filled"},
    "coupon_code": {"type": "coupon_code", "coupon_code": "WINTER"},
    "location": {"type": "location", "location": {"latitude": "1", "longitude": "2"}},
}


def _value(parameter: TemplateParameter) -> dict[str, Any]:
    kind = parameter.kind
    value = _VALUES.get(kind) or {"type": kind, kind: {"link": "https://shop.example/file"}}
    return {**value, "parameter_name": parameter.name} if parameter.name else value


def _filled(parameters: tuple[TemplateParameter, ...]) -> list[dict[str, Any]]:
    """Components of a send with these parameters."""
    parts: defaultdict[tuple[str, int | None], list[TemplateParameter]] = defaultdict(list)
    for parameter in parameters:
        parts[parameter.component, parameter.button].append(parameter)
    return [
        {
            "type": component,
            **({} if button is None else {"index": str(button), "sub_type": "url"}),
            "parameters": [_value(parameter) for parameter in found],
        }
        for (component, button), found in parts.items()
    ]


@pytest.mark.parametrize("defined", DEFINED, ids=lambda defined: defined.name)
def test_what_a_template_needs_is_enough_and_no_more(defined: Defined) -> None:
    known = Templates()
    known.add(defined)
    read = read_template(defined.fields())
    assert read is not None and read.sendable
    cards = sorted({parameter.card for parameter in read.parameters if parameter.card is not None})
    components = _filled(tuple(parameter for parameter in read.parameters if parameter.card is None))
    if cards:
        of_card = [tuple(p for p in read.parameters if p.card == card) for card in cards]
        components.append({"type": "carousel", "cards": [{"components": _filled(parts)} for parts in of_card]})
    sent = {"name": defined.name, "language": {"code": defined.language}, "components": components}
    known.check(sent, to_bsuid=False)
    if read.parameters:
        with pytest.raises(GraphError):
            known.check({**sent, "components": components[:-1]}, to_bsuid=False)


def test_examples_stand_with_their_parameters() -> None:
    read = read_template(next(one for one in DEFINED if one.name == "place").fields())
    assert read is not None
    assert [(p.kind, p.name, p.example) for p in read.parameters] == [
        ("location", None, None),
        ("text", "name", None),
        ("text", "day", "Friday"),
    ]


@pytest.mark.parametrize(
    "entry",
    [{}, {"id": "1"}, {"id": "1", "name": "x"}, {"id": ["1"], "name": {}, "language": "en"}],
)
def test_what_names_no_template_is_left_out(entry: dict[str, Any]) -> None:
    assert read_template(entry) is None


@pytest.mark.parametrize(
    "components",
    [None, "text", [1, None, "x"], [{"type": 1}], [{"type": "BODY", "text": ["{{1}}"], "example": [1]}],
     [{"type": "BUTTONS", "buttons": [{"type": "URL", "url": 1}, 2]}],
     [{"type": "CAROUSEL", "cards": [{"components": [{"type": "CAROUSEL", "cards": [{}]}]}, 3]}],
     [{"type": "BODY", "text": "{{1}}", "example": {"body_text": [[{"a": 1}]]}}]],
)  # fmt: skip
def test_odd_components_cost_nothing(components: Any) -> None:
    entry = {"id": "1", "name": "odd", "language": "en", "status": "SOMETHING_NEW", "components": components}
    read = read_template({**entry, "quality_score": {"score": "UNKNOWN"}})
    assert read is not None
    assert (read.status, read.sendable, read.quality) == ("something_new", False, None)
