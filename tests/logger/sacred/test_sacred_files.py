from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from mongo_runs import CREATED, journalled, records, run_info

from assay.logger.sacred.logger import SacredLogger
from assay.store.journal import JOURNAL, cut


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    return make_run()


def test_without_a_server_sacreds_files_are_in_the_run_folder(run: Any) -> None:
    (run.folder / "code").mkdir()
    (run.folder / "code" / "model.py").write_text("x = 1\n")
    run.append(20)
    run.append(1, loss=math.nan)
    logger = SacredLogger()
    logger.start(run_info(run))
    for path, name in (
        (run.folder / "transforms.json", "transforms.json"),
        (run.folder / "code/model.py", "code/model.py"),
    ):
        logger.file(path, name)
    logger.log(records(run)[:10])
    logger.start(run_info(run, 4))
    logger.log(records(run)[5:])
    run.write("status.json", {"state": "completed", "updated": CREATED + 9, "values": {"best": {"test/loss": 0.5}}})
    logger.close("completed")
    folder = run.folder / "sacred" / "1"
    refuse = pytest.fail

    def content(name: str) -> Any:
        return json.loads((folder / name).read_text(), parse_constant=refuse)

    metrics = content("metrics.json")
    expected = journalled(run)
    assert {name: (metric["steps"], metric["values"]) for name, metric in metrics.items()} == {
        name: ([point[0] for point in points], [point[1] for point in points]) for name, points in expected.items()
    }
    assert metrics["batch/loss"]["not_finite"]["values"] == ["NaN"]
    entry = content("run.json")
    assert (entry["status"], entry["result"], entry["artifacts"]) == (
        "COMPLETED",
        {"test/loss": 0.5},
        ["transforms.json"],
    )
    assert (run.folder / "sacred" / entry["experiment"]["sources"][0][1]).read_text() == "x = 1\n"
    assert content("config.json")["project"] == "digits"
    assert [path.name for path in (run.folder / "sacred").iterdir() if path.name.isdigit()] == ["1"]


def test_files_keep_what_a_resume_measures_again_as_it_was(run: Any) -> None:
    run.append(10)
    offset = run.journal.offset
    run.append(10)
    logger = SacredLogger()
    logger.start(run_info(run))
    logger.log(records(run))
    logger.close("running")
    path = run.folder / "sacred" / "1" / "metrics.json"
    before = path.read_text()
    run.journal.close()
    cut(run.folder, offset, 10)
    run.journal = type(run.journal)(run.folder / JOURNAL, 10)
    logger = SacredLogger()
    logger.start(run_info(run, 19))
    logger.beat()
    logger.close("running")
    assert path.read_text() == before
    logger.start(run_info(run, 19))
    run.append(15)
    logger.log(records(run, 19))
    logger.close("completed")
    assert json.loads(path.read_text())["batch/loss"]["values"] == [p[1] for p in journalled(run)["batch/loss"]]


def test_sacred_is_imported_without_pkg_resources_and_leaves_no_stand_in() -> None:
    code = (
        "import sys, random; random.seed(1); before = random.getstate()\n"
        "from assay.logger.sacred.logger import SacredLogger\n"
        "SacredLogger('mongodb://127.0.0.1')\n"
        "try: SacredLogger('mongodb://127.0.0.1:9').reach()\n"
        "except ConnectionError: pass\n"
        "assert 'sacred' not in sys.modules\n"
        "import assay.logger.sacred.mongo\n"
        "assert 'sacred' in sys.modules and 'pkg_resources' not in sys.modules and 'torch' not in sys.modules\n"
        "assert random.getstate() == before\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_missing_package_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacred", None)
    with pytest.raises(ImportError, match=r"pip install 'assay\[sacred\]'"):
        SacredLogger()
