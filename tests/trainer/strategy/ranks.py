"""Several processes that train together, forked from the server of forks of `killing`: torch is imported once.

Not from the test: after a backward pass on paper, which a preflight makes, torch refuses one in a fork.
"""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from killing import forks


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_ranks(size: int, act: Callable[..., Any], *arguments: Any, timeout: float = 120.0) -> list[Any]:
    """What `act(*arguments)` returned, or the exception that it raised, in each of `size` processes, by rank; the exit
    code of one that ended without either. None is ever waited for longer than `timeout` seconds.
    """
    port = free_port()
    pipes, processes = [], []
    for rank in range(size):
        receiving, sending = forks().Pipe(duplex=False)
        here = os.getcwd(), dict(os.environ)
        process = forks().Process(target=_one, args=(rank, size, port, sending, here, act, arguments))
        process.start()
        sending.close()
        pipes.append(receiving)
        processes.append(process)
    results: list[Any] = []
    for pipe, process in zip(pipes, processes, strict=True):
        try:
            results.append(pipe.recv() if pipe.poll(timeout) else TimeoutError("it hangs"))
        except EOFError:
            process.join(10)
            results.append(process.exitcode)
    for process in processes:
        process.join(10)
        if process.is_alive():
            process.kill()
    return results


def _one(
    rank: int,
    size: int,
    port: int,
    pipe: Any,
    here: tuple[str, dict[str, str]],
    act: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    os.chdir(here[0])
    os.environ.clear()
    os.environ.update(here[1])
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    import torch

    torch.set_num_threads(1)
    try:
        result = act(*arguments)
    except BaseException as error:
        result = error
        if not hasattr(error, "exit_code"):
            traceback.print_exc()
    pipe.send(result)
    pipe.close()
    os._exit(0)


def settings_of_steps(folder: Path, rate: float, **changes: Any) -> dict[str, Any]:
    """Changes for `tiny`: 20 steps in float64, in batches of 50 of 1,293 samples, of which the last one has 43."""
    return {
        "folder": str(folder),
        "seed": 3,
        "host.precision": "float64",
        "data.loader.args": {"batch_size": 50},
        "optimizer": {"type": "SGD", "args": {"lr": rate, "momentum": 0.9}},
        "trainer.args": {"epochs": 1, "max_steps": 20},
        "logging": {"every": "5ba", "system": None},
        **changes,
    }


def result_of(results: list[Any]) -> Any:
    """That of the first; an exception of any of them is raised."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results[0]


def last_weights(run: Path) -> dict[str, Any]:
    from assay.trainer.checkpoint import Checkpoints

    weights: dict[str, Any] = Checkpoints(run / "checkpoints").load("last").tensors("model")
    return weights


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Of a tensor over its largest value, of all tensors."""
    assert list(one) == list(other)
    shares = []
    for name, tensor in one.items():
        if tensor.is_floating_point():
            largest = float(tensor.double().abs().max())
            shares.append(float((tensor.double() - other[name].double()).abs().max()) / (largest or 1.0))
    return max(shares)


# For a module of the user's, after its imports.
TWO_OPTIMIZERS = '''

class TwoOptimizers(DefaultTrainer):
    """Steps the head by an optimizer of its own, and the rest by the configuration's."""

    def __init__(self, parts, **settings):
        super().__init__(parts, **settings)
        self.other = torch.optim.Adam(self.model.head.parameters(), lr=0.01)

    def update(self, batch):
        self.optimizer.zero_grad()
        self.other.zero_grad()
        result = self.train_step(self.to_device(batch))
        result.loss.backward()
        self.other.step()
        for parameter in self.model.head.parameters():
            parameter.grad = None
        self.step_optimizer()
        return [result]
'''
