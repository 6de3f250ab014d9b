"""`[materials]` of the case file: any parameter of a law, one table per material, made from the table of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model, model_validator

from fem.materials import ParameterRow, parameter_table
from studies.quantities import Dimension
from studies.values import Section, number


def _material_field(row: ParameterRow) -> Any:
    text = f"{row.source} [{row.tag}]"
    if row.unit == "1":
        bounds = (
            number(0.0, 0.499) if row.key.endswith("poisson_ratio") else number(0.0, 1.0 if row.high <= 1.0 else 100.0)
        )
        return Annotated[float | None, bounds], Field(default=None, description=text)
    name = row.key.rpartition(".")[2].replace("_", " ")
    example = f"{row.value:g} {row.unit}"
    dimension = (
        Dimension(f"the {name}", row.unit, example, low=0.0)
        if row.low == 0.0
        else Dimension(f"the {name}", row.unit, example, above=0.0)
    )
    return Annotated[float, dimension] | None, Field(default=None, description=text)


class MaterialTables(Section):
    """Takes a material by its name in `injection.material`, too: `fibrin-glue` for `fibrin_glue`."""

    @model_validator(mode="before")
    @classmethod
    def _by_material(cls, tables: Any) -> Any:
        if not isinstance(tables, dict):
            return tables
        spelled = {name: name.replace("-", "_") for name in tables}
        twice = [name for name, key in spelled.items() if name != key and key in tables]
        return tables if twice else {key: tables[name] for name, key in spelled.items()}


def _materials_section() -> type[Section]:
    """`[materials]` with a table per material, made from the table of parameters."""
    groups: dict[str, dict[str, Any]] = {}
    for key, row in parameter_table().items():
        material, _, parameter = key.partition(".")
        groups.setdefault(material, {})[parameter] = _material_field(row)
    tables: dict[str, Any] = {}
    for material, fields in groups.items():
        model = create_model(f"Material_{material}", __base__=Section, __doc__=f"`[materials.{material}]`", **fields)
        tables[material] = (model, Field(default_factory=model))
    return create_model(
        "MaterialsSection", __base__=MaterialTables, __doc__="`[materials.NAME]`: any parameter of a law.", **tables
    )


if TYPE_CHECKING:

    class MaterialsSection(Section):
        """`[materials.NAME]`: any parameter of a law."""

        def __getattr__(self, material: str) -> Any: ...

else:
    MaterialsSection = _materials_section()
