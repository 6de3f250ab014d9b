import math

import numpy as np
import pytest
from scipy import stats

from studies.relief.statistics import LEAST_SETS, associate, by_set, clopper_pearson, spearman, wilson


@pytest.mark.parametrize(("successes", "total"), [(0, 6), (6, 6), (1, 10), (16, 19), (377, 504)])
def test_intervals_agree_with_scipy(successes, total):
    test = stats.binomtest(successes, total)
    for own, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        theirs = test.proportion_ci(0.95, method=method)
        assert own(successes, total) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert wilson(successes, total)[0] <= successes / total + 1e-15
    assert wilson(successes, total)[1] >= successes / total - 1e-15


def test_wilson_by_hand():
    # Newcombe 1998 Stat Med 17:857, table I: 81 of 263, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("successes", "total"), [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_proportion_is_refused(successes, total):
    for interval in (wilson, clopper_pearson):
        with pytest.raises(ValueError, match="no proportion"):
            interval(successes, total)


def test_exact_interval_covers_what_it_claims():
    for share in (0.05, 0.3, 0.9):
        covered = sum(
            stats.binom.pmf(k, 20, share)
            for k in range(21)
            if clopper_pearson(k, 20)[0] <= share <= clopper_pearson(k, 20)[1]
        )
        assert covered >= 0.95


def test_rank_correlation_agrees_with_scipy_with_ties():
    x, y = [1, 2, 2, 5, 7, 9, 9, 12], [3, 1, 4, 4, 8, 2, 9, 10]
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_few_sets_print_no_coefficient():
    sets = [f"s{i}" for i in range(LEAST_SETS - 1)]
    values = list(np.arange(LEAST_SETS - 1.0))
    told = associate(sets, values, values)
    assert told.coefficient is None
    assert told.low is None
    assert told.verdict == "cannot tell: 7 of at least 8 sets"
    # Many rows of few sets are few sets, and a row without a prediction is no set.
    assert associate(sets * 3, values * 3, values * 3).coefficient is None
    assert associate([*sets, "s7"], [*values, math.nan], [*values, 1.0]).coefficient is None


def test_enough_sets_are_told_with_one_left_out():
    sets = [f"s{i}" for i in range(9)]
    x = [1.0, 2, 3, 4, 5, 6, 7, 8, 9]
    y = [1.0, 2, 3, 4, 5, 6, 7, 8, 0]
    told = associate(sets, x, y)
    assert told.coefficient == pytest.approx(stats.spearmanr(x, y).statistic)
    assert told.most_influential == "s8"
    assert told.high == pytest.approx(1.0)
    assert "with one set left out" in told.verdict


def test_arms_of_one_set_count_once():
    points = by_set(["a", "a", "b"], [1.0, 3.0, 5.0], [10.0, 30.0, 50.0])
    assert points == {"a": (2.0, 20.0), "b": (5.0, 50.0)}


def test_a_side_that_does_not_vary_is_no_correlation():
    sets = [f"s{i}" for i in range(10)]
    told = associate(sets, [1.0] * 10, list(np.arange(10.0)))
    assert (told.coefficient, told.verdict) == (None, "cannot tell: one side does not vary")
    lone = associate(sets, [*[1.0] * 9, 2.0], list(np.arange(10.0)))
    assert (lone.coefficient, lone.verdict) == (None, "cannot tell: it hangs on one set")
