"""The JSON Schema of the documents, made of the reports' dataclasses and the docstrings of their fields.

It describes what `shown_attributes` of `views/json.py` names, which that writes, so that neither can drift. Imports no
torch and no rich.
"""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

from relu_demo.claims.report import Verdict
from relu_demo.scenarios import KINDS
from relu_demo.views.json import INLINED, Head, shown_attributes

JSON_TYPES = {str: "string", int: "integer", bool: "boolean", type(None): "null"}

ANY_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
"""JSON has no number for a NaN and an infinity."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of all documents."""
    definitions: dict[str, Any] = {}
    kinds = dict.fromkeys(KINDS.values())
    for kind in kinds:
        properties = {**described(kind.report, definitions), **described(Head, definitions)}
        properties["scenario"] = {"enum": list(kind.scenarios)}
        definitions[kind.report.__name__] = object_of(kind.report, properties)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:relu-demo:document:{Head.schema_version}",
        "title": "relu-demo --json",
        "description": "What relu-demo saw. Names of what a tensor has are PyTorch's own.",
        "oneOf": [{"$ref": f"#/$defs/{kind.report.__name__}"} for kind in kinds],
        "$defs": definitions,
    }


def object_of(kind: type, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object of these properties, and no others."""
    return {
        "type": "object",
        "description": as_one_line((kind.__doc__ or "").partition("\n\n")[0]),
        "additionalProperties": False,
        "required": [*properties],
        "properties": properties,
    }


def described(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of each property of a dataclass, with the docstring. Add to the definitions what it needs."""
    words = docstrings(kind)
    found: dict[str, Any] = {}
    for name, hint in shown_attributes(kind).items():
        if hint in INLINED:
            found |= described(hint, definitions)
        else:
            about = {"description": as_one_line(words[name])} if name in words else {}
            found[name] = {**schema_of(hint, definitions), **about}
    return found


def schema_of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a type. Raise TypeError for one that no document has."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in JSON_TYPES:
        return {"type": JSON_TYPES[hint]}
    if hint is float:
        return ANY_NUMBER
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(each, definitions) for each in args]}
    if origin is tuple:
        length = {} if args[-1] is ... else {"minItems": len(args), "maxItems": len(args)}
        return {"type": "array", "items": schema_of(args[0], definitions), **length}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": schema_of(args[1], definitions)}
    if origin is Literal or hint is Verdict:
        return {"enum": list(args or Verdict)}
    if hint == ForwardRef("list[Nested]"):
        items = {"type": "array", "items": {"$ref": "#/$defs/Nested"}}
        definitions["Nested"] = {"anyOf": [ANY_NUMBER, items]}
        return items
    if not is_dataclass(hint):
        raise TypeError(f"{hint} has no JSON")
    kind: Any = hint
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # a node has nodes
        definitions[kind.__name__] = object_of(kind, described(kind, definitions))
    return {"$ref": f"#/$defs/{kind.__name__}"}


def docstrings(kind: type) -> dict[str, str]:
    """Return the docstrings of a dataclass's fields and properties."""
    (node,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(node, ast.ClassDef)
    found = {each.name: ast.get_docstring(each) or "" for each in node.body if isinstance(each, ast.FunctionDef)}
    for field, words in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant):
            found[ast.unparse(field.target)] = str(words.value.value)
    return found


def as_one_line(words: str) -> str:
    """Return a docstring on one line, with JSON's words for Python's."""
    for python, json in (("None", "null"), ("True", "true"), ("False", "false")):
        words = re.sub(rf"\b{python}\b", json, words)
    return " ".join(words.split())
