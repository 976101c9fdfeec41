"""From pydantic's errors to faults a user can act on: YAML path, got, allowed, nearest key."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kvasir_prune.errors import Fault


def faults_of(error: ValidationError, document: object, root: type[BaseModel]) -> list[Fault]:
    """Translate every error of a failed validation, in the order of the document's paths.

    Args:
        error: what pydantic raised.
        document: the parsed YAML that was validated.
        root: the model it was validated against.
    """
    return [_fault(details, document, root) for details in error.errors(include_url=False)]


def _fault(details: ErrorDetails, document: object, root: type[BaseModel]) -> Fault:
    keys = _yaml_keys(details["loc"], document, is_missing=details["type"] == "missing")
    path, got = _render(keys) or "(the file)", _shorten(details.get("input"))
    match details["type"]:
        case "missing":
            fault = Fault(path, "is missing")
        case "extra_forbidden":
            fault = _unknown_key(path, keys, details["loc"], root)
        case "union_tag_not_found" | "union_tag_invalid":
            fault = _wrong_member(path, details, root)
        case "literal_error":
            allowed = str(details["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
            nearest = _nearest(str(details["input"]), allowed.split(", "))
            fault = Fault(path, "is not one of the allowed values", got, allowed, nearest)
        case "value_error":
            fault = _broken_rule(path, keys, details["msg"].removeprefix("Value error, "))
        case _:
            fault = Fault(path, "is wrong", got, details["msg"][0].lower() + details["msg"][1:])
    return fault


def _broken_rule(path: str, keys: list[str | int], message: str) -> Fault:
    """Name the key itself where a rule over several sections says which one it is about."""
    key, colon, problem = message.partition(": ")
    return Fault(key, problem) if colon and not keys else Fault(path, message)


def _wrong_member(path: str, details: ErrorDetails, root: type[BaseModel]) -> Fault:
    """The key that chooses between kinds of section (data.source, model.name) is not usable."""
    context = details["ctx"]
    path = f"{path}.{str(context['discriminator']).strip(chr(39))}"
    allowed = [tag for model in _models_at(details["loc"], root) if (tag := _tag(model))]
    if "tag" not in context:
        return Fault(path, "is missing", allowed=", ".join(allowed))
    tag = str(context["tag"])
    return Fault(path, "is unknown", repr(tag), ", ".join(allowed), _nearest(tag, allowed))


def _unknown_key(
    path: str, keys: list[str | int], loc: tuple[int | str, ...], root: type[BaseModel]
) -> Fault:
    known = _known_keys(loc[:-1], root)
    return Fault(
        path,
        "is not a known key",
        allowed=", ".join(known) or None,
        suggestion=_nearest(str(keys[-1]), known),
    )


def _yaml_keys(
    loc: tuple[int | str, ...], document: object, *, is_missing: bool
) -> list[str | int]:
    """Leave out what pydantic inserts for a union's member: keys that the YAML does not have.

    The last one of a missing key is not in the YAML either, but it is where the key belongs.
    """
    keys: list[str | int] = []
    value: Any = document
    for position, key in enumerate(loc):
        inside = isinstance(value, dict) and key in value
        inside = inside or (isinstance(value, list) and isinstance(key, int))
        if inside:
            value = value[key]
        elif not (is_missing and position == len(loc) - 1):
            continue
        keys.append(key)
    return keys


def _models_at(loc: tuple[int | str, ...], root: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the models that may stand at a location; a union's tag picks its member."""
    models = [root]
    for key in loc:
        tagged = [model for model in models if _tag(model) == key]
        if tagged:
            models = tagged
            continue
        fields = [model.model_fields[str(key)] for model in models if key in model.model_fields]
        models = [found for field in fields for found in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def _tag(model: type[BaseModel]) -> str | None:
    for name in ("source", "name"):
        if name in model.model_fields:
            values = get_args(model.model_fields[name].annotation)
            if len(values) == 1:
                return str(values[0])
    return None


def _known_keys(loc: tuple[int | str, ...], root: type[BaseModel]) -> list[str]:
    return sorted({key for model in _models_at(loc, root) for key in model.model_fields})


def _nearest(word: str, known: list[str]) -> str | None:
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _render(keys: list[str | int]) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
