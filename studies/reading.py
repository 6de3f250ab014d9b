"""Reading and writing of case and study files, `--set`, and the one line that a mistake is answered with."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ValidationError

from studies.case import Case
from studies.errors import InputError, shown

MAX_FILE_BYTES: Final = 1_000_000
MAX_INDEX_DIGITS: Final = 9
"""More no list has elements; of thousands Python makes no number."""

Tree = dict[str, Any]


def read_toml(path: Path) -> Tree:
    """The file as a tree.

    Raises:
        InputError: the file cannot be read or is not TOML.
    """
    allowed = "allowed is a readable TOML file"
    try:
        if not path.is_file():
            raise InputError(str(path), "a folder" if path.is_dir() else "no such file", allowed)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(str(path), f"{path.stat().st_size} bytes", f"allowed are at most {MAX_FILE_BYTES} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a byte order mark
    except tomllib.TOMLDecodeError as error:
        raise InputError(str(path), f"no valid TOML: {error}", allowed) from error
    except UnicodeDecodeError as error:
        raise InputError(str(path), "no UTF-8 text", allowed) from error
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(shown(str(path)), str(error) or type(error).__name__, allowed) from error


def parse_value(text: str) -> Any:
    """The value of `--set KEY=VALUE`: TOML where it is a list, table, boolean, number or quoted text, else the text."""
    text = text.strip()
    if re.match(r"[\[{\"']|(true|false|[+-]?(\d[\d_]*(\.\d+)?([eE][+-]?\d+)?|nan|inf))$", text):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):  # no TOML, or more digits than Python takes for a number
            return text
    return text


def split_assignment(text: str, option: str) -> tuple[str, str]:
    """Key and value of `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(option, shown(text), f"allowed is KEY=VALUE, such as {option} injection.0.volume=10mL")
    return key.strip(), value


def set_key(tree: Tree, key: str, value: Any) -> None:
    """Put a value at a dotted path; list elements by index, one beyond the end appends.

    Raises:
        InputError: the path leads through something that is no table or list.
    """
    parts = key.split(".")
    node: Any = tree
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        here = _printable(".".join(parts[: depth + 1]))
        following: Any = [] if not last and parts[depth + 1].isdecimal() else {}
        if isinstance(node, dict):
            if last:
                node[part] = value
            else:
                node = node.setdefault(part, following)
        elif isinstance(node, list):
            if not part.isdecimal() or len(part) > MAX_INDEX_DIGITS or int(part) > len(node):
                raise InputError(here, shown(part), f"allowed is an index from 0 to {len(node)}")
            index = int(part)
            if index == len(node):
                node.append(value if last else following)
            elif last:
                node[index] = value
            node = node[index]
        else:
            raise InputError(here, shown(key), f"{'.'.join(parts[:depth])} is no table: it has no keys")


def validate_case(tree: Mapping[str, Any], where: str = "") -> Case:
    """The case of a tree.

    Args:
        tree: as read from a case file.
        where: put before the key in messages ("case 3").

    Raises:
        InputError: with the first thing that is wrong.
    """
    return validate(Case, tree, where)


def validate[Model: BaseModel](model: type[Model], tree: Mapping[str, Any], where: str = "", table: str = "") -> Model:
    """An instance of `model`, or an `InputError` with the first thing that is wrong.

    Args:
        model: a table of the file.
        tree: its content.
        where: put before the key in messages ("case 3").
        table: dotted name of the table in the file.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise _input_error(model, error, where, table) from None
    except RecursionError:
        raise InputError(
            where or "case file", "tables nested too deeply", "allowed are the keys of the schema"
        ) from None


def read_case(path: Path, settings: Iterable[str] = ()) -> Case:
    """The case of a file with `--set` applied."""
    tree = read_toml(path)
    for text in settings:
        key, value = split_assignment(text, "--set")
        set_key(tree, key, parse_value(value))
    if "sweep" in tree:
        raise InputError("sweep", "a study file", "allowed is a case file here; run a study with: bloodpatch sweep")
    case = validate_case(tree)
    return absolute_mesh(case, path)


def absolute_mesh(case: Case, path: Path) -> Case:
    """A mesh file is named relative to the case file."""
    if case.anatomy.mesh is None:
        return case
    mesh = str((path.resolve().parent / Path(case.anatomy.mesh).expanduser()).resolve())
    return case.model_copy(update={"anatomy": case.anatomy.model_copy(update={"mesh": mesh})})


def case_tree(case: Case) -> Tree:
    """The case as it is written: quantities as text, nothing that is unset."""
    return _without_empty_tables(case.model_dump(mode="json", exclude_none=True))


def _without_empty_tables(tree: Tree) -> Tree:
    pruned = {key: _without_empty_tables(value) if isinstance(value, dict) else value for key, value in tree.items()}
    return {key: value for key, value in pruned.items() if value not in ({}, [])}


def case_toml(case: Case) -> str:
    """The case as TOML; reading it back gives the same case."""
    return tomli_w.dumps(case_tree(case))


def case_hash(case: Case, *more: str) -> str:
    """Content hash of a resolved case and of whatever else decides the result (the version of the model)."""
    text = json.dumps(case_tree(case), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256("\n".join((text, *more)).encode()).hexdigest()[:16]


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The table that a location of an error lies in."""
    node: Any = model
    for part in location[:-1]:
        node = _inner(node, part)
    return node if isinstance(node, type) and issubclass(node, BaseModel) else None


def _inner(node: Any, part: int | str) -> Any:
    if isinstance(node, type) and issubclass(node, BaseModel):
        field = node.model_fields.get(str(part))
        return _plain(field.annotation) if field else None
    arguments = get_args(node)
    return _plain(arguments[-1]) if arguments else None


def _plain(annotation: Any) -> Any:
    """The annotation without Optional and Annotated."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def _unknown_key(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    table = _model_at(model, location)
    if table is None:
        return "unknown key"
    near = difflib.get_close_matches(str(location[-1]), table.model_fields, n=1, cutoff=0.5)
    known = ", ".join(table.model_fields)
    return f"unknown key; {f'did you mean {chr(34)}{near[0]}{chr(34)}? ' if near else ''}allowed are {known}"


def _input_error(model: type[BaseModel], error: ValidationError, where: str, within: str) -> InputError:
    # A misspelt key is the cause of a missing one: say it first.
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    location = first["loc"]
    key = _printable(".".join(str(part) for part in ((within, *location) if within else location)) or "case file")
    given = (
        shown(first["input"])
        if not isinstance(first["input"], dict | list) or not first["input"]
        else f"a {_kind(first['input'])}"
    )
    context = first.get("ctx", {})
    match first["type"]:
        case "extra_forbidden":
            given, allowed = "", _unknown_key(model, location)
        case "missing" | "too_short" if location == ("injection",):
            given, allowed = (
                "none",
                "at least one [[injection]] with a level and a volume is needed (0 mL is the untreated control)",
            )
        case "missing":
            table = _model_at(model, location)
            field = table.model_fields.get(str(location[-1])) if table else None
            given, allowed = "nothing", f"needed{f': {field.description}' if field and field.description else ''}"
        case "literal_error":
            allowed = f"allowed is {context['expected']}".replace("'", '"')
        case "model_type" | "dict_type":
            allowed = "allowed is a table"
        case "list_type":
            allowed = (
                "allowed is a list" if not key.startswith(("injection", "leak")) else f"allowed are tables, [[{key}]]"
            )
        case "bool_type":
            allowed = "allowed is true or false"
        case "allowed" | "quantity":
            allowed = str(context["allowed"])
        case _:
            allowed = f"allowed is: {first['msg']}"
    more = f" [{len(problems) - 1} more mistake{'s' if len(problems) > 2 else ''}]" if len(problems) > 1 else ""
    return InputError(f"{where}: {key}" if where else key, given, allowed + more)


def _printable(key: str) -> str:
    """A key for a message: as it is unless it is no text for one line."""
    return key if key.isprintable() and len(key) <= 120 else shown(key, 120)


def _kind(value: object) -> str:
    return "table" if isinstance(value, dict) else "list"
