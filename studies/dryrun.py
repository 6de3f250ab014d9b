"""What a sweep would take: cases, meshes and paths, and an estimate of time, disk and memory from a pilot.

The pilot is the first path, cut short after a few steps of its injection; it is kept in the sweep's folder.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fem.quantities import INJECTION_FRAMES, READ_OUTS, STATIC_DELAY
from studies.case import Case
from studies.console import complain, counted, say
from studies.errors import InputError
from studies.inputs import end_of_injection, planned
from studies.memory import available, cores, resident
from studies.process import stop_process
from studies.reading import case_toml
from studies.resolve import resolve
from studies.runfolder import check_folder, read_status
from studies.runner import rank_command, start_with_case
from studies.solver import mesh_identity, run_key
from studies.standing import is_run
from studies.study import Plan, StudyCase
from studies.sweep import PILOT, duration, varied_text
from studies.worker import SIMULATOR

PILOT_STEPS: Final = 3
PILOT_LIMIT: Final = 1800.0
"""Seconds after which a pilot is given up."""
LISTED: Final = 50
"""Cases that are listed; the table of the design holds all."""
LOOK: Final = 0.2


@dataclass(frozen=True)
class Pilot:
    """What was measured.

    Attributes:
        setup: time until the model stood [s].
        step: time per step [s].
        memory: most memory held [B].
        fields: bytes of the fields at one output time.
        row: bytes per step in the tables.
        rest: bytes of everything else.
    """

    setup: float
    step: float
    memory: int
    fields: float
    row: float
    rest: float


def describe(plan: Plan) -> list[str]:
    """What would be computed: number of cases, paths and meshes, and the cases themselves."""
    cases, groups = plan.cases, plan.groups
    meshes = {mesh_identity(case.case) for case in cases}
    spans = sorted({"-".join(case.case.anatomy.span) for case in cases if case.case.anatomy.span})
    sizes = ", ".join(sorted({case.case.mesh.size for case in cases}))
    shared = sum(len(group) for group in groups.values() if len(group) > 1)
    lines = [
        f"{counted(len(cases), 'case')} along {counted(len(groups), 'injection path')}"
        f" ({counted(shared, 'case')} on shared paths)",
        f"{len(meshes)} distinct mesh{'' if len(meshes) == 1 else 'es'}: window {', '.join(spans) or 'of the mesh'};"
        f" size {sizes}",
    ]
    lines += [f"  {case.name}: {varied_text(case.varied)} ({case.group})" for case in cases[:LISTED]]
    if len(cases) > LISTED:
        lines.append(f"  and {len(cases) - LISTED} more; design.csv holds all")
    return lines


def steps_of(members: Sequence[StudyCase]) -> int:
    """Steps that a path takes if none is hard: one injection up to the largest volume, every follow-up."""
    case = members[0].case
    count = 0
    for injection in case.injection:
        count += _steps(case, injection.volume / injection.rate, case.time.injection_step)
    for member in members:
        follow_up = member.case.time.follow_up
        count += _steps(case, min(STATIC_DELAY, follow_up), case.time.max_step)
        late = max(follow_up - STATIC_DELAY, 0.0)
        count += _steps(case, late, case.time.max_step, STATIC_DELAY, case.time.late_step)
    return count


def outputs_of(case: Case) -> int:
    """Output times of a case: those it names and the baseline; else as many as `fem.paths` has at most."""
    end = end_of_injection(case)
    last = end + case.time.follow_up
    if case.output.times:
        return len({0.0, *case.output.times})
    stops = {0.0, *(over for _, over in planned(case)), end + STATIC_DELAY, *READ_OUTS, last}
    return sum(stop <= last for stop in stops) + (INJECTION_FRAMES - 1 if end > 0 else 0)


def _steps(case: Case, length: float, largest: float, step: float = 0.0, late: float = 0.0) -> int:
    """Steps over a time, from the first step or a given one, growing up to the largest [s], later to a share of it."""
    count, done, step = 0, 0.0, step or case.time.first_step
    while done < length - 1e-9:
        step = min(step, max(largest, late * done))
        if late == 0 and step >= largest and length - done > largest:
            whole = int((length - done) / largest)
            count, done = count + whole, done + whole * largest
            continue
        count, done, step = count + 1, done + step, step * max(case.solver.growth, 1.0)
        if case.solver.growth <= 1.0 and done < length:
            return count + int((length - done) / step) + 1
    return count


def pilot_case(plan: Plan) -> Case:
    """The first path's case, cut short."""
    case = next(iter(plan.groups.values()))[0].case
    first = case.injection[0]
    growth = case.solver.growth
    time_spent = sum(case.time.first_step * growth**index for index in range(PILOT_STEPS))
    volume = min(first.volume, first.rate * time_spent)
    follow_up = 0.0 if volume else time_spent
    cut = case.model_copy(
        update={
            "injection": [first.model_copy(update={"volume": volume})],
            "time": case.time.model_copy(update={"follow_up": follow_up}),
            "output": case.output.model_copy(update={"times": []}),
        }
    )
    return resolve(cut)


def run_pilot(plan: Plan, out: Path, simulator: str = SIMULATOR) -> Pilot | str:
    """Measure the pilot, or say why it could not be; one that was measured before is read."""
    case = pilot_case(plan)
    folder = out / PILOT
    text, key = case_toml(case), run_key(case)
    memory = 0
    if not _holds(folder, key, text):
        folder.mkdir(parents=True, exist_ok=True)
        process = start_with_case(rank_command(folder, simulator, quiet=True), text, {}, stderr=subprocess.PIPE)
        begun = time.monotonic()
        try:
            while process.poll() is None:
                memory = max(memory, resident(process.pid))
                if time.monotonic() - begun > PILOT_LIMIT:
                    return f"the pilot was not done after {duration(PILOT_LIMIT)}"
                time.sleep(LOOK)
        finally:
            stop_process(process)
        status = read_status(folder)
        if status is None or status.state != "done":
            said = process.stderr.read().strip().split("\n")[-1] if process.stderr else ""
            return f"the pilot failed: {status.reason if status else said or f'status {process.returncode}'}"
        (folder / "memory").write_text(str(memory), encoding="utf-8")
    return read_pilot(folder)


def _holds(folder: Path, key: str, text: str) -> bool:
    """Whether the pilot of this study was run; the one of another study, or model, makes room for it."""
    try:
        return check_folder(folder, key, text)
    except InputError:
        if folder.is_symlink() or not is_run(folder):
            raise
        shutil.rmtree(folder)
        return False


def read_pilot(folder: Path) -> Pilot | str:
    """What the folder of a pilot says."""
    try:
        steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
        times = [float(step["wall_time_s"]) for step in steps]
        memory = int((folder / "memory").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return "the pilot left nothing to measure"
    if len(times) < 2:
        return "the pilot took no step"
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    fields = sum(size for name, size in sizes.items() if name.endswith(".vtu"))
    rows = sum(sizes.get(name, 0) for name in ("series.csv", "steps.jsonl", "run.log"))
    rest = sum(sizes.values()) - fields - rows
    outputs = max(len({name.split("_")[1] for name in sizes if name.endswith(".vtu")}), 1)
    return Pilot(times[0], (times[-1] - times[0]) / (len(times) - 1), memory, fields / outputs, rows / len(times), rest)


def estimate(plan: Plan, pilot: Pilot, jobs: int | None) -> str:
    """Time, disk and memory of a sweep, from its pilot."""
    asked = jobs or cores()
    fitting = max(1, min(asked, int(available() // max(pilot.memory, 1)))) if pilot.memory else asked
    at_once = min(fitting, len(plan.groups))
    steps = {name: steps_of(members) for name, members in plan.groups.items()}
    each = [pilot.setup + count * pilot.step for count in steps.values()]
    total = max(sum(each) / at_once, max(each))
    disk = 0.0
    for members in plan.groups.values():
        for member in members:
            outputs = outputs_of(member.case) if member.case.output.fields else 0
            disk += outputs * pilot.fields + steps_of([member]) * pilot.row + pilot.rest
    return (
        f"estimate: about {duration(total)} with {counted(at_once, 'path')} at a time, {_size(disk)} of disk,"
        f" {_size(pilot.memory)} of memory per path (pilot: set-up {duration(pilot.setup)},"
        f" {pilot.step:.3g} s per step, {sum(steps.values())} steps in all; hard steps take longer)"
    )


def _size(size: float) -> str:
    """Bytes in words."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"


def dry_run(plan: Plan, out: Path, jobs: int | None, pilot: bool, simulator: str = SIMULATOR) -> None:
    """Say what a sweep would take."""
    for line in describe(plan):
        say(line)
    say(f"design: {out / 'design.csv'}")
    if not pilot:
        return
    measured = run_pilot(plan, out, simulator)
    if isinstance(measured, str):
        complain(f"no estimate: {measured}")
    else:
        say(estimate(plan, measured, jobs))
