"""The pipeline knows what to do with every plan that the planner can make."""

from __future__ import annotations

from typing import get_args

from proxy.session.query_engine import _STEPS
from proxy.sql.plan import Plan


def test_every_plan_has_its_step() -> None:
    assert set(get_args(Plan)) == set(_STEPS)
