import math
import xml.etree.ElementTree as ElementTree

import meshio
import numpy as np
import pytest

from studies.plot import FIGURES, draw_run
from studies.plot.axial import cuts, height, moments
from studies.plot.curves import with_cord_displacement
from studies.plot.fields import CONTENT, border_lines, cut
from studies.plot.run import HOUR, duration, read_run
from studies.plot.sagittal import midline, sagittal_figure
from studies.plot.space import covered
from studies.study import read_study
from studies.sweep import execute, prepare
from tests.studies.fake import NAME
from tests.studies.seeing import SAC_RADIUS, SECTORS, SQUEEZE, WALL_RADIUS, make_run

POLYGON = 0.5 * SECTORS * math.sin(2 * math.pi / SECTORS) * 1e6
"""Area of the tube's polygon of radius 1 m [mm^2]."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("seen") / "run")


@pytest.fixture
def run(folder):
    return read_run(folder)


def test_levels_lie_on_the_axis_of_the_anatomy(run):
    names = [name for _, name in run.places.ticks]
    assert names == ["L1", "T12", "T11", "T10"]
    assert list(run.injected_heights) == ["T11/T12"]
    z = run.injected_heights["T11/T12"]
    assert run.places.levels["T11"][0] == pytest.approx(z, abs=1e-3)
    assert run.places.levels["T12"][1] == pytest.approx(z, abs=1e-3)


def test_axial_cuts_have_the_areas_of_the_shape(run):
    name, z = height(run)
    assert name == "T11/T12"
    before, peak = (cuts(run.fields.nearest(time), z) for time in (0.0, 18.0))
    assert before["sac"].area == pytest.approx(POLYGON * SAC_RADIUS**2, rel=1e-3)
    assert before["canal"].area == pytest.approx(POLYGON * WALL_RADIUS**2, rel=1e-3)
    # The dura has moved inwards at the injected level, between nodes of the axial grid by a little less.
    assert peak["sac"].area == pytest.approx(POLYGON * (SAC_RADIUS - SQUEEZE) ** 2, rel=0.03)
    assert peak["epidural"].area > before["epidural"].area
    # An outer line, and the tube's axis, which is a hole: no inner edge is taken for a border.
    for part in ("sac", "canal", "cord"):
        assert len(peak[part].outlines) == 2
        for line in peak[part].outlines:
            assert line[0] == pytest.approx(line[-1])


def test_the_patch_is_where_the_blood_is(run):
    z = height(run)[1]
    part = cuts(run.fields.nearest(18.0), z)["epidural"]
    dorsal = part.points[:, 1] < -7
    ventral = part.points[:, 1] > 7
    assert part.arrays[CONTENT][dorsal].min() > 0.5
    assert part.arrays[CONTENT][ventral].max() < 0.1
    assert covered(run.fields.nearest(0.0)) is None
    patch = covered(run.fields.nearest(18.0))
    assert patch.points[:, 1].mean() < 0


def test_midline_cut_runs_the_whole_canal(run):
    parts = midline(run.fields.nearest(0.0))
    low, high = run.places.borders[0], run.places.borders[-1]
    assert np.ptp(parts["epidural"].points[:, 1]) == pytest.approx(high - low, rel=1e-6)
    assert np.abs(parts["epidural"].points[:, 0]).max() == pytest.approx(9.0, abs=0.2)


def test_border_of_two_triangles_is_their_square():
    (line,) = border_lines(np.array([[0, 1, 2], [0, 2, 3]]))
    assert sorted(line[:-1]) == [0, 1, 2, 3]
    assert line[0] == line[-1]
    assert cut(None, "z", 0.0).empty


def test_moments_say_what_is_not_there(run, tmp_path):
    chosen, missing = moments(run)
    assert [title for title, _ in chosen] == ["before", "at the peak, 18 s", "at the end, 10.3 min"]
    assert missing == "Not shown, no fields at those times: 3 h and day 3."
    long = read_run(make_run(tmp_path / "long", (0.0, 18.0, 3 * HOUR, 72 * HOUR), time={"follow_up": f"{73 * 3600} s"}))
    chosen, missing = moments(long)
    assert [title for title, _ in chosen] == ["before", "at the peak, 18 s", "at 3 h", "on day 3"]
    assert missing == ""


def test_every_moment_stands_in_the_midline_picture(tmp_path):
    run = read_run(make_run(tmp_path / "run", (0.0, 18.0, 3 * HOUR, 72 * HOUR), time={"follow_up": f"{73 * 3600} s"}))
    figure, caption = sagittal_figure(run)
    titles = [axes.get_title().replace("\n", ", ") for axes in figure.axes if axes.get_title()]
    wanted = [title for title, _ in moments(run)[0]]
    assert wanted == ["before", "at the peak, 18 s", "at 3 h", "on day 3"]
    assert titles == [*wanted, *wanted[1:]]  # pressure, then content, which there is none of before
    assert "Not shown" not in caption


def test_displacement_of_the_cord_is_read_off_the_fields(run):
    profile = with_cord_displacement(run)
    assert "cord_displacement_mm" not in run.profile
    assert profile["cord_displacement_mm"].max() < 0.1
    assert profile["cord_displacement_mm"].notna().all()


def test_every_picture_is_written_and_named(folder, command):
    called = command("plot", folder)
    assert called.status == 0, called.err
    for name, _ in FIGURES:
        svg, png = (folder / "figures" / f"{name}.{suffix}" for suffix in ("svg", "png"))
        assert png.read_bytes()[:4] == b"\x89PNG"
        assert png.stat().st_size > 20_000, name
        assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    gif = (folder / "figures" / "injection.gif").read_bytes()
    assert gif[:6] == b"GIF89a"
    assert gif.count(b"\x21\xf9\x04") >= len(read_run(folder).fields.moments)
    assert str(folder / "figures" / "axial.svg") in called.out


def test_captions_say_what_the_pictures_are_not(run, tmp_path):
    pictures = {picture.name: picture for picture in draw_run(run, tmp_path / "out", moving=False)}
    assert "injection" not in pictures
    assert "not a model of the vertebra" in pictures["axial"].caption


def test_without_fields_the_curves_are_left(tmp_path, command):
    folder = make_run(tmp_path / "run", ())
    assert command("plot", folder).status == 0
    assert {path.name for path in (folder / "figures").iterdir()} == {"over_time.png", "over_time.svg"}


def test_a_sweep_is_drawn(case_file, tmp_path, command):
    plan = read_study(case_file, ["injection.0.volume=5mL,10mL,20mL", "injection.0.level=L3/L4,T8/T9"])
    assert execute([prepare(plan, tmp_path / "sweep")], 1, simulator=NAME) == 0
    called = command("plot", tmp_path / "sweep")
    assert called.status == 0, called.err
    assert (tmp_path / "sweep" / "figures" / "sweep.svg").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("fields.pvd", "<VTKFile>", "fields.pvd: got a damaged file"),
        ("fields/fields_0000_epidural.vtu", "<VTKFile/>", "missing or damaged file"),
        ("series.csv", "a,b\n1,x\n", "series.csv: got a damaged file"),
        ("series.csv", "", "reached nothing"),
        ("summary.json", "{", "summary.json: got a damaged file"),
        ("case.toml", "no = toml = at all", "case.toml: got a damaged file"),
        ("case.toml", "[injection]\n", "does not read"),
    ],
)
def test_damaged_folders_are_told_in_one_line(file, content, said, tmp_path, command):
    folder = make_run(tmp_path / "run", (0.0, 18.0))
    (folder / file).write_text(content)
    for name in ("plot", "report"):
        called = command(name, folder)
        assert (called.status, called.err.count("\n")) == (2, 1), called.err
        assert said in called.err
    assert not (folder / "report.html").exists()
    assert not (folder / "figures").exists()


@pytest.mark.parametrize("name", ["plot", "report"])
def test_folders_that_hold_nothing(name, command, tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        called = command(name, folder)
        assert (called.status, called.err.count("\n")) == (2, 1)
    assert not list(tmp_path.iterdir())


def test_durations():
    assert [duration(t) for t in (9, 90, 618, 3 * HOUR, 72 * HOUR)] == ["9 s", "90 s", "10.3 min", "3 h", "3 d"]


def test_leak_and_clot_are_shown_when_they_are_there(tmp_path):
    folder = make_run(tmp_path / "run", (0.0, 18.0))
    text = (folder / "case.toml").read_text()
    leak = '\n[[leak]]\nlevel = "T12/L1"\nsite = "dorsal"\n'
    (folder / "case.toml").write_text(text + leak)
    for path in (folder / "fields").glob("*_epidural.vtu"):
        grid = meshio.read(path)
        grid.cell_data["clot_content"] = [0.8 * grid.cell_data["injected_content"][0]]
        grid.write(path)
    series = (folder / "series.csv").read_text().splitlines()
    lines = [f"{series[0]},leak_flow_mL_per_min", *(f"{line},0.5" for line in series[1:])]
    (folder / "series.csv").write_text("\n".join(lines) + "\n")
    run = read_run(folder)
    assert list(run.leak_heights) == ["T12/L1"]
    pictures = {name: make(run) for name, make in FIGURES if name != "space"}
    assert "(purple: leak)" in pictures["sagittal"][1]
    assert "(purple: leak)" in pictures["along_canal"][1]
    legends = [legend for axes in pictures["axial"][0].axes if (legend := axes.get_legend()) is not None]
    legend = [text.get_text() for legend in legends for text in legend.get_texts()]
    assert "edge of the clot (content 10 %)" in legend
    assert "flow [mL/min]" in [axes.get_ylabel() for axes in pictures["over_time"][0].axes]
    bare = {name: make(read_run(make_run(tmp_path / "bare", (0.0, 18.0)))) for name, make in FIGURES if name != "space"}
    assert "flow [mL/min]" not in [axes.get_ylabel() for axes in bare["over_time"][0].axes]
    assert "purple" not in bare["sagittal"][1]
