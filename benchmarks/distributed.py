"""Time per training step over two processes: assay against a careful loop around torch's DistributedDataParallel.

    python benchmarks/distributed.py
    python benchmarks/distributed.py --cases cnn --rounds 20 --processes 2

Cases: an MLP of 1.4 and a CNN of 1.1 million parameters on random pictures of 3×32×32, batches of 128 over all
processes, `torch.optim.SGD` with momentum, gloo over the loopback, one thread for each process.

- *assay* is `assay.train` in each process, with its journal (a record an epoch), its checks of losses and gradients,
  and the message in which the processes agree.
- *careful* is the same model in `torch.nn.parallel.DistributedDataParallel`, whose all_reduce overlaps the backward
  pass, the same whole batches by index, and no number read inside the epoch.
- *alone* is what the questions that a training in one process asks its strategy cost, over what they come down to.

Protocol: assay's loader lets the careful loop train an epoch before every epoch of assay, in the same processes, which
wait for each other first; a ratio is that of neighbours. The first epochs are apart. Timed is the first process.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset
from turns import Seconds, header, now, row, table

import assay
from assay.data.loaders.batch import BatchLoader
from assay.trainer.batches import count_samples, split_batch
from assay.trainer.strategy import Strategy

BATCH, STEPS = 128, 20


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Random ones, of 10 classes."""

    classes = tuple("abcdefghij")

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(BATCH * STEPS, 3, 32, 32, generator=generator)
        self.targets = torch.randint(0, 10, (BATCH * STEPS,), generator=generator)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.inputs[index], int(self.targets[index])

    def __getitems__(self, rows: list[int]) -> list[Any]:
        return [self[row] for row in rows]


def mlp() -> nn.Module:
    """1.4 million parameters."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3072, 384), nn.ReLU(), nn.Linear(384, 384), nn.ReLU(), nn.Linear(384, 10)
    )


def cnn() -> nn.Module:
    """1.1 million parameters."""
    widths, layers = (3, 32, 64, 128, 256), []
    for inner, outer in itertools.pairwise(widths):
        layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 690), nn.ReLU(), nn.Linear(690, 10))


CASES: dict[str, Callable[[], nn.Module]] = {"mlp": mlp, "cnn": cnn}


class Careful:
    """The hand-written loop around torch's DistributedDataParallel."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        self.data, self.rank, self.size = Pictures(), dist.get_rank(), dist.get_world_size()
        torch.manual_seed(0)
        self.model = DistributedDataParallel(make())
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)

    def epoch(self, number: int) -> Seconds:
        """Train one epoch; time per step."""
        begin = now()
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        order = torch.randperm(len(self.data), generator=torch.Generator().manual_seed(number))
        for rows in order.split(BATCH):
            own = rows.chunk(self.size)[self.rank]
            inputs, target = self.data.inputs[own], self.data.targets[own]
            self.optimizer.zero_grad()
            output = self.model(inputs)
            loss = self.loss(output, target)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(own)
            right += (output.detach().argmax(1) == target).sum()
        dist.all_reduce(total)
        return now().since(begin, STEPS)


def measure(rank: int, size: int, port: int, name: str, rounds: int, first: int, pipe: Any) -> None:
    """In one of the processes: train by turns, and send the times of each side."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    times: dict[str, list[Seconds]] = {"careful": [], "assay": []}
    sides: list[Careful] = []

    class TurnLoader(BatchLoader):
        """assay's loader; before an epoch the other has its turn."""

        def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
            if not sides:
                sides.append(Careful(CASES[name]))
            dist.barrier()
            times["careful"].append(sides[0].epoch(epoch))
            # Whole batches by index, as the other side has them; what the loader does is another benchmark's.
            data, rows = sides[0].data, [self.rows(epoch, number) for number in range(len(self))]
            dist.barrier()
            begin = now()
            for own in rows[:-1]:
                yield data.inputs[own], data.targets[own]
            times["assay"].append(now().since(begin, len(rows) - 1))
            yield data.inputs[rows[-1]], data.targets[rows[-1]]

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        config = {
            "folder": folder,
            "host": {"device": "cpu", "threads": 1, "memory_format": "contiguous"},
            "data": {
                "dataset": {"type": Pictures},
                "loader": {"type": TurnLoader, "args": {"batch_size": BATCH}},
                "split": {"validation": 0, "test": 0},
            },
            "model": {"type": CASES[name]},
            "loss": {"type": "CrossEntropyLoss"},
            "metrics": [{"type": "Accuracy"}],
            "optimizer": {"type": "SGD", "args": {"lr": 0.01, "momentum": 0.9}},
            "trainer": {"type": "DefaultTrainer", "args": {"epochs": first + rounds}},
            "checkpoints": {"every": "1000ep"},
            "logging": {"every": "1ep", "system": None},
            "loggers": [],
        }
        assay.train(config, quiet=True, preflight=False)
    if not rank:
        pipe.send({side: turns[first:] for side, turns in times.items()})


def over_processes(size: int, name: str, rounds: int, first: int) -> dict[str, list[Seconds]]:
    """What the first of `size` processes measured."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    receiving, sending = fork.Pipe(duplex=False)
    arguments = (size, port, name, rounds, first, sending)
    processes = [fork.Process(target=measure, args=(rank, *arguments)) for rank in range(size)]
    for process in processes:
        process.start()
    sending.close()
    times: dict[str, list[Seconds]] = receiving.recv()
    for process in processes:
        process.join()
    return times


def alone(rounds: int, steps: int = 20000) -> list[float]:
    """Microseconds of this thread for a step's questions to the strategy of one process, over those of the same
    things done without one; by turns.
    """
    strategy, trainer, batch = Strategy(), _Asked(), torch.zeros(1)

    def asking() -> None:
        strategy.count(trainer, batch)  # type: ignore[arg-type]
        for _ in strategy.cut(trainer, batch, None, 0):  # type: ignore[arg-type]
            pass
        strategy.reduce(trainer, None, is_mean=False)  # type: ignore[arg-type]
        strategy.after_update(None)  # type: ignore[arg-type]
        strategy.samples(trainer, ())  # type: ignore[arg-type]

    def direct() -> None:
        count_samples(batch)
        for _ in split_batch(batch, trainer.micro_size):
            pass

    def seconds(act: Callable[[], None]) -> float:
        begin = time.thread_time_ns()
        for _ in range(steps):
            act()
        return (time.thread_time_ns() - begin) / steps / 1e3

    return [seconds(asking) - seconds(direct) for _ in range(rounds)]


class _Asked:
    micro_size = 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="turns of both sides that count")
    parser.add_argument("--first", type=int, default=2, help="first epochs that do not count")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    print(header(("numpy",), [1]))
    low, middle, high = np.percentile(alone(options.rounds), (10, 50, 90))
    print(f"alone, CPU per step: n {options.rounds}, median {middle:.2f} µs (p10-p90 {low:.2f}-{high:.2f})")
    print(f"time per step over {options.processes} processes, ratio of assay to each; below 1 assay is faster")
    for name in options.cases:
        times = over_processes(options.processes, name, options.rounds, options.first)
        micro = {side: f"{np.median([turn.wall for turn in turns]) * 1e6:.0f} µs" for side, turns in times.items()}
        print(f"\n{name}: {micro['assay']}")
        print(table([(*row("assay / DDP by hand", times["assay"], times["careful"]), f"({micro['careful']})")]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
