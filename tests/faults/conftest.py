from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trials import Acting, Trial, weights

import assay
from assay.logger.courier import launch
from far_ends import FAR_ENDS, FarEnd
from proxy import Proxy


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a disk: what syncs a hundred times takes seconds on another."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="assay-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def far_ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], FarEnd]]:
    """Servers by name, each started when it is asked for, and again where a test has left it dead."""
    made: dict[str, FarEnd] = {}

    def ask(name: str) -> FarEnd:
        if name not in made:
            made[name] = FAR_ENDS[name](tmp_path_factory.mktemp(name))
        server = made[name].server
        if server.process is None or server.process.poll() is not None:
            server.start()
        return made[name]

    yield ask
    for far in made.values():
        far.server.kill()


@pytest.fixture
def config(tiny: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    logging = {"every": "1ba", "system": "1s"}
    return tiny({"data.loader.args.batch_size": 32, "trainer.type": Acting, "logging": logging})


@pytest.fixture(scope="session")
def baselines() -> dict[str, Any]:
    return {}


@pytest.fixture
def trial(
    request: pytest.FixtureRequest,
    project: Path,
    config: dict[str, Any],
    far_ends: Callable[[str], FarEnd],
    baselines: dict[str, Any],
) -> Iterator[Trial]:
    """Of the tracker that the test is parametrized with (indirectly)."""
    if not baselines:
        Acting.acts = {}
        baselines |= weights(assay.train({**config, "folder": "quiet"}, preflight=False, quiet=True))
    far = far_ends(request.param)
    trial = Trial(far, f"test{abs(hash(request.node.name)) % 10**9}", config, baselines)
    yield trial
    trial.join()
    trial.kill_courier()
    for process in launch._going_on:
        process.wait(20)


@pytest.fixture
def proxy(trial: Trial) -> Iterator[Proxy]:
    proxy = Proxy(trial.far.server.port, mongo=trial.far.mongo)
    yield proxy
    proxy.close()
