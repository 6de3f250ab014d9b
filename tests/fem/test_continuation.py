"""The chain behind a cut against what a leaking and storing channel does in closed form."""

from __future__ import annotations

from dataclasses import replace
from math import pi, sqrt, tanh

import numpy as np
import pytest

from fem.continuation import Chain, Channel

CANAL = Channel(length=0.4, sac_length=0.4, conduction=4e-11, veins=8e-9, fat=1.4e-7, foramina=1.5e-11)
"""About a thoracic canal, in SI units."""

SMOOTH = 0.01
"""Relative error of lengths that begin at 4 mm and grow by 1.3, seen from the cut."""


def test_a_steady_chain_takes_up_what_a_fin_does():
    port = Chain("end", "cranial", CANAL).port(1e12)
    decay = sqrt(CANAL.foramina / CANAL.conduction)
    fin = sqrt(CANAL.conduction * CANAL.foramina) * tanh(CANAL.length * decay)
    assert port.conductance == pytest.approx(fin, rel=SMOOTH)
    assert port.uptake == pytest.approx(0.0, abs=1e-6 * fin)


def test_a_sudden_pressure_diffuses_as_into_a_half_space():
    """Outflow sqrt(M c/(pi t)) p of a channel without leak (Carslaw & Jaeger 1959, ch. 2.5), here its time integral."""
    sealed = Chain("end", "cranial", replace(CANAL, foramina=0.0))
    storage, pressure, count, length = CANAL.veins + CANAL.fat, 1000.0, 400, 0.15
    taken = 0.0
    for _ in range(count):
        port = sealed.port(length)
        taken += length * (port.conductance * pressure - port.source)
        sealed.advance(length, pressure, 0.0)
    expected = 2 * sqrt(CANAL.conduction * storage * count * length / pi) * pressure
    assert taken == pytest.approx(expected, rel=0.02)  # first order in a step of a 400th


def test_what_enters_is_stored_or_leaks_and_what_fat_takes_leaves_the_sac():
    chain, step = Chain("end", "cranial", CANAL), 7.0
    chain.restore((np.linspace(300.0, 0.0, len(chain.pressure)), 500.0))
    before, port = chain.pressure, chain.port(step)
    cut, change = 800.0, 250.0
    chain.advance(step, cut, 500.0 + change)
    rise, length = chain.pressure - before, chain._length
    entered = step * (port.conductance * cut - port.source - port.coupling * change)
    in_fat = CANAL.fat * float(length @ (rise - change))
    in_veins = CANAL.veins * float(length @ rise)
    leaked = step * CANAL.foramina * float(length @ chain.pressure)
    assert entered == pytest.approx(in_fat + in_veins + leaked, rel=1e-10)
    pushed = step * (port.coupling * cut - port.uptake * change + port.release)
    assert pushed == pytest.approx(in_fat, rel=1e-9)


def test_fat_swells_only_where_there_is_a_sac():
    without = Chain("end", "caudal", replace(CANAL, sac_length=0.0)).port(10.0)
    assert without.coupling == without.uptake == 0.0
    half = Chain("end", "caudal", replace(CANAL, sac_length=0.2)).port(10.0)
    assert 0.0 < half.uptake < Chain("end", "caudal", CANAL).port(10.0).uptake


def test_halves_side_by_side_are_the_whole():
    whole, half = Chain("end", "cranial", CANAL).port(3.0), Chain("end", "cranial", CANAL.part(2)).port(3.0)
    assert 2 * half.conductance == pytest.approx(whole.conductance, rel=1e-12)
    assert 2 * half.uptake == pytest.approx(whole.uptake, rel=1e-12)
