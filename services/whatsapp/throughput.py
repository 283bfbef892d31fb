"""How many messages a second Meta carries for a number, as Meta itself says of it."""

from __future__ import annotations

from services.whatsapp.capabilities import CAPABILITIES, COEXISTING
from shared.contract.capabilities import Rate
from shared.kit import loose
from shared.kit.loose import Json

# What is asked of a phone number, beside its id, to know its throughput.
FIELDS = ("throughput", "is_on_biz_app")

_HIGH = Rate(per_second=1000, burst=1000)
_LEVELS = {"STANDARD": CAPABILITIES.rates.account, "HIGH": _HIGH}


def rate_of_number(number: Json) -> Rate | None:
    """The rate of a phone number as the Graph API describes it; None where that says nothing."""
    if loose.flag(number, "is_on_biz_app"):
        return COEXISTING.rates.account
    return _LEVELS.get((loose.text(loose.obj(number, "throughput"), "level") or "").upper())


def rate_of_notice(field: str, value: Json) -> Rate | None:
    """The rate that a webhook about a number announces; Meta only ever announces a higher one."""
    announced = field == "phone_number_quality_update" and loose.text(value, "event") == "THROUGHPUT_UPGRADE"
    return _HIGH if announced else None
