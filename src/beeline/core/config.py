"""Configuration: frozen dataclasses in, one line for every mistake out.

Every option is a field of a dataclass in the ``config.py`` of the room that it builds. A run's config is a mapping of
sections to such dataclasses; YAML gives values, dotted flags (``--train.batch_size 64``) win over YAML.
This module imports no torch, so that ``--help`` is instant.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar

from beeline.core.errors import UserError, unknown

if typing.TYPE_CHECKING:
    from jsonargparse import ArgumentParser

Config = TypeVar("Config")
Plain = dict[str, Any]


def plain(config: Any) -> Any:
    """A config as JSON and YAML can hold it: nested dicts, lists and scalars."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(key): plain(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [plain(value) for value in config]
    if getattr(config, "shape", None) == ():  # a number of numpy's or torch's
        return config.item()
    if isinstance(config, PurePath):
        return str(config)
    if config is not None and not isinstance(config, (str, int, float, bool)):
        raise UserError(f"{config!r}: a {type(config).__name__} cannot be kept in a config; use text or numbers")
    return config


def build(cls: type[Config], values: Mapping[str, Any], where: str = "") -> Config:
    """A config dataclass from plain values.

    Args:
        cls: the dataclass.
        values: what ``plain`` gave; fields left out keep their default.
        where: dotted name of the section, for messages.

    Raises:
        UserError: a key is unknown, a value is not of its type, or the dataclass refuses it.
    """
    assert dataclasses.is_dataclass(cls)
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    arguments: Plain = {}
    for key, value in values.items():
        if key not in names:
            raise unknown("key", _join(where, key), [_join(where, name) for name in names])
        arguments[key] = _checked(value, hints[key], _join(where, key))
    try:
        return cls(**arguments)
    except UserError as error:
        raise UserError(f"{where}.{error}" if where else str(error)) from None


def _checked(value: Any, hint: Any, where: str) -> Any:
    """A value as its type hint wants it: lists become tuples, whole numbers become floats."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, where) if isinstance(value, Mapping) else value
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for part in parts:
            with contextlib.suppress(UserError):
                return _checked(value, part, where)
    elif origin is tuple and isinstance(value, (list, tuple)):
        each = [parts[0]] * len(value) if parts[1:] == (...,) else list(parts)
        if len(each) == len(value):
            return tuple(_checked(one, part, where) for one, part in zip(value, each, strict=True))
    elif origin is Literal:
        if value in parts:
            return value
        raise unknown(where, str(value), map(str, parts))
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    elif hint is Path and isinstance(value, (str, PurePath)):
        return Path(value)
    elif hint not in (bool, int, float, str, type(None)) and origin is not tuple:
        return tuple(value) if isinstance(value, list) else value
    elif type(value) is hint or (hint is type(None) and value is None):
        return value
    raise UserError(f"{where}: needs {_describe(hint)}, not {value!r}")


def leaves(cls: type, where: str = "") -> dict[str, Any]:
    """Dotted name and type of every option of a config dataclass."""
    found: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found |= leaves(hint, _join(where, name))
        else:
            found[_join(where, name)] = hint
    return found


def flatten(values: Mapping[str, Any], where: str = "") -> Plain:
    """Nested dicts as one dict of dotted names."""
    flat: Plain = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, _join(where, str(key)))
        else:
            flat[_join(where, str(key))] = value
    return flat


def parse(sections: Mapping[str, type], given: Mapping[str, Any], flags: Sequence[str], origin: str = "") -> Plain:
    """Check given values and flags against the sections' dataclasses.

    Args:
        sections: config dataclass of each section.
        given: nested values, as from YAML.
        flags: ``--section.key=value`` strings, which win over ``given``.
        origin: what to put before a message on a given value, such as its file.

    Returns:
        nested plain values of every section, complete with defaults.

    Raises:
        UserError: a key is unknown or a value has the wrong type.
    """
    import argparse

    known = {name: hint for section, cls in sections.items() for name, hint in leaves(cls, section).items()}
    for section, values in given.items():
        if section in sections and not isinstance(values, Mapping):
            raise UserError(f"{origin}{section}: is a section and needs keys below it, not {values!r}")
    for name in flatten(given):
        _check_key(name, known, origin)
    words = [_check_flag(flag, known) for flag in flags]
    parser = _parser_of(tuple(sections.items()))
    needed = {name for section, cls in sections.items() for name in _without_default(cls, section)}
    try:
        settled = parser.parse_object(_with_flags(given, words, needed), defaults=True)
    except argparse.ArgumentError as error:
        raise UserError(f"{origin}{_explain(str(error), known)}") from None
    try:
        return dict(parser.parse_args(words, namespace=settled).as_dict())
    except argparse.ArgumentError as error:
        raise _explain(str(error), known) from None


def _check_key(name: str, known: Mapping[str, Any], origin: str = "") -> None:
    below = [key for key in known if key.startswith(f"{name}.")]
    if below:
        raise UserError(f"{origin}{name}: is a section; its keys are {', '.join(below)}")
    if name not in known:
        raise UserError(f"{origin}{unknown('key', name, known)}")


def _check_flag(flag: str, known: Mapping[str, Any]) -> str:
    """A flag whose key is known; a list may come without its brackets."""
    key, _, value = flag.removeprefix("--").partition("=")
    _check_key(key, known)
    bare = value not in ("null", "") and not value.lstrip().startswith(("[", "("))
    if bare and typing.get_args(known[key]) == (str, ...):  # quoted, because *.name means something to YAML
        return f"--{key}={json.dumps([part.strip() for part in value.split(',')])}"
    return f"--{key}=[{value}]" if bare and _takes_list(known[key]) else flag


def _without_default(cls: type, section: str) -> set[str]:
    """Dotted names of options that must be given."""
    missing = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    return {_join(section, each.name) for each in fields if each.default is each.default_factory is missing}


def _with_flags(given: Mapping[str, Any], words: Sequence[str], needed: Collection[str]) -> Plain:
    """Given values with those that must be given, where flags give them."""
    from beeline.core.yaml_text import value_of

    values = {section: dict(keys) if isinstance(keys, Mapping) else keys for section, keys in given.items()}
    for word in words:
        name, _, text = word.removeprefix("--").partition("=")
        if name in needed:
            section, _, key = name.partition(".")
            values.setdefault(section, {})[key] = value_of(text)
    return values


def _takes_list(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple or any(map(_takes_list, typing.get_args(hint)))


@lru_cache(maxsize=8)
def _parser_of(sections: tuple[tuple[str, type], ...]) -> ArgumentParser:
    """The parser of these sections; to make it takes as long as to use it, and nothing changes it."""
    return section_parser(dict(sections))


def section_parser(sections: Mapping[str, type], **options: Any) -> ArgumentParser:
    """A parser that knows every option of the sections, with its help.

    Args:
        sections: config dataclass of each section.
        options: further arguments of the parser.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False, **options)
    for section, cls in sections.items():
        parser.add_class_arguments(cls, section)
    return parser


def as_literals(hint: Any) -> tuple[Any, ...]:
    """The values that a type hint allows one by one, empty when it is not a choice."""
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(value for part in typing.get_args(hint) for value in as_literals(part))
    return ()


def _explain(message: str, known: Mapping[str, Any]) -> UserError:
    """One line for what the parser says in several."""
    match = re.search(r'key "([\w.]+)":', message)
    if match is None or match[1] not in known:
        return UserError(" ".join(message.split()))
    name, hint = match[1], known[match[1]]
    value = (re.findall(r"(?:Got|Given) value: (.*)", message) or ["what was given"])[-1]
    if as_literals(hint):
        return unknown(name, value, map(str, as_literals(hint)))
    return UserError(f"{name}: needs {_describe(hint)}, not {value}")


def _describe(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "nothing"}
    if hint in names:
        return names[hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_describe(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        parts = [part for part in typing.get_args(hint) if part is not ...]
        return (
            f"a list of {_describe(parts[0])}"
            if ... in typing.get_args(hint)
            else f"a list of {len(parts)}, each {_describe(parts[0])}"
        )
    return str(hint)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
