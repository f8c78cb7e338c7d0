"""What changed between a checkpoint and its resume is told, with what can be promised all the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import assay
from assay.cli.tables import print_run
from assay.errors import CheckpointError, ConfigError, DataError
from assay.experiment import fingerprint as made_with
from assay.experiment.changes import Changes, changes, differences

Tiny = Callable[..., dict[str, Any]]

FEW = {"trainer.args.epochs": 1, "data.loader.args.batch_size": 300}


def begun(config: dict[str, Any]) -> Any:
    return assay.train(config, quiet=True, preflight=False)


def resumed(run: Any, epochs: int = 2, **settings: Any) -> Any:
    return assay.train(resume=run.path, overrides=[f"trainer.args.epochs={epochs}"], quiet=True, **settings)


def told(run: Any) -> dict[str, Any]:
    entry: dict[str, Any] = run.status["resumed"][-1]
    return entry


def rewrite(run: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what the last checkpoint says that it was made with, and its sums."""
    from assay.trainer.checkpoint import Checkpoints

    folder = Checkpoints(run.folder.checkpoints)
    last = folder.load("last")
    change(last.state["fingerprint"])
    tensors = {name: last.tensors(name) for name in ("model", "training")}
    folder.save(last.step, tensors, last.state, last.manifest.value)


def test_a_resume_with_nothing_changed_is_said_to_be_exact(
    project: Path, tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    run = resumed(begun(tiny(FEW)), require_exact=True)
    assert told(run)["level"] == "B"
    assert told(run)["differences"] == ["changed: trainer.args.epochs: 1 -> 2"]
    assert "the same bits (level B)" in run.folder.log.read_text()
    print_run(run.folder, as_json=False)
    assert "resumed      at step 5: the same bits\n             changed: trainer.args.epochs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("group", "name", "old"),
    [
        ("software", "torch", "2.0.0"),
        ("software", "python", "3.9.1"),
        ("software", "assay", "0.0.1 (abc)"),
        ("machine", "processor", "Another CPU"),
        ("machine", "device", "cuda"),
        ("arithmetic", "threads", 64),
        ("arithmetic", "memory format", "channels_last"),
        ("arithmetic", "processes", 4),
    ],
)
def test_what_changes_the_arithmetic_is_told_and_leaves_the_samples(
    project: Path, tiny: Tiny, group: str, name: str, old: Any
) -> None:
    run = begun(tiny(FEW))
    rewrite(run, lambda made: made[group].update({name: old}))
    with pytest.raises(CheckpointError, match=re.escape(f"would not be bit-exact: {name} {old}")) as caught:
        resumed(run, require_exact=True)
    assert caught.value.exit_code == 4
    assert "resumed" not in run.status
    entry = told(resumed(run))
    assert entry["level"] == "A"
    assert any(line.startswith(f"changed: {name}: {old} -> ") for line in entry["differences"])
    assert f"{name} {old} -> " in run.folder.log.read_text()
    assert "the samples are the same (level A)" in run.folder.log.read_text()


def arrays(file: Path, count: int = 700, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    x, y = random.random((count, 1, 8, 8)).astype("f4"), random.integers(0, 10, count)
    np.savez(file, train_inputs=x, train_targets=y, test_inputs=x[:50], test_targets=y[:50])


@pytest.mark.parametrize(
    ("count", "seed", "words"), [(698, 0, r"train: 630 -> 628 samples"), (700, 1, "the content of train is another")]
)
def test_another_dataset_is_exit_3_until_it_is_allowed(
    project: Path, tiny: Tiny, count: int, seed: int, words: str
) -> None:
    arrays(project / "data.npz")
    run = begun(tiny({**FEW, "data.dataset": {"type": "ArrayFile", "args": {"path": "data.npz"}}}))
    arrays(project / "data.npz", count, seed)
    with pytest.raises(DataError, match=rf"dataset fingerprint differs \([^)]*{words}") as caught:
        resumed(run)
    assert caught.value.exit_code == 3
    assert "--allow-change data" in caught.value.hint
    assert "resumed" not in run.status
    assert told(resumed(run, allow_change=["data"]))["level"] == "none"


def test_pictures_are_told_from_others_by_names_sizes_and_a_few_of_them(project: Path, tiny: Tiny) -> None:
    from PIL import Image

    def picture(path: Path, shade: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), shade).save(path)

    for label in ("a", "b"):
        for number in range(8):
            picture(project / "pictures" / label / f"{number}.png", number * 20)
    dataset = {"type": "torchvision.datasets:ImageFolder", "args": {"root": "pictures"}}
    transforms = {"train": [{"type": "Grayscale"}], "test": [{"type": "Grayscale"}]}
    model = {"type": "MLP", "args": {"hidden": [4]}}
    few = {"data.loader.args.batch_size": 4, "trainer.args.epochs": 1}
    run = begun(tiny({**few, "data.dataset": dataset, "data.transforms": transforms, "model": model}))
    assert told(resumed(run))["level"] == "B"
    picture(project / "pictures" / "a" / "new.png", 3)
    with pytest.raises(DataError, match="samples"):
        resumed(run, 3)
    (project / "pictures" / "a" / "new.png").unlink()
    (project / "pictures" / "a" / "1.png").rename(project / "pictures" / "a" / "1b.png")
    with pytest.raises(DataError, match="the content of train is another"):
        resumed(run, 3)


def test_another_order_of_an_epoch_is_another_dataset(project: Path, tiny: Tiny) -> None:
    run = begun(tiny(FEW))
    rewrite(run, lambda made: made["order"].update(digest="0" * 16))
    with pytest.raises(DataError, match="goes through the samples in another order"):
        resumed(run)


def test_changed_code_is_told_by_file_and_the_old_sources_are_kept(project: Path, tiny: Tiny) -> None:
    net = "from assay.model.architectures.mlp import MLP\n\nclass Mine(MLP):\n    pass\n"
    (project / "changing_net.py").write_text(net)
    (project / "steady_part.py").write_text("")
    run = begun(tiny({**FEW, "model": {"type": "changing_net:Mine", "args": {"hidden": [4]}}}))
    (project / "changing_net.py").write_text(net + "\n\n# changed\n")
    with pytest.raises(CheckpointError, match=r"code of the project \(changing_net\.py\)"):
        resumed(run, require_exact=True)
    entry = told(resumed(run))
    assert entry["level"] == "none"
    assert "changed: code: changing_net.py" in entry["differences"]
    kept = run.path / "code.until-step-00000005" / "changing_net.py"
    assert kept.read_text() == net
    assert "# changed" in (run.folder.code / "changing_net.py").read_text()


def test_a_value_of_the_environment_that_changed_is_noticed_and_never_shown(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE_OF_IT", "0.0625")
    config = tiny({**FEW, "optimizer": {"type": "SGD", "args": {"lr": "${env:RATE_OF_IT}"}}})
    run = begun(config)
    assert told(resumed(run))["level"] == "B"
    monkeypatch.setenv("RATE_OF_IT", "0.03125")
    with pytest.raises(ConfigError, match=r"optimizer\.args\.lr differs from the run's") as caught:
        resumed(run, 3)
    assert caught.value.exit_code == 2
    assert "0.0625" not in str(caught.value)
    assert "0.03125" not in str(caught.value)
    entry = told(resumed(run, 3, allow_change=["optimizer.args.lr"]))
    assert entry["level"] == "A"
    assert "changed: optimizer.args.lr: ${env:RATE_OF_IT} holds another value" in entry["differences"]
    kept = [path.read_text() for path in (run.folder.environment, run.folder.config, run.folder.log)]
    assert not any("0.0625" in text or "0.03125" in text for text in kept)


def test_a_password_that_changed_is_no_difference_and_leaves_no_digest(
    project: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_IT", "hunter22")
    source = "from assay.data.datasets.digits import Digits\n\nclass Locked(Digits):\n"
    source += "    def __init__(self, split='train', password=''):\n        super().__init__(split)\n"
    (project / "locked_data.py").write_text(source)
    run = begun(
        tiny({**FEW, "data.dataset": {"type": "locked_data:Locked", "args": {"password": "${env:SECRET_OF_IT}"}}})
    )
    monkeypatch.setenv("SECRET_OF_IT", "hunter23")
    assert told(resumed(run))["level"] == "B"
    assert json.loads(run.folder.environment.read_text())["fingerprint"]["outside"] == {}


def test_a_checkpoint_that_says_nothing_of_what_it_was_made_with_promises_nothing(project: Path, tiny: Tiny) -> None:
    run = begun(tiny(FEW))
    from assay.trainer.checkpoint import Checkpoints

    folder = Checkpoints(run.folder.checkpoints)
    last = folder.load("last")
    del last.state["fingerprint"]
    folder.save(last.step, {name: last.tensors(name) for name in ("model", "training")}, last.state)
    assert told(resumed(run))["level"] == "none"


@pytest.mark.parametrize("held", [[], "text", {"software": []}, {"data": 3}])
def test_a_fingerprint_that_is_none_is_exit_4(held: Any) -> None:
    now: dict[str, Any] = {"software": {}, "machine": {}, "arithmetic": {}, "data": {}, "code": {}, "outside": {}}
    with pytest.raises(CheckpointError, match="the fingerprint in the checkpoint is none"):
        changes(held, now)


def test_a_key_of_the_data_that_was_allowed_to_change_promises_no_samples() -> None:
    assert Changes(config=[("data.split.validation", 0.1, 0.2)]).level == ""
    assert Changes(config=[("optimizer.args.lr", 0.1, 0.2)]).level == "A"
    assert Changes(config=[("data.loader.args.workers", 0, 2)]).level == "B"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_was_chosen_and_is_not_there_any_more_is_replaced_unless_it_is_asked_for(
    project: Path, tiny: Tiny
) -> None:
    run = begun(tiny(FEW))
    config = json.loads(run.folder.config.read_text())
    config["host"]["device"] = "cuda:0"
    run.folder.config.write_text(json.dumps(config))
    rewrite(run, lambda made: made["machine"].update(device="cuda"))
    with pytest.raises(ConfigError, match="is asked for and is not there"):
        assay.train(tiny({**FEW, "host.device": "cuda:0"}), resume=run.path, quiet=True)
    entry = told(resumed(run))
    assert entry["level"] == "A"
    assert "changed: device: cuda -> cpu" in entry["differences"]


@pytest.mark.slow
def test_a_resume_takes_as_many_threads_as_the_run_had(project: Path, tiny: Tiny) -> None:
    (project / "config.json").write_text(json.dumps(tiny({**FEW, "trainer.args.epochs": 2})))
    command = [
        sys.executable,
        "-c",
        "from assay.cli import main; main()",
        "train",
        "-c",
        "config.json",
        "--no-preflight",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    first = [*command, "--set", "trainer.args.epochs=1"]
    subprocess.run(first, env=environment, check=True, capture_output=True, timeout=120)
    again = [*command, "--resume", "last", "--require-exact"]
    environment["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(again, env=environment, check=False, capture_output=True, timeout=120, text=True)
    assert done.returncode == 0, done.stderr
    assert "threads: 2, as in the run (this process would have taken 1)" in done.stdout
    refused = subprocess.run(
        [*again, "--set", "host.threads=1", "--set", "trainer.args.epochs=3"],
        env=environment, check=False, capture_output=True, timeout=120, text=True,
    )  # fmt: skip
    assert refused.returncode == 4
    assert "threads 2 -> 1" in refused.stderr


def test_the_fingerprint_is_that_of_what_is_there(project: Path, tiny: Tiny) -> None:
    run = begun(tiny(FEW))
    made = json.loads(run.folder.environment.read_text())["fingerprint"]
    assert made["software"]["torch"] == torch.__version__
    assert made["data"]["train"]["samples"] == 1293
    assert set(made["data"]) == {"train", "validation", "test"}
    assert made_with.holds_same("salt$" + made_with._hidden(0.5, "salt"), 0.5)
    assert not made_with.holds_same("salt$" + made_with._hidden(0.5, "salt"), 0.25)


@pytest.mark.parametrize("key", ["optimizer.args.lr", "trainer.args.epochs"])
def test_a_configuration_in_the_run_folder_that_was_changed_by_hand_is_held_against_the_checkpoints_own(
    project: Path, tiny: Tiny, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = assay.train(tiny({"trainer.args.max_steps": 13})).folder
    config = run.read_config()
    *sections, last = key.split(".")
    place = config
    for section in sections:
        place = place[section]
    place[last] = place[last] * 2
    run.config.write_text(json.dumps(config))
    assert [path.name for path in run.unsealed()] == ["config.json"]
    capsys.readouterr()
    if key == "optimizer.args.lr":
        with pytest.raises(ConfigError, match=r"optimizer\.args\.lr differs from the run's"):
            assay.train(resume=run.path, overrides=["trainer.args.max_steps=20"])
        assert [path.name for path in run.unsealed()] == ["config.json"]
        assay.train(resume=run.path, overrides=["trainer.args.max_steps=20"], allow_change=[key])
    else:
        assay.train(resume=run.path, overrides=["trainer.args.max_steps=20"])
    assert f"{key}: " in capsys.readouterr().out
    assert run.unsealed() == []


def test_a_journal_that_was_changed_behind_a_checkpoint_is_told_and_kept_in_the_record(
    project: Path, tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begun(tiny(FEW))
    content = run.folder.journal.read_bytes()
    at = content.index(b'"loss":') + 12
    run.folder.journal.write_bytes(content[:at] + (b"1" if content[at : at + 1] != b"1" else b"2") + content[at + 1 :])
    assay.train(resume=run.path, overrides=["trainer.args.epochs=2"], preflight=False)
    words = "journal.jsonl was changed after step-00000005 was saved"
    assert f"warning: {words}" in capsys.readouterr().out
    assert any(words in fault for fault in told(run)["faults"])
    assert words in run.folder.log.read_text()


def test_a_key_that_there_is_not_cannot_be_allowed_to_change(
    project: Path, tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begun(tiny(FEW))
    with pytest.raises(ConfigError, match=r"no key 'optimzer\.args\.lr' that could change") as caught:
        resumed(run, allow_change=["optimzer.args.lr"])
    assert caught.value.problems[0].hint == "did you mean optimizer.args.lr?"
    assert "resumed" not in run.status
    for key in ("optimizer.args.lr", "optimizer", "torch", "code", "data"):
        capsys.readouterr()
        assay.train(
            resume=run.path, overrides=["trainer.args.epochs=2", "trainer.args.max_steps=6"], allow_change=[key]
        )
        assert f"note: --allow-change {key}: it has not changed" in capsys.readouterr().out
        run = begun(tiny(FEW))
    again = ["trainer.args.epochs=2", "optimizer.args.lr=0.2"]
    assay.train(resume=run.path, overrides=again, allow_change=["optimizer"])
    assert "note:" not in capsys.readouterr().out


def test_how_data_is_fetched_is_no_change_of_the_run(project: Path, tiny: Tiny) -> None:
    run = begun(tiny(FEW))
    loader = {"workers": "1", "prefetch": "3", "persistent": "false", "start_method": "fork", "timeout": "60.0"}
    more = ["trainer.args.epochs=2", *(f"data.loader.args.{name}={value}" for name, value in loader.items())]
    assert told(assay.train(resume=run.path, overrides=more, quiet=True))["level"] == "B"


def test_of_a_list_of_components_the_arguments_that_differ_are_told() -> None:
    steps = [{"type": "StepLR", "args": {"step_size": 5, "gamma": 0.5}}, {"type": "LinearLR", "args": {}}]
    other = [{"type": "StepLR", "args": {"step_size": 5, "gamma": 0.1}}, {"type": "LinearLR", "args": {}}]
    found = list(differences({"schedulers": steps}, {"schedulers": other}))
    assert found == [("schedulers.0.args.gamma", 0.5, 0.1)]
    assert list(differences({"schedulers": steps}, {"schedulers": steps[:1]})) == [("schedulers", steps, steps[:1])]
    assert list(differences({"hidden": [1, 2]}, {"hidden": [1, 3]})) == [("hidden", [1, 2], [1, 3])]


def test_a_configuration_changed_by_hand_beside_a_checkpoint_that_says_nothing_is_taken_and_nothing_is_promised(
    project: Path, tiny: Tiny
) -> None:
    run = begun(tiny(FEW))

    from assay.trainer.checkpoint import Checkpoints

    folder = Checkpoints(run.folder.checkpoints)
    last = folder.load("last")
    del last.state["fingerprint"]
    folder.save(last.step, {name: last.tensors(name) for name in ("model", "training")}, last.state, None)
    config = run.folder.read_config()
    config["optimizer"]["args"]["lr"] = 0.3
    run.folder.config.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="does not say what it was made with"):
        resumed(run, require_exact=True)
    again = resumed(run)
    assert again.status["state"] == "completed"
    assert told(again)["level"] == "none"
