"""Whatever becomes of a tracker's server: the same weights, and every measurement there in the end, once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from proxy import LOSE, Proxy, answer, every_other, hang, slow

slowly = pytest.mark.slow
each = pytest.mark.parametrize("trial", ["mongo", "elastic", pytest.param("mlflow", marks=slowly)], indirect=True)
each_slowly = pytest.mark.parametrize(
    "trial", [pytest.param(name, marks=slowly) for name in ("mongo", "elastic", "mlflow")], indirect=True
)


@each
def test_a_server_that_is_down_at_the_start_gets_all_of_it_later(trial: Any, capsys: Any) -> None:
    trial.far.interrupt()
    trial.train({50: trial.far.server.start})
    trial.settle()
    trial.prove()


@each
def test_a_server_that_ends_in_the_middle_and_comes_back_lacks_nothing(trial: Any) -> None:
    def end() -> None:
        trial.taken()
        trial.far.interrupt()
        trial.after(3.0, trial.far.server.start)

    trial.train({20: end, 75: trial.join})
    trial.settle()
    trial.prove()


@each_slowly
def test_a_server_that_never_comes_back_leaves_a_rest_that_sync_sends(trial: Any, capsys: Any) -> None:
    def end() -> None:
        trial.taken()
        trial.far.interrupt()

    run = trial.train({20: end})
    shown = capsys.readouterr().out
    assert shown.count(f"warning: {trial.far.type}") == 1
    assert f"are not delivered yet; send them with: assay sync {run.path}" in shown
    trial.far.server.start()
    trial.sync()
    trial.prove()


@each_slowly
def test_a_server_that_accepts_and_never_answers_holds_up_nobody(trial: Any, capsys: Any) -> None:
    def freeze() -> None:
        trial.taken()
        trial.far.server.freeze()

    run = trial.train({20: freeze})
    trial.far.server.thaw()
    assert f"send them with: assay sync {run.path}" in capsys.readouterr().out
    trial.sync()
    trial.prove()


@each_slowly
def test_a_server_that_never_answers_and_does_after_a_while_has_each_once(trial: Any, proxy: Proxy) -> None:
    # The proxy ends what hung; a frozen server does late what it was asked for, while it is asked again.
    def let_go() -> None:
        proxy.behave()
        trial.far.server.freeze()
        trial.after(12.0, trial.far.server.thaw)

    trial.train({20: lambda: proxy.behave(hang), 50: let_go}, proxy.port)
    trial.join()
    trial.sync()
    trial.prove()


def _beset(trial: Any, proxy: Proxy, fault: Callable[[], object]) -> None:
    """A run whose records come in several batches after the fault has begun."""

    def begin() -> None:
        trial.taken()
        fault()

    trial.train({20: begin, 40: trial.reached(30), 55: trial.reached(45), 70: trial.reached(60)}, proxy.port)
    trial.sync()
    assert proxy.requests > 10
    trial.prove()


@each
def test_every_other_request_that_fails_costs_nothing(trial: Any, proxy: Proxy) -> None:
    _beset(trial, proxy, lambda: proxy.behave(every_other(trial.far.failing)))


@each_slowly
def test_a_server_that_fails_every_other_request_from_the_start_gets_all_of_it(trial: Any, proxy: Proxy) -> None:
    proxy.behave(every_other(trial.far.failing))
    trial.train({}, proxy.port)
    trial.sync()
    trial.prove()


@each_slowly
def test_every_other_connection_that_is_cut_costs_nothing(trial: Any, proxy: Proxy) -> None:
    proxy.cut_connections = True
    _beset(trial, proxy, lambda: None)


@each_slowly
def test_every_other_answer_that_is_lost_doubles_nothing(trial: Any, proxy: Proxy) -> None:
    _beset(trial, proxy, lambda: proxy.behave(every_other(LOSE)))


@each_slowly
def test_a_server_whose_answers_are_lost_from_the_start_has_each_once(trial: Any, proxy: Proxy) -> None:
    proxy.behave(every_other(LOSE))
    trial.train({}, proxy.port)
    trial.sync()
    trial.prove()


@each_slowly
def test_a_server_that_takes_two_seconds_for_every_answer_gets_all_of_it(trial: Any, proxy: Proxy) -> None:
    proxy.behave(slow(2.0))
    trial.train({}, proxy.port)
    trial.sync()
    trial.prove()


@each_slowly
def test_a_server_whose_disk_is_full_gets_the_rest_when_there_is_room(trial: Any, proxy: Proxy, capsys: Any) -> None:
    def fill() -> None:
        trial.taken()
        proxy.behave(answer(trial.far.full))

    trial.train({20: fill}, proxy.port)
    assert capsys.readouterr().out.count(f"warning: {trial.far.type}") == 1
    proxy.behave()
    trial.sync()
    assert not (trial.cursor.with_suffix(".refused.jsonl")).exists()
    trial.prove()


@each_slowly
def test_a_server_that_really_has_no_room_gets_the_rest_when_it_has(trial: Any) -> None:
    def fill() -> None:
        trial.taken()
        trial.far.server.fill()

    trial.train({20: fill})
    trial.far.server.free()
    if trial.far.mongo:  # a storage engine that could not write takes nothing until it is opened again
        trial.far.server.kill()
        trial.far.server.start()
    trial.sync()
    trial.prove()


@each_slowly
def test_courier_and_server_killed_again_and_again_at_any_moment_leave_each_once(trial: Any) -> None:
    dice = random.Random()
    seed = dice.randrange(10**9)
    print(f"seed {seed}")
    dice.seed(seed)

    def kill() -> None:
        for _ in range(5):
            time.sleep(dice.uniform(0, 1.5))
            whom = dice.sample(["courier", "server"], dice.choice([1, 2, 2]))
            for one in whom:
                (trial.kill_courier if one == "courier" else trial.far.interrupt)()
            if "server" in whom:
                time.sleep(dice.uniform(0, 0.5))
                trial.far.server.start()

    def begin() -> None:
        trial.taken()
        trial.after(0.0, kill)

    trial.train({20: begin, 75: trial.join})
    trial.sync()
    trial.prove()
