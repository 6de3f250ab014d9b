"""What the limits of the transport problem say of upwinding is so."""

import pytest

from studies.verification.transport import Transport


def test_limits_are_shares_of_the_error_of_upwinding(monkeypatch):
    monkeypatch.setattr("fem.advection._correction", lambda *_: 0.0)
    problem = Transport()
    errors = problem.run(problem.levels[-1]).errors
    limits = {check.quantity: check.limit for check in problem.checks()}
    for name, share in (("hump, L1", 0.1), ("hump in parts of steps, L1", 0.1), ("front, L1", 0.5)):
        assert limits[name] == pytest.approx(share * errors[name], rel=0.01)
