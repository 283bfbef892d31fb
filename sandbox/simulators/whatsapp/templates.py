"""A registry of message templates and Meta's checks of the parameters a send brings."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.simulators.whatsapp.errors import GraphError, Json

_VARIABLE: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_FORBIDDEN: Final = re.compile(r"[\n\t]| {5,}")
_BLOCKED: Final = {"PAUSED": 132015, "DISABLED": 132016}
_SENDABLE: Final = frozenset({"APPROVED", "HELD"})
_FILLED_BUTTONS: Final = {"URL": "text", "OTP": "text", "COPY_CODE": "coupon_code"}  # button type -> parameter type


@dataclass(slots=True)
class Template:
    """A template as Meta stores it. `components` in Meta's definition shape (HEADER, BODY, FOOTER, BUTTONS, CAROUSEL).

    `status` HELD accepts sends with `held_for_quality_assessment` and fails them later with 132015.
    """

    name: str
    language: str
    category: str = "UTILITY"
    status: str = "APPROVED"
    components: list[Json] = field(default_factory=list)
    id: str = ""
    quality: str = "UNKNOWN"
    rejected_reason: str = "NONE"

    def view(self) -> Json:
        """As `GET /{waba}/message_templates` lists it."""
        return {
            "id": self.id, "name": self.name, "language": self.language, "category": self.category,
            "status": self.status, "components": self.components,
        }  # fmt: skip

    def fields(self) -> Json:
        """All that can be asked for by `?fields=`."""
        variables = _VARIABLE.findall(str(self.components))
        named = any(not name.isdigit() for name in variables)
        return {
            **self.view(), "quality_score": {"score": self.quality}, "rejected_reason": self.rejected_reason,
            "parameter_format": "NAMED" if named else "POSITIONAL",
        }  # fmt: skip


class Templates:
    """Templates by name and language."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str], Template] = {}
        self._ids = itertools.count()

    def add(self, template: Template) -> Template:
        """Register or replace."""
        key = (template.name, template.language)
        old = self._by_key.get(key)
        template.id = template.id or (old.id if old else str(7_000_000_000 + next(self._ids)))
        self._by_key[key] = template
        return template

    def get(self, name: str, language: str) -> Template:
        """Raises LookupError when there is none."""
        try:
            return self._by_key[name, language]
        except KeyError:
            raise LookupError(f"no template {name} in {language}") from None

    def all(self) -> list[Template]:
        return list(self._by_key.values())

    def remove(self, name: str) -> list[Template]:
        """Forget a template in all its languages; what there was. Raises LookupError where that is nothing."""
        gone = [template for template in self.all() if template.name == name]
        if not gone:
            raise LookupError(f"no template {name}")
        for template in gone:
            del self._by_key[template.name, template.language]
        return gone

    def check(self, sent: Json, *, to_bsuid: bool) -> Template:
        """The template a send names.

        Raises `GraphError`: 132001 unknown name or language, 132015/132016 paused or disabled, 132000 count,
        132012 format, 132018 forbidden characters, 132005 too long, 131008 a missing button parameter,
        131062 a one-time password to a BSUID.
        """
        language = sent["language"]["code"]
        template = self._by_key.get((sent["name"], language))
        if template is None or template.status not in _SENDABLE | _BLOCKED.keys():
            raise GraphError(132001, f"template name ({sent['name']}) does not exist in {language}")
        if template.status in _BLOCKED:
            raise GraphError(_BLOCKED[template.status], f"template name ({template.name}) is {template.status.lower()}")
        if to_bsuid and template.category == "AUTHENTICATION":
            raise GraphError(131062, "Authentication templates need a phone number.")
        _check_components(template.components, sent.get("components") or [])
        return template


def _check_components(defined: list[Json], sent: list[Json]) -> None:
    parts = {str(part["type"]).lower(): part for part in sent if str(part["type"]).lower() != "button"}
    buttons = {int(part.get("index", -1)): part for part in sent if str(part["type"]).lower() == "button"}
    by_type = {str(part["type"]).upper(): part for part in defined}
    unknown = set(parts) - {kind.lower() for kind in by_type} - {"limited_time_offer", "order_status"}
    # An empty component is tolerated, one with parameters the template lacks is not.
    for kind in unknown:
        if parts[kind].get("parameters"):
            raise _count(kind, len(parts[kind]["parameters"]), 0)
    if "HEADER" in by_type:
        _check_header(by_type["HEADER"], parts.get("header", {}).get("parameters") or [])
    if "BODY" in by_type:
        _check_text("body", by_type["BODY"].get("text", ""), parts.get("body", {}).get("parameters") or [], 1024)
    _check_buttons(by_type.get("BUTTONS", {}).get("buttons", []), buttons)
    if "CAROUSEL" in by_type:
        cards, given = by_type["CAROUSEL"]["cards"], parts.get("carousel", {}).get("cards") or []
        if len(cards) != len(given):
            raise GraphError(132012, f"Number of cards ({len(given)}) does not match the template ({len(cards)}).")
        for card, part in zip(cards, given, strict=True):
            _check_components(card["components"], part.get("components") or [])


def _check_header(defined: Json, parameters: list[Json]) -> None:
    form = str(defined.get("format", "TEXT")).upper()
    if form == "TEXT":
        _check_text("header", defined.get("text", ""), parameters, 60)
        return
    received = str(parameters[0].get("type", "UNKNOWN")).upper() if parameters else "UNKNOWN"
    if received != form:
        raise GraphError(132012, f"header: Format mismatch, expected {form}, received {received}")
    if form != "LOCATION":
        media = parameters[0].get(form.lower()) or {}
        if ("id" in media) == ("link" in media):
            raise GraphError(132012, f"header: {form.lower()} must have exactly one of id and link")


def _check_text(where: str, text: str, parameters: list[Json], longest: int) -> None:
    names = list(dict.fromkeys(_VARIABLE.findall(text)))
    if len(names) != len(parameters):
        raise _count(where, len(parameters), len(names))
    named = any(not name.isdigit() for name in names)
    values: dict[str, str] = {}
    for n, parameter in enumerate(parameters):
        name = parameter.get("parameter_name") if named else names[n]
        if name not in names or name in values:
            raise GraphError(132000, f"{where}: parameter name {name!r} is missing or not in the template")
        values[str(name)] = _value(where, parameter)
    if len(_VARIABLE.sub(lambda found: values[found.group(1)], text)) > longest:
        raise GraphError(132005, f"{where}: text is longer than {longest} characters once filled in")


def _value(where: str, parameter: Json) -> str:
    kind = parameter.get("type")
    if kind in ("currency", "date_time"):
        return str((parameter.get(kind) or {}).get("fallback_value", ""))
    text: Any = parameter.get("text")
    if kind != "text" or not isinstance(text, str):
        raise GraphError(132012, f"{where}: Format mismatch, expected TEXT, received {str(kind).upper()}")
    if not text:
        raise GraphError(131008, f"{where}: Parameter text is empty")
    if _FORBIDDEN.search(text):
        raise GraphError(132018, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces")
    return text


def _check_buttons(defined: list[Json], sent: dict[int, Json]) -> None:
    beyond = [index for index in sent if not 0 <= index < len(defined)]
    if beyond:
        raise GraphError(132018, f"Button at index {beyond[0]} is not in the template")
    for index, button in enumerate(defined):
        kind = str(button["type"]).upper()
        needed = _FILLED_BUTTONS.get(kind)
        if needed is None or (kind == "URL" and not _VARIABLE.search(button.get("url", ""))):
            continue
        parameters = sent.get(index, {}).get("parameters") or []
        if not parameters:
            raise GraphError(131008, f"Button at index {index} of type {kind.title()} requires a parameter")
        if not parameters[0].get(needed):
            raise GraphError(132012, f"Button at index {index}: expected a {needed} parameter")


def _count(where: str, got: int, expected: int) -> GraphError:
    return GraphError(
        132000,
        f"{where}: number of localizable_params ({got}) does not match the expected number of params ({expected})",
    )


def samples() -> list[Template]:
    """What every new simulator knows: plain, positional, named, media header, buttons, one-time password, carousel."""
    card: Json = {
        "components": [
            {"type": "HEADER", "format": "IMAGE"},
            {"type": "BODY", "text": "{{1}} for {{2}}"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Show me"}]},
        ]
    }
    return [
        Template("hello_world", "en_US", components=[{"type": "BODY", "text": "Hello World"}]),
        Template("order_update", "en", components=[{"type": "BODY", "text": "Hi {{1}}, order {{2}} is on its way."}]),
        Template(
            "appointment", "pt_BR",
            components=[
                {"type": "HEADER", "format": "TEXT", "text": "Consulta {{day}}"},
                {"type": "BODY", "text": "{{name}}, esperamos você às {{time}}."},
                {"type": "FOOTER", "text": "Clínica Sim"},
            ],
        ),
        Template(
            "seasonal_offer", "en", category="MARKETING",
            components=[
                {"type": "HEADER", "format": "IMAGE"},
                {"type": "BODY", "text": "{{1}}, 20% off until Sunday."},
                {"type": "BUTTONS", "buttons": [
                    {"type": "URL", "text": "Shop", "url": "https://shop.example/{{1}}"},
                    {"type": "QUICK_REPLY", "text": "Stop promotions"},
                ]},
            ],
        ),
        Template(
            "login_code", "en", category="AUTHENTICATION",
            components=[
                {"type": "BODY", "text": "{{1}} is your verification code."},
                {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy code"}]},
            ],
        ),
        Template(
            "new_arrivals", "en", category="MARKETING",
            components=[{"type": "BODY", "text": "New this week"}, {"type": "CAROUSEL", "cards": [card, card]}],
        ),
    ]  # fmt: skip
