"""What is wrong with a field of a command, in our own words: a sentence for each kind of mistake, with its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TIME = "It must be a time as RFC 3339 has it, with an offset from UTC."
_WHOLE = "It must be a whole number."
_NUMBER = "It must be a number."
_OBJECT = "It must be an object."
_LIST = "It must be a list."

# By pydantic's type of the error; the names in braces are of its context.
INVALID: dict[str, str] = {
    "missing": "It is missing.",
    "string_type": "It must be text.",
    "string_unicode": "It must be text.",
    "string_too_short": "It must not be empty.",
    "string_too_long": "It must have at most {max_length} characters.",
    "string_pattern_mismatch": "It has characters that are not allowed there.",
    "too_short": "It must not be empty.",
    "too_long": "It must have at most {max_length} entries.",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "greater_than": "It must be more than {gt}.",
    "greater_than_equal": "It must be at least {ge}.",
    "less_than": "It must be less than {lt}.",
    "less_than_equal": "It must be at most {le}.",
    "bool_type": "It must be true or false.",
    "bool_parsing": "It must be true or false.",
    "literal_error": "It must be {expected}.",
    "enum": "It must be {expected}.",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "union_tag_invalid": "It must be one of {expected_tags}.",
    "union_tag_not_found": "It is missing.",
}
ROW_OF_BUTTONS = "It must be a list: buttons come in rows, each of them a list of buttons."
ANYTHING_ELSE = "It is not valid."


def invalid(kind: str, context: Mapping[str, Any]) -> str:
    """The sentence of a mistake. Of the context only bounds and names of ours are repeated, never what was given."""
    if kind == "value_error":  # a rule of ours, in our words
        return str(context.get("error", ANYTHING_ELSE))
    try:
        return INVALID.get(kind, ANYTHING_ELSE).format_map(context)
    except KeyError:
        return ANYTHING_ELSE
