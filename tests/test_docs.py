"""What the documents show is run as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import assay
from assay.store.journal import read

ROOT = Path(__file__).parents[1]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def merged(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    both = {**one, **two}
    for key in one.keys() & two.keys():
        if isinstance(one[key], dict) and isinstance(two[key], dict):
            both[key] = merged(one[key], two[key])
    return both


def test_every_component_of_adding_md_works_in_one_run(project: Path) -> None:
    document = ROOT / "docs" / "adding.md"
    for block in blocks(document, "python"):
        path = project / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    config: dict[str, Any] = {"project": "docs", "optimizer": {"type": "Adam", "args": {"lr": 0.01}}}
    for text in blocks(document, "json"):
        config = merged(config, json.loads(text))
    config["schedulers"][0]["args"].update(low=0.002, high=0.02)
    run = assay.train(config, quiet=True)
    assert run.best["test/accuracy"] > 0.9
    assert run.best.keys() >= {"validation/confidence", "validation/worst_class_recall", "train/loss"}
    records = list(read(run.folder.journal))
    text = run.path / "text"
    lines = (text / "records.txt").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == [record.id for record in records]
    assert (text / "status.txt").read_text() == "completed"
    assert (text / "config.json").read_bytes() == run.folder.config.read_bytes()
    assert (text / "code-mylab-loggers.py").is_file()
    assert run.folder.output.read_text() == (text / "output.log").read_text()
    assert all((run.folder.code / "mylab" / f"{name}.py").is_file() for name in ("data", "models", "trainers"))


def test_the_trainer_of_adding_md_has_at_most_30_lines() -> None:
    (trainer,) = [block for block in blocks(ROOT / "docs" / "adding.md", "python") if "class FGSMTrainer" in block]
    assert len(trainer.splitlines()) <= 30


def test_the_logger_of_adding_md_has_20_lines() -> None:
    (logger,) = [block for block in blocks(ROOT / "docs" / "adding.md", "python") if "TextLogger" in block]
    assert len([line for line in logger.splitlines()[1:] if line]) <= 20


def test_the_tree_of_the_readme_names_every_module_and_nothing_else() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"^```text tree\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert tree is not None
    named = set()
    folders: list[str] = []
    for line in tree[1].splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name]
        named.add("/".join(folder.rstrip("/") for folder in folders))
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    modules = {path for path in listed.stdout.splitlines() if path.endswith(".py")}
    leaves = {path for path in modules if not path.endswith("__init__.py")} | {"src/assay/__init__.py"}
    assert {path for path in named if path.endswith(".py") and path.startswith("src")} == leaves


def test_no_file_has_more_than_400_lines() -> None:
    long = {
        str(path): count
        for folder in ("src", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
