"""Pages as a reader opens them: in headless Chromium, at the width of a phone and of a desk, and printed."""

import html
import json
import os
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from studies.report.chart import chart, script
from tests.studies.seeing import KINDS

ON_HOST = Path(__file__).parents[2] / "env" / "on-host"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PHONE, DESK = 390, 1280


def browser() -> list[str]:
    """Command that starts Chromium, on the machine itself if need be; skips where there is none."""
    ways: list[list[str]] = [[], [str(ON_HOST)]] if Path("/usr/.host").exists() else [[]]
    for way in ways:
        asked = [*way, "sh", "-c", "; ".join(f"command -v {name}" for name in BROWSERS)]
        found = subprocess.run(asked, capture_output=True, text=True).stdout.split()
        if found:
            return [*way, found[0], "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                    "--host-resolver-rules=MAP * ~NOTFOUND"]  # fmt: skip
    pytest.skip("Chromium is not installed")


PROBE = """<script>
const frame = document.querySelector("iframe");
addEventListener("load", () => setTimeout(() => {
  const inner = frame.contentDocument, view = frame.contentWindow;
  const wide = [...inner.querySelectorAll("body > *")].filter((e) => e.getBoundingClientRect().right > WIDTH + 1);
  const charts = [...inner.querySelectorAll(".chart")];
  const before = charts.map((c) => c.querySelector("svg.plot").dataset.points);
  const groups = charts.map((c) => Number(c.querySelector("svg.plot").dataset.groups));
  const pick = charts.length ? [...charts[0].querySelectorAll("select")].pop() : null;
  if (pick && pick.options.length > 1) {
    pick.value = pick.options[1].value; pick.dispatchEvent(new view.Event("change"));
  }
  const dot = inner.querySelector(".chart circle");
  if (dot) dot.dispatchEvent(new view.Event("mouseenter"));
  document.body.dataset.found = JSON.stringify({
    overflow: inner.documentElement.scrollWidth - WIDTH, wide: wide.map((e) => e.outerHTML.slice(0, 80)),
    points: before, groups: groups, after: charts.map((c) => c.querySelector("svg.plot").dataset.points),
    tip: charts.length ? charts[0].querySelector(".tip").textContent : "",
    images: [...inner.images].every((i) => i.complete && i.naturalWidth > 0), count: inner.images.length});
}, 600));
</script>"""


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_in_chromium(kind, width, pages, tmp_path):
    command = browser()
    source = html.escape(pages[kind].read_text(encoding="utf-8"), quote=True)
    wrapper = tmp_path / "wrapper.html"
    frame = f'<iframe srcdoc="{source}" style="width:{width}px;height:800px;border:0"></iframe>'
    wrapper.write_text(f"<!doctype html><body>{frame}{PROBE.replace('WIDTH', str(width))}", encoding="utf-8")
    options = [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=8000", "--dump-dom"]
    ended = subprocess.run(
        [*command, *options, wrapper.as_uri()], capture_output=True, text=True, timeout=240, env=plain()
    )
    dom = ended.stdout
    match = re.search(r'data-found="([^"]*)"', dom)
    assert match, ended.stderr[-600:]
    found = json.loads(html.unescape(match[1]))
    assert found["overflow"] <= 0, found
    assert found["wide"] == []
    assert found["images"]
    assert found["count"] >= (1 if kind == "sweep" else 4)
    assert found["points"]
    assert all(int(number) > 1 for number in found["points"])
    assert found["after"]
    assert " " in found["tip"]
    assert "Hover" not in found["tip"]
    # A line per level and spinal share; volumes lie along the axis and make no lines of their own.
    assert found["groups"] == {"run": [1], "sweep": [4], "comparison": [2]}[kind]
    if kind == "sweep":
        assert int(found["after"][0]) < int(found["points"][0])


LEGENDS = """<script>
const look = (e) => [e.getAttribute("stroke"), e.getAttribute("stroke-dasharray")];
const told = (c) => {
  const lines = () => [...c.querySelectorAll("polyline")].map(look), before = lines();
  const entries = [...c.querySelectorAll(".legend span")].map((s) => [s.textContent, ...look(s.querySelector("path"))]);
  const text = c.querySelector(".legend").textContent;
  const pick = [...c.querySelectorAll("select")].find((s) => [...s.options].some((o) => o.value === "L2/L3"));
  if (pick) { pick.value = "L2/L3"; pick.dispatchEvent(new Event("change")); }
  return {lines: before, entries, text, chosen: lines()};
};
addEventListener("load", () => {
  document.body.dataset.found = JSON.stringify([...document.querySelectorAll(".chart")].map(told));
});
</script>"""


def test_many_lines_are_told_apart_by_the_keys_they_differ_in(tmp_path):
    command = browser()
    levels = ["C7/T1", "T3/T4", "T6/T7", "T9/T10", "T12/L1", "L2/L3", "L3/L4", "L5/S1"]
    ways = ["interlaminar", "transforaminal", "foraminal"]
    crossed = pd.DataFrame(
        [
            {"level": level, "way": way, "x": x, "y": 1.0 + k}
            for k, level in enumerate(levels)
            for way in ways
            for x in (2.0, 9.0)
        ]
    )
    sampled = pd.DataFrame([{"a": 0.1 * k, "b": 0.2 * k, "x": x, "y": k} for k in range(20) for x in (2.0, 9.0)])
    made = [chart("crossed", "", crossed, ["x"], ["y"], {}, ["level", "way"], ["level", "way"]),
            chart("sampled", "", sampled, ["x"], ["y"], {}, ["a", "b"])]  # fmt: skip
    page = tmp_path / "page.html"
    boxes = "".join(
        f'<div class="chart" data-chart="{c["id"]}"></div>'
        f'<script type="application/json" id="{c["id"]}">{c["json"]}</script>'
        for c in made
    )
    page.write_text(f"<!doctype html><body>{boxes}<script>{script()}</script>{LEGENDS}", encoding="utf-8")
    options = [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom"]
    ended = subprocess.run(
        [*command, *options, page.as_uri()], capture_output=True, text=True, timeout=240, env=plain()
    )
    first, second = json.loads(html.unescape(re.search(r'data-found="([^"]*)"', ended.stdout)[1]))
    assert [entry[0] for entry in first["entries"]] == [*levels, *ways]
    hues = {name: hue for name, hue, _ in first["entries"][: len(levels)]}
    dashes = {name: dash for name, _, dash in first["entries"][len(levels) :]}
    assert len(set(hues.values())) == len(levels)
    assert len(set(dashes.values())) == len(ways)
    assert first["lines"] == [[hues[level], dashes[way]] for level in levels for way in ways]
    assert first["chosen"] == [[hues["L2/L3"], dashes[way]] for way in ways]  # as they looked among all
    assert second["entries"] == []
    assert "20 lines" in second["text"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_prints_to_pdf(kind, pages, tmp_path):
    command = browser()
    out = tmp_path / "page.pdf"
    options = [f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={out}", "--no-pdf-header-footer"]
    subprocess.run(
        [*command, *options, pages[kind].as_uri()], capture_output=True, timeout=240, check=True, env=plain()
    )
    data = out.read_bytes()
    assert data[:5] == b"%PDF-"
    assert len(data) > 30_000
    assert len(re.findall(rb"/Type\s*/Page\b", data)) >= 2


def plain() -> dict[str, str]:
    """The variables of a program that is not of this environment."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PYTHON", "LD_"))}
