import pytest


def version(visit):
    return visit.headers.get("x-served-version")


def test_a_tenth_goes_to_v2(visit, judge):
    verdict = judge(visit("/shop"), by=version, expect={"v1": 90, "v2": 10})
    assert verdict.holds, verdict


@pytest.mark.checks(2)
def test_it_is_neither_half_nor_all(visit, judge):
    judge(visit("/shop"), by=version, expect={"v1": 50, "v2": 50}, expect_failure=True)
    judge(visit("/shop"), by=version, expect={"v2": 100}, expect_failure=True)
