import json
import re
import tomllib

import pytest

from fem.materials import parameter_table
from fem.parameters import MMHG
from studies.case import Case
from studies.errors import InputError
from studies.inputs import material_values, patch_parameters
from studies.reading import case_hash, case_toml, parse_value, read_case, set_key, validate_case
from studies.resolve import presets, resolve, window
from studies.schema import json_schema, markdown
from studies.study import read_study
from studies.values import INTERSPACES

LEAK = {"level": "L3/L4", "site": "dorsal"}
INJECTION = {"level": "L3/L4", "volume": "10 mL"}


def case(**more) -> Case:
    return validate_case({"injection": [INJECTION], **more})


def test_level_and_volume_make_a_complete_case():
    parameters = patch_parameters(resolve(case()))
    (injection,) = parameters.injections
    assert (injection.interspace, injection.approach, injection.side, injection.material) == (
        "L3/L4", "interlaminar", "midline", "blood",
    )  # fmt: skip
    assert injection.volume == pytest.approx(1e-5)
    assert injection.rate == pytest.approx(20e-6 / 60)
    assert parameters.csf.baseline_pressure == pytest.approx(4.4 * 133.322, rel=1e-5)
    assert parameters.time.follow_up == 600.0


def test_resolved_case_reads_back_as_the_same_case(tmp_path):
    tree = {
        "patient": "healthy",
        "anatomy": {"overrides": {"L3": {"sac_ap": "13.3 mm"}, "L3/L4": {"recess_depth": "5 mm"}}},
        "injection": [INJECTION | {"volume": "7.7 mL", "rate": "17 mL/min"}, INJECTION | {"material": "saline"}],
        "materials": {"fat": {"mobility": "1.7e-7 m^2/(Pa s)", "poisson_ratio": 0.21}},
        "mesh": {"size": "3.3 mm"},
        "output": {"times": ["1 min", "90 s"]},
        "csf": {"spinal_share": 0.32},
    }
    resolved = resolve(validate_case(tree))
    path = tmp_path / "case.toml"
    path.write_text(case_toml(resolved), encoding="utf-8")
    again = resolve(read_case(path))
    assert again == resolved
    assert case_toml(again) == case_toml(resolved)
    assert patch_parameters(again).injections == patch_parameters(resolved).injections
    assert case_hash(again) == case_hash(resolved)


def test_resolved_case_writes_every_value():
    tree = tomllib.loads(case_toml(resolve(case())))
    assert set(tree["csf"]) == {
        "baseline_pressure", "set_point", "pvi", "reference_pressure", "outflow_resistance", "formation",
        "epidural_pressure",
    }  # fmt: skip
    assert {f"{material}.{key}" for material, table in tree["materials"].items() for key in table} == set(
        parameter_table()
    )
    assert tree["anatomy"]["span"] == ["T10", "S2"]
    assert tree["injection"][0]["start"] == "0 s"


def test_default_materials_survive_the_file_unchanged():
    values = material_values(resolve(case()))
    assert values == pytest.approx({key: row.value for key, row in parameter_table().items()}, rel=1e-13)


def test_injections_follow_one_another():
    steps = [INJECTION, INJECTION | {"start": "2 min"}, INJECTION]
    starts = [step.start for step in resolve(validate_case({"injection": steps})).injection]
    assert starts == pytest.approx([0.0, 120.0, 150.0])


def test_an_injection_after_one_that_a_limit_may_stop_begins_when_that_one_ends():
    steps = [INJECTION | {"stop_at": "20 mmHg"}, INJECTION, INJECTION, INJECTION | {"start": "5 min"}, INJECTION]
    case = resolve(validate_case({"injection": steps}))
    assert [step.start for step in case.injection] == pytest.approx([0.0, None, None, 300.0, 330.0])
    assert resolve(case) == case
    given = patch_parameters(case).injections
    assert [each.start for each in given] == pytest.approx([0.0, 30.0, 60.0, 300.0, 330.0])
    assert [each.follows for each in given] == [False, True, True, False, False]


def test_injections_can_go_on_together():
    steps = resolve(validate_case({"injection": [INJECTION, INJECTION | {"start": "0 s"}]})).injection
    assert [step.start for step in steps] == [0.0, 0.0]


def test_untreated_control_is_a_case():
    assert resolve(validate_case({"injection": [INJECTION | {"volume": "0 mL"}]})).injection[0].volume == 0.0


def test_presets_carry_source_and_tag():
    for preset in (value for table in presets().values() for value in table.values()):
        assert preset.source
        assert preset.tag
        assert validate_case({"injection": [INJECTION], "csf": {preset.key: preset.value}})


def test_window_is_the_union_of_all_cases():
    cases = [validate_case({"injection": [INJECTION | {"level": level}]}) for level in ("L3/L4", "T8/T9")]
    assert window(cases) == ("T3", "S2")


def test_numbers_that_mean_the_same_are_the_same_case():
    other = validate_case({"injection": [INJECTION | {"volume": "0.01 L", "rate": "0.02 L/min"}]})
    assert case_hash(resolve(other)) == case_hash(resolve(case()))


@pytest.mark.parametrize(
    ("more", "key", "said"),
    [
        ({"patient": "sih"}, "patient", r"\[\[leak\]\]"),
        ({"leak": [LEAK | {"site": "sleeve", "side": "midline"}]}, "leak.0.side", "left"),
        ({"leak": [LEAK | {"level": "C3/C4"}], "anatomy": {"span": ["T10", "S2"]}}, "leak.0.level", "within"),
        ({"leak": [LEAK], "csf": {"formation": "0 mL/min"}}, "csf.formation", "sustains no leak"),
        ({"leak": [LEAK], "csf": {"baseline_pressure": "9 mmHg"}}, "csf.baseline_pressure", "below the set point"),
        (
            {"leak": [LEAK | {"conductance": "0.01 mL/(min mmHg)"}], "csf": {"baseline_pressure": "3 mmHg"}},
            "csf.baseline_pressure",
            r"at least 0.115 mL/\(min mmHg\)",
        ),
        ({"csf": {"epidural_pressure": "6 mmHg"}}, "csf.epidural_pressure", "up to csf.baseline_pressure"),
        ({"injection": [INJECTION | {"gauge": "30 G"}]}, "injection.0.gauge", "what a hand can press"),
        (
            {"injection": [INJECTION | {"approach": "foraminal", "side": "midline"}]},
            "injection.0.side",
            "foraminal approach",
        ),
        ({"injection": [INJECTION | {"offset": "3 mm"}]}, "injection.0.offset", "needs a side"),
        ({"injection": [INJECTION | {"stop_at": "pain"}]}, "injection.0.stop_at", "root_venules"),
    ],
)
def test_what_cannot_be_is_refused(more, key, said):
    with pytest.raises(InputError, match=said) as error:
        resolve(case(**more))
    assert error.value.key == key


@pytest.mark.parametrize(
    ("leak", "csf", "baseline"),
    [
        ({"hole": "17 G"}, {}, 4.86),  # a large hole: little above the epidural pressure, 4.7 mmHg
        ({"hole": "25 G"}, {}, 7.37),  # a small one: below the leak-free 8.6 mmHg
        ({}, {}, 4.4),  # conductance from the preset's pressure
        ({}, {"baseline_pressure": "6 mmHg"}, 6.0),
        ({"hole": "17 G"}, {"baseline_pressure": "3 mmHg"}, 3.0),
    ],
)
def test_a_leaking_patient_is_at_rest(leak, csf, baseline):
    resolved = resolve(case(leak=[LEAK | leak], csf=csf))
    figures, conductance = resolved.csf, resolved.leak[0].conductance
    assert figures.baseline_pressure == pytest.approx(baseline * MMHG, rel=2e-3)
    venous = figures.set_point - figures.formation * figures.outflow_resistance
    absorbed = max(figures.baseline_pressure - venous, 0.0) / figures.outflow_resistance
    leaked = conductance * (figures.baseline_pressure - figures.epidural_pressure)
    assert leaked + absorbed == pytest.approx(figures.formation, rel=1e-9)
    assert resolve(resolved) == resolved


def test_contradicting_set_point_is_refused():
    with pytest.raises(InputError, match=r"csf\.set_point"):
        resolve(case(csf={"set_point": "8.6 mmHg"}))
    assert resolve(case(csf={"set_point": "8 mmHg", "baseline_pressure": "8 mmHg"})).csf.set_point is not None


def test_a_material_is_known_by_its_name_as_an_injection():
    made = case(materials={"fibrin-glue": {"viscosity": "0.02 Pa s"}})
    assert made.materials.fibrin_glue.viscosity == 0.02
    with pytest.raises(InputError, match=r"materials.fibrin-glue"):
        case(materials={"fibrin-glue": {"viscosity": "0.02 Pa s"}, "fibrin_glue": {"viscosity": "0.03 Pa s"}})


def test_unknown_key_names_the_nearest_one():
    with pytest.raises(InputError, match='did you mean "baseline_pressure"'):
        case(csf={"baseline_presure": "4 mmHg"})
    with pytest.raises(InputError, match='did you mean "mobility"'):
        case(materials={"fat": {"mobilty": "1e-7 m^2/(Pa s)"}})


def test_every_interspace_is_accepted():
    for level in INTERSPACES:
        way = "foraminal" if level == "S1/S2" else "interlaminar"  # the sacrum has no space between laminae
        injection = INJECTION | {"level": level, "approach": way}
        assert resolve(validate_case({"injection": [injection]})).injection[0].level == level


def test_volumes_that_a_limit_may_stop_take_paths_of_their_own(tmp_path):
    path = tmp_path / "case.toml"
    path.write_text('[[injection]]\nlevel = "L3/L4"\nvolume = "10 mL"\n', encoding="utf-8")
    vary = ["injection.0.volume=10mL,20mL"]
    assert len(read_study(path, vary).groups) == 1
    assert len(read_study(path, vary, ["injection.0.stop_at=20 mmHg"]).groups) == 2


def test_set_reaches_lists_and_tables():
    tree = {"injection": [dict(INJECTION)]}
    set_key(tree, "injection.0.volume", parse_value("5mL"))
    set_key(tree, "injection.1.level", "T8/T9")
    set_key(tree, "anatomy.span", parse_value('["T1", "S2"]'))
    set_key(tree, "mechanisms.plug", parse_value("true"))
    assert tree["injection"] == [{"level": "L3/L4", "volume": "5mL"}, {"level": "T8/T9"}]
    assert tree["anatomy"] == {"span": ["T1", "S2"]}
    assert tree["mechanisms"] == {"plug": True}


def test_schema_is_json_and_knows_every_key():
    schema = json_schema("case")
    text = json.dumps(schema)
    for name in ("injection", "leak", "anatomy", "csf", "mechanisms", "time", "mesh", "solver", "materials", "output"):
        assert name in schema["properties"]
    assert '"default": "20 mL/min"' in text
    assert "sweep" in json_schema("study")["properties"]


def test_documentation_is_what_the_tree_says(pytestconfig):
    assert (pytestconfig.rootpath / "docs" / "case-file.md").read_text(encoding="utf-8") == markdown()


def test_examples_of_the_tutorial_are_valid(pytestconfig, tmp_path):
    text = (pytestconfig.rootpath / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.S)
    assert len(blocks) >= 3
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.toml"
        path.write_text(block, encoding="utf-8")
        if "[sweep]" in block:
            assert len(read_study(path).cases) == 9
        else:
            assert resolve(read_case(path))
