from __future__ import annotations

import pytest

from assay.config.docstrings import described, documentation, plain, summary

GOOGLE = """Does it.

Args:
    lr (float, optional): learning rate (default: 1e-3)
    weights (:class:`~torchvision.models.VGG11_Weights`, optional): The weights
        to use. See the table.
    **kwargs: handed on.
"""
NUMPY = """Does it.

Parameters
----------
mean, std : float
    Of every channel.
tol : float, default=1e-4
    When to stop.
"""
SPHINX = """Does it.

:param lr: how fast
:type lr: float
:param bool verbose: whether it talks
"""


def test_arguments_are_read_from_every_common_style() -> None:
    google = described(GOOGLE)
    assert (google["lr"].written, google["lr"].text) == ("float", "learning rate")
    assert (google["weights"].written, google["weights"].text) == (
        "VGG11_Weights",
        "The weights to use. See the table.",
    )
    assert google["kwargs"].text == "handed on."
    assert described(NUMPY)["std"].text == described(NUMPY)["mean"].text == "Of every channel."
    assert described(NUMPY)["tol"].text == "When to stop."
    assert (described(SPHINX)["lr"].text, described(SPHINX)["verbose"].written) == ("how fast", "bool")


def test_what_torchmetrics_lists_under_kwargs_is_read() -> None:
    listed = "- **cpu**:\n            Where it is kept.\n        - **sync**: When.\n"
    doc = f"Does it.\n\nArgs:\n    kwargs: more:\n\n        {listed}"
    assert (described(doc)["cpu"].text, described(doc)["sync"].text) == ("Where it is kept.", "When.")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (":math:`\\eta` of ``lr``, see :ref:`the notes <notes>`", "η of `lr`, see the notes"),
        (
            "Follows `Deep Residual Learning <https://arxiv.org>`_ and :attr:`lr`.",
            "Follows Deep Residual Learning and lr.",
        ),
        ("betas (default: (0.9, 0.999))", "betas"),
        ("the reduction. Default: ``'mean'``", "the reduction."),
        ("the rate (default: 1e-3). A tensor is fine.", "the rate. A tensor is fine."),
        ("Number of trials. Default, 40.", "Number of trials."),
        ("first\nline\n\nsecond paragraph", "first line"),
        ("one of\n\n- ``a``: this\n- ``b``: that", "one of"),
        ("", ""),
    ],
)
def test_markup_and_defaults_are_left_out(text: str, read: str) -> None:
    assert plain(text) == read


def test_a_long_text_ends_after_a_sentence() -> None:
    text = plain(" ".join(["A sentence of some words."] * 40))
    assert 200 < len(text) <= 300
    assert text.endswith("words.")
    assert len(plain("word " * 400)) <= 602


class Parent:
    """Is a parent. It has more to say.

    Args:
        size: of the parent.
    """


class Child(Parent):
    def __init__(self, size: int) -> None:
        """Make one.

        Args:
            size: of the child.
        """


def test_a_class_without_words_is_described_by_its_initialiser_and_then_its_parents() -> None:
    texts = [described(doc)["size"].text for doc in documentation(Child)]
    assert texts == ["of the child.", "of the parent."]
    assert summary(Parent) == "Is a parent."
    silent = type("Silent", (Parent,), {"__module__": __name__})
    assert summary(silent) == "Is a parent."


def test_a_parent_in_another_package_does_not_speak_for_a_class() -> None:
    assert summary(type("Mine", (dict,), {"__module__": "mylab.models"})) == ""
