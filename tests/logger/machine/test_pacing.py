from __future__ import annotations

import pytest

from assay.logger.machine import pacing as module
from assay.logger.machine.pacing import Paced


def test_a_reading_that_costs_much_is_taken_seldom_and_a_cheap_one_always(monkeypatch: pytest.MonkeyPatch) -> None:
    cost, clock, cpu, taken = 0.002, 0.0, 0.0, 0

    def reading() -> int:
        nonlocal cpu, taken
        cpu += cost
        taken += 1
        return taken

    monkeypatch.setattr(module.time, "monotonic", lambda: clock)
    monkeypatch.setattr(module.time, "thread_time", lambda: cpu)
    paced = Paced(reading, share=0.001)
    assert paced() == 1
    clock = 1.9
    assert paced() == 1
    clock, cost = 2.1, 0.0
    assert paced() == 2
    assert paced() == 3
