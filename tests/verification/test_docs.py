"""The worked example of the documentation runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from studies.verification import PROBLEMS

PAGE = (Path(__file__).parents[2] / "docs" / "verification.md").read_text(encoding="utf-8")


def test_worked_example_settles_as_it_says() -> None:
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(compile(found.group(1), "docs/verification.md", "exec"), names)
    # uniaxial modulus E (1 - nu)/((1 + nu)(1 - 2 nu)) = 1200 Pa; the last step lasts 1e3 times the time of diffusion
    end = 10.0 / 1200.0
    settlement = names["settlement"]
    assert settlement[-1] == pytest.approx(end, rel=1e-4)
    assert 0 < settlement[0] < settlement[1] < settlement[2] <= settlement[-1] * (1 + 1e-9)
    assert "8.33 mm" in PAGE


def test_every_problem_is_described() -> None:
    assert [name for name in PROBLEMS if f"`{name}`" not in PAGE] == []
