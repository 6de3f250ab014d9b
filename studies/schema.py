"""The JSON schema of case and study files, and the table of keys in the documentation.

`python -m studies.schema` writes docs/case-file.md to standard output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fem.materials import parameter_table
from studies.case import Case
from studies.quantities import dimension_of
from studies.resolve import presets
from studies.study import Study


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON schema of a `case` or a `study` file."""
    model = Study if kind == "study" else Case
    schema = model.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"bloodpatch {kind} file"
    _defaults_as_text(schema)
    return schema


def _defaults_as_text(node: Any) -> None:
    """Write default quantities as the file does, with their unit."""
    if isinstance(node, list):
        for item in node:
            _defaults_as_text(item)
    elif isinstance(node, dict):
        if "x-unit" in node and isinstance(node.get("default"), int | float):
            node["default"] = dimension_of(node["x-unit"]).format(node["default"])
        elif isinstance(node.get("default"), dict):
            del node["default"]  # of a whole table: its keys have their own
        for item in node.values():
            _defaults_as_text(item)


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A node with its reference followed and None left out."""
    if "anyOf" in node:
        parts = [part for part in node["anyOf"] if part.get("type") != "null"]
        node = {**{key: value for key, value in node.items() if key != "anyOf"}, **parts[0]}
    if "$ref" in node:
        node = {
            **definitions[node["$ref"].rpartition("/")[2]],
            **{key: value for key, value in node.items() if key != "$ref"},
        }
    return node


def _allowed(node: dict[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    if "x-unit" in node:
        return f"quantity, such as `{node['examples'][0]}`"
    return {
        "boolean": "`true`, `false`",
        "integer": "whole number",
        "number": "number",
        "array": "list",
        "object": "table",
    }.get(str(node.get("type")), "text")


def _rows(
    schema: dict[str, Any], prefix: str, definitions: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    needed = set(schema.get("required", ()))
    for name, raw in schema.get("properties", {}).items():
        node = _resolved(raw, definitions)
        key = f"{prefix}{name}"
        items = _resolved(node.get("items", {}), definitions) if node.get("type") == "array" else {}
        extra = node.get("additionalProperties")
        if "properties" in node:
            yield from _rows(node, f"{key}.", definitions)
        elif "properties" in items:
            yield from _rows(items, f"{key}.", definitions)
        elif isinstance(extra, dict) and "properties" in _resolved(extra, definitions):
            yield from _rows(_resolved(extra, definitions), f"{key}.LEVEL.", definitions)
        else:
            yield key, {**node, "description": raw.get("description", node.get("description", ""))}, name in needed


def _default(key: str, node: dict[str, Any], needed: bool) -> str:
    if needed:
        return "needed"
    name = key.removeprefix("csf.")
    if key.startswith("csf.") and name in presets()["pdph"]:
        return "of the patient"
    value = node.get("default")
    return "" if value is None or value == [] else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def markdown() -> str:
    """docs/case-file.md."""
    lines = [
        "# The case file",
        "",
        "Made by `python -m studies.schema`; do not edit. The format itself is described in the tutorial.",
        "",
        'A case is a TOML file. A quantity is text with a unit (`"10 mL"`, `"20 mL/min"`, `"4.4 mmHg"`); a bare number',
        "is taken only where there is no dimension. An unknown key is refused with the nearest known one.",
        "`[[injection]]` and `[[leak]]` may stand several times; `--set` and `--vary` count them from 0",
        "(`injection.0.volume`). `case.toml` in a run folder holds every value as used.",
        "",
    ]
    for kind, title in (("case", "Keys"), ("study", "Keys of a study file, beside those of a case")):
        schema = json_schema(kind)
        rows = [row for row in _rows(schema, "", schema["$defs"]) if (kind == "case") != row[0].startswith("sweep.")]
        rows = [row for row in rows if not row[0].startswith("materials.")]
        lines += [
            f"## {title}",
            "",
            "| key | allowed | default | what it is |",
            "|---|---|---|---|",
        ]
        for key, node, needed in rows:
            cells = (f"`{key}`", _allowed(node), _default(key, node, needed), node.get("description", ""))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += ["## Patients", "", "| patient | `[csf]` key | value | source | tag |", "|---|---|---|---|---|"]
    for preset in (value for values in presets().values() for value in values.values()):
        lines.append(f"| `{preset.patient}` | `{preset.key}` | {preset.value} | {preset.source} | {preset.tag} |")
    lines += ["", "## Materials", ""]
    lines += [
        "Default, range, source and tag are in `fem/data/parameters.csv`; the tag says how far a value can be trusted:",
        "`seen` read in the source, `derived` from figures that were, `recalled` from memory of the source",
        "(`recalled-high`: with high confidence), `calibrated` chosen on data, by `bloodpatch calibrate` or, where the",
        "source says so, by hand, `assumed` not measured.",
        "",
    ]
    lines += ["| key | unit |", "|---|---|"]
    lines += [f"| `materials.{row.key}` | {row.unit} |" for row in parameter_table().values()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
