from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.utils.validation import _validate_metric_name

from assay.logger.base import RunInfo
from assay.logger.mlflow.form import legal
from assay.logger.mlflow.logger import MLflowLogger


def test_names_that_mlflow_does_not_allow_are_told_apart_and_never_longer_than_it_allows() -> None:
    names = ["a@b", "a#b", "../x", "/x", "x//y", "é/ü", "a:b", "", ".", "x" * 300, "x" * 301, "a\nb", "%", "loss [1/s]"]
    made = [legal(name) for name in names]
    assert len(set(made)) == len(names)
    assert (legal("é/ü"), legal("a:b"), legal("validation/loss")) == ("é/ü", "a:b", "validation/loss")
    assert max(map(len, made)) == 250
    for name in made:
        _validate_metric_name(name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_database_is_there_whole_or_not_at_all_and_that_of_another_run_is_taken(
    make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    client = mlflow.MlflowClient
    run = make_run("MLflowLogger")
    path = run.folder.parent / "mlflow.db"
    happening: list[Callable[[], None]] = []

    def made(uri: str) -> Any:
        opened = client(uri)
        if "courier" in uri:
            happening.pop()()
        return opened

    def killed() -> None:
        raise Killed

    def other() -> None:
        client(f"sqlite:///{path}").create_experiment("of another run")

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mlflow, "MlflowClient", made)
    info = RunInfo(run.folder, run.folder.name, "digits", "resnet", {})
    happening.append(killed)
    with pytest.raises(Killed):
        MLflowLogger().start(info)
    assert not path.exists()
    happening.append(other)
    MLflowLogger().start(info)
    found = {one.name for one in client(f"sqlite:///{path}").search_experiments()}
    assert found == {"Default", "of another run", "digits"}
    assert not list(Path(run.folder / "courier").glob("mlflow*"))
