from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.cli import main
from assay.cli.replaying import print_replayed
from assay.experiment.failed_step import FailedStep
from assay.experiment.inspection import Range, Seen
from assay.experiment.replaying import Replayed
from assay.store.run_folder import RunFolder
from assay.trainer.default import DefaultTrainer

Tiny = Callable[..., dict[str, Any]]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run one command as from a shell: its exit code, and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(list(arguments))
        printed = capsys.readouterr()
        return int(exit.value.code or 0), printed.out, printed.err

    return run


def write(config: dict[str, Any], path: Path = Path("run.json")) -> str:
    path.write_text(json.dumps(config, indent=2))
    return str(path)


def test_train_prints_the_run_folder_and_a_table_of_best_and_last(project: Path, tiny: Tiny, command: Command) -> None:
    code, out, err = command("train", f"--config={write(tiny())}")
    assert (code, err) == (0, "")
    run = assay.open("last")
    assert f"run {run.path}" in out
    assert "completed (2 epochs)" in out
    for name, value in run.best.items():
        assert name in out
        assert f"{value:.6g}" in out
    assert "higher" in out


def test_set_replaces_values_from_the_command_line(project: Path, tiny: Tiny, command: Command) -> None:
    config = write(tiny())
    assert command("train", "-c", config, "--set", "seed=7", "--set", "trainer.args.epochs=1", "-q")[:2] == (0, "")
    run = assay.open("last")
    assert (run.config["seed"], run.config["trainer"]["args"]["epochs"]) == (7, 1)
    origin = json.loads(run.folder.origin.read_text())
    assert origin["seed"]["from"] == "--set seed=7"


def test_resume_extends_a_run(project: Path, tiny: Tiny, command: Command) -> None:
    command("train", "-c", write(tiny()), "-q")
    code, out, _ = command("train", "--resume", "last", "--set", "trainer.args.epochs=3")
    assert code == 0
    assert "resumed" in out
    assert assay.open("last").status["epoch"] == 3


def test_a_complete_run_is_exit_7(project: Path, tiny: Tiny, command: Command) -> None:
    command("train", "-c", write(tiny()), "-q")
    code, _, err = command("train", "--resume", "last")
    assert code == 7
    assert "is complete" in err
    assert "trainer.args.epochs" in err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.type": "MLPP"}, ["no model is named 'MLPP'", "did you mean 'MLP'", "run.json:"]),
        ({"optimizer.args": {"learning_rate": 1}}, ["'SGD' has no argument 'learning_rate'", "optimizer.args"]),
        ({"loss": "MLP"}, ["'MLP' is a model, and a loss belongs here"]),
        ({"sede": 1}, ["sede", "did you mean seed"]),
        ({"model.type": "os.system"}, ["not in a place that a model may come from"]),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_a_traceback(
    project: Path, tiny: Tiny, command: Command, changes: dict[str, Any], words: list[str]
) -> None:
    code, out, err = command("train", "-c", write(tiny(changes)))
    assert code == 2
    assert "Traceback" not in out + err
    for word in words:
        assert word in err
    assert not (project / "saved").exists()


def test_every_mistake_is_told_at_once(project: Path, tiny: Tiny, command: Command) -> None:
    config = write(tiny({"model.type": "MLPP", "sede": 1, "trainer.args.epochs": "two", "loss": "Nothing"}))
    _, _, err = command("train", "-c", config)
    for word in ("MLPP", "sede", "epochs", "Nothing"):
        assert word in err


def test_no_configuration_is_exit_2(project: Path, command: Command) -> None:
    assert command("train")[0] == 2
    assert command("train", "--config=nowhere.json")[0] == 2
    assert command("trian")[0] == 2


def test_debug_shows_the_traceback(project: Path, command: Command) -> None:
    assert "Traceback" in command("train", "--config=nowhere.json", "--debug")[2]


def test_test_measures_the_best_checkpoint_and_leaves_the_run_as_it_is(
    project: Path, tiny: Tiny, command: Command
) -> None:
    run = assay.train(tiny(), quiet=True)
    before = {path: path.read_bytes() for path in run.files}
    code, out, _ = command("test", str(run.path), "--json")
    assert code == 0
    assert json.loads(out)["values"] == {name: run.best[name] for name in ("test/loss", "test/accuracy")}
    assert {path: path.read_bytes() for path in run.files} == before
    assert "test/accuracy" in command("test", "last")[1]


def test_a_damaged_checkpoint_is_exit_4(project: Path, tiny: Tiny, command: Command) -> None:
    run = assay.train(tiny(), quiet=True)
    (run.folder.checkpoints / "best" / "model.pt").write_bytes(b"")
    code, _, err = command("test", "last")
    assert code == 4
    assert "model.pt" in err


def test_runs_lists_every_run_and_those_that_died(project: Path, tiny: Tiny, command: Command) -> None:
    first, second = (assay.train(tiny(), quiet=True) for _ in range(2))
    second.folder.write_status("running")
    code, out, _ = command("runs")
    assert code == 0
    assert "completed" in out
    assert "died" in out
    listed = json.loads(command("runs", "--json")[1])
    assert [item["path"] for item in listed] == [str(run.path) for run in (first, second)]
    assert "no runs" in command("runs", "--project", "other")[1]
    shown = command("show", str(second.path))[1]
    assert "state        died" in shown
    assert f"assay train --resume {second.path}" in shown
    assert "--resume" not in command("show", str(first.path))[1]


def test_a_reader_that_has_seen_enough_is_no_error(project: Path, tiny: Tiny) -> None:
    run = assay.train(tiny(), quiet=True)
    for what in (["runs"], ["show", str(run.path)], ["show", str(run.path), "--json"], ["components"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)  # as `head -0` does
        ended = subprocess.run(
            [sys.executable, "-m", "assay", *what], stdout=writing, stderr=subprocess.PIPE, check=False
        )
        os.close(writing)
        assert (ended.returncode, ended.stderr) == (0, b""), what


def test_a_status_that_cannot_be_read_is_listed_and_not_a_crash(project: Path, tiny: Tiny, command: Command) -> None:
    assay.train(tiny(), quiet=True).folder.status.write_text("{")
    assert "unreadable" in command("runs")[1]


def test_show_says_state_checkpoints_and_figures(project: Path, tiny: Tiny, command: Command) -> None:
    run = assay.train(tiny(), quiet=True)
    code, out, _ = command("show", run.path.name)
    assert code == 0
    for word in ("completed", "best -> step-", "validation/loss"):
        assert word in out
    assert json.loads(command("show", "last", "--json")[1])["status"]["state"] == "completed"
    assert command("show", "nothing")[0] == 2


def test_sync_sends_a_run_to_a_logger_that_it_did_not_have(project: Path, tiny: Tiny, command: Command) -> None:
    run = assay.train(tiny(), quiet=True)
    code, out, _ = command("sync", "last", "--logger", "TensorBoardLogger")
    assert code == 0
    records = len(run.folder.journal.read_text().splitlines())
    assert f"{records} records sent" in out
    assert "0 records sent" in command("sync", "last", "--logger", "TensorBoardLogger")[1]


def test_listing_and_importing_do_not_import_torch(project: Path) -> None:
    base = Path("saved")
    RunFolder.create(base, "p", "n").config.write_text("{}")
    code = (
        "import sys, assay\n"
        "from assay.cli import main\n"
        "try:\n    main(['runs'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'numpy', 'torchvision'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_assay_is_a_module_that_can_be_run(project: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "assay", "rums"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no command 'rums'")


def test_what_was_asked_for_is_no_error(
    project: Path, tiny: Tiny, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(trainer: DefaultTrainer, batch: Any) -> Any:
        os.kill(os.getpid(), signal.SIGHUP)
        return usual(trainer, batch)

    usual = DefaultTrainer.train_step
    monkeypatch.setattr(DefaultTrainer, "train_step", step)
    code, _, told = command("train", write(tiny()), "--no-preflight")
    assert code == 129
    assert told.startswith(
        "\nstopping after this step (again to stop now)\nstopped by signal 1 (SIGHUP) after step 1; "
    )


def test_train_py_is_assay_train(project: Path, tiny: Tiny) -> None:
    script = Path(__file__).parents[2] / "train.py"
    config = write(tiny({"trainer.args.epochs": 1}))
    command = [sys.executable, str(script), f"--config={config}"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "completed (1 epoch)" in done.stdout


def test_sync_takes_arguments_for_one_logger_and_refuses_a_password(
    project: Path, tiny: Tiny, command: Command
) -> None:
    (project / "mine.py").write_text(
        "from assay.logger.base import BaseLogger\n\n"
        "class Mine(BaseLogger):\n"
        "    def __init__(self, url: str) -> None:\n"
        "        self.url = url\n"
        "    def start(self, run): ...\n"
        "    def log(self, records): ...\n"
    )
    assay.train(tiny({"loggers": []}), quiet=True)
    code, out, _ = command("sync", "last", "--logger", "mine:Mine", "--set", "url=http://host")
    assert (code, "mine.Mine: " in out) == (0, True)
    code, _, err = command("sync", "last", "--logger", "mine:Mine", "--set", "url=http://me:hunter22@host")
    assert code == 2
    assert "password or token in a URL" in err
    assert "hunter22" not in err
    code, _, err = command("sync", "last", "--set", "url=x")
    assert (code, "--logger TYPE" in err) == (2, True)


def test_show_names_the_steps_that_failed_and_how_to_repeat_them(project: Path, tiny: Tiny, command: Command) -> None:
    run = assay.train(tiny({"trainer.args.max_steps": 2}), quiet=True, preflight=False)
    assert "failed step" not in command("show", "last")[1]
    (run.path / "failed" / "step-00000002").mkdir(parents=True)
    out = command("show", "last")[1]
    assert f"failed step  step-00000002\nto repeat    assay replay {run.path}\n" in out
    assert json.loads(command("show", "last", "--json")[1])["failed"] == ["step-00000002"]


def test_passes_of_a_layer_that_is_called_several_times_are_numbered(capsys: pytest.CaptureFixture[str]) -> None:
    held = Range(0.0, 1.0, 0, 4)
    passes = [Seen("fc", "Linear", held, held), Seen("act", "ReLU", held, held), Seen("fc", "Linear", held, held)]
    print_replayed(Replayed(FailedStep("train", 3, 0, 3, [1, 2]), "it failed", None, passes, {}))
    out = capsys.readouterr().out
    assert "fc (pass 1 of 2)" in out
    assert "fc (pass 2 of 2)" in out
    assert "act (pass" not in out
