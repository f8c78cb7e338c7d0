from __future__ import annotations

from mlflow.utils.validation import _validate_metric_name

from assay.logger.mlflow_form import legal


def test_names_that_mlflow_does_not_allow_are_told_apart_and_never_longer_than_it_allows() -> None:
    names = ["a@b", "a#b", "../x", "/x", "x//y", "é/ü", "a:b", "", ".", "x" * 300, "x" * 301, "a\nb", "%", "loss [1/s]"]
    made = [legal(name) for name in names]
    assert len(set(made)) == len(names)
    assert (legal("é/ü"), legal("a:b"), legal("validation/loss")) == ("é/ü", "a:b", "validation/loss")
    assert max(map(len, made)) == 250
    for name in made:
        _validate_metric_name(name)
