"""What fields and enumeration members mean: the docstrings beneath them, read from the source when schemas are written.

Python itself drops these strings, so they cost nothing where models are made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import Enum
from functools import cache
from inspect import getsourcefile
from itertools import pairwise
from pathlib import Path
from typing import Any


def fields_of(model: type[Any]) -> dict[str, str]:
    """Field → what it means, with those of the classes it inherits from."""
    return {name: text for base in reversed(model.__mro__) for name, text in _beneath(base).items()}


def members_of(enumeration: type[Enum]) -> dict[str, str]:
    """Value → what it means, of those members that do not say it by their names."""
    meanings = _beneath(enumeration)
    return {str(member.value): meanings[name] for name, member in enumeration.__members__.items() if name in meanings}


def one_line(text: str) -> str:
    return " ".join(text.split())


def _beneath(described: type[Any]) -> dict[str, str]:
    found = getsourcefile(described) if described.__module__ != "builtins" else None
    return _classes(found).get(described.__qualname__, {}) if found else {}


@cache
def _classes(path: str) -> dict[str, dict[str, str]]:
    """Class → attribute → its docstring, of every class at the top of a file."""
    tree = ast.parse(Path(path).read_text())
    return {node.name: dict(_documented(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _documented(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for before, after in pairwise(node.body):
        match before, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, one_line(text)
