from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.config.binding import bind
from assay.config.components import Allowed, Kind, find
from assay.config.fitting import Misfit, fit
from assay.config.signatures import parameters
from assay.config.stand_ins import Unreadable, stand_in
from assay.experiment.catalog import KINDS

ALLOWED = Allowed(Path("/nowhere"))
VALUES: list[Any] = [None, True, -1, 2.5, "x", "1e-3", "DEFAULT", "float32", [0.5, 2], [[1], [2, 3]], {"patience": -1}]

PACKAGE = {
    "__init__.py": "from .shapes import *\nfrom .sizes import Size as Width\nraise SystemExit\n",
    "shapes.py": """
from __future__ import annotations
import abc, enum, typing as t
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar, Union
from .sizes import Size, pair
if TYPE_CHECKING:
    from nowhere import Unknown
try:
    from missing import Fallback
except ImportError:
    Fallback = int
T = TypeVar("T")
OneOrMore = Union[T, list[T]]
LIMIT = 3
__all__ = ["Round", "Square", "Base", "make", "Odd"]

class Colour(enum.Enum):
    RED = "red"
    BLUE = object()
    DEFAULT = RED

@dataclass(frozen=True)
class Rule:
    every: int = LIMIT
    names: list[str] = field(default_factory=list)
    def __post_init__(self):
        if self.every > Size.most:
            raise ValueError("too often")

class Base(abc.ABC):
    def __init__(self, width: OneOrMore[int], *, next: "Square | None" = None):
        pass
    @abc.abstractmethod
    def draw(self): ...

class Square(Base):
    "A square."
    def __init__(self, colour: Colour = Colour.DEFAULT, rule: Rule = Rule(), mode: Literal["a b", "c"] = "c",
                 other: Unknown = None, deep: Fallback = 1, **kwargs):
        super().__init__(**kwargs)
    def draw(self): ...

def make(side: float = 2 * LIMIT, **kwargs) -> Base:
    return pair(1, side, **kwargs)

class Odd:
    def __init__(self, size: made_somewhere_else): ...
""",
    "sizes.py": """
class Size:
    most = 5
def pair(left: int, right: float, middle: bool = False): ...
""",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package that cannot be imported."""
    name = f"written_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    for file, text in PACKAGE.items():
        (tmp_path / name / file).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def fits(obj: Any, name: str, value: Any) -> Any:
    try:
        return fit(parameters(obj).known[name].annotation, value)
    except Misfit as misfit:
        return [fault[3] or fault[1] for fault in misfit.faults]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_name_of_every_table_is_read_from_text_as_it_is_imported(kind: Kind) -> None:
    for name in kind.names():
        real, written = (find(kind, name, ALLOWED, KINDS.values(), way) for way in (None, stand_in))
        assert inspect.isabstract(real) == inspect.isabstract(written)
        ones, others = parameters(real), parameters(written)
        assert (ones.open, ones.positional_only, ones.spread) == (others.open, others.positional_only, others.spread)
        assert list(ones.known) == list(others.known), name
        for value in [*VALUES, *([] if ones.open else ["unknown"])]:
            args = {} if value == "unknown" else dict.fromkeys(ones.known, value)
            args |= {"unknwon": 1} if value == "unknown" else {}
            assert bind(kind, name, written, args)[1] == bind(kind, name, real, args)[1], (name, value)


def test_types_are_read_through_imports_aliases_and_alternatives(package: str) -> None:
    square = stand_in(f"{package}:Square")
    assert list(parameters(square).known) == ["width", "next", "colour", "rule", "mode", "other", "deep"]
    assert (square.__module__, square.__name__, square.__doc__) == (f"{package}.shapes", "Square", "A square.")
    assert fits(square, "width", [1, 2]) == [1, 2]
    assert fits(square, "width", "x") == ["a whole number or a list of whole numbers"]
    assert fits(square, "mode", "a b") == "a b"
    assert fits(square, "mode", "b") == ["one of 'a b', 'c'"]
    assert fits(square, "other", object) is object
    assert fits(square, "deep", "x") == ["a whole number"]


def test_an_enumeration_has_its_names_values_and_aliases(package: str) -> None:
    square = stand_in(f"{package}:Square")
    assert fits(square, "colour", "red") is fits(square, "colour", "DEFAULT") is fits(square, "colour", "RED")
    assert fits(square, "colour", "green") == ["one of 'red', 'BLUE'"]


def test_the_keys_of_a_dataclass_are_known_and_no_code_of_it_is_run(package: str) -> None:
    square = stand_in(f"{package}:Square")
    assert fits(square, "rule", {"evry": 6}) == ["every, names"]
    assert fits(square, "rule", {"every": "x"}) == ["a whole number"]
    with pytest.raises(Unreadable):
        fits(square, "rule", {"every": 6})


def test_a_dataclass_of_assay_makes_its_own_checks() -> None:
    trainer = stand_in("assay.trainer.default:DefaultTrainer")
    assert fits(trainer, "early_stopping", {"patience": 2, "min_delta": 0.5}).min_delta == 0.5
    assert fits(trainer, "early_stopping", {"patience": 0}) != {}


def test_parents_and_what_is_abstract_are_known(package: str) -> None:
    base, square = stand_in(f"{package}:Base"), stand_in(f"{package}:Square")
    assert issubclass(square, base)
    assert (inspect.isabstract(base), inspect.isabstract(square)) == (True, False)


def test_the_keywords_of_a_function_lead_to_what_it_calls(package: str) -> None:
    make = parameters(stand_in(f"{package}:make"))
    assert list(make.known) == ["middle", "side"]
    assert make.known["middle"].annotation is bool


@pytest.mark.parametrize("name", ["Odd", "Nothing", "Fraction"])
def test_what_the_text_does_not_say_is_unreadable_and_spoils_nothing(package: str, name: str) -> None:
    with pytest.raises(Unreadable):
        stand_in(f"{package}:{name}")
    assert stand_in(f"{package}:Width").__name__ == "Size"
    assert "width" in parameters(stand_in(f"{package}:Square")).known


def test_nothing_is_imported_and_tensors_and_dtypes_are_checked_all_the_same() -> None:
    program = """
import sys
from assay.config.fitting import Misfit, fit
from assay.config.signatures import parameters
from assay.config.stand_ins import stand_in

weight = parameters(stand_in("torch.nn:CrossEntropyLoss")).known["weight"].annotation
dtype = parameters(stand_in("torchvision.transforms.v2:ConvertImageDtype")).known["dtype"].annotation
for annotation, value in [
    (weight, [1, 2]), (weight, [[1.0], [2.0]]), (weight, [[1], [2, 3]]), (weight, [1, [2]]), (weight, ["1"]),
    (dtype, "float32"), (dtype, "torch.int8"), (dtype, "float31"), (dtype, "Tensor"), (dtype, 3),
]:
    try:
        fit(annotation, value)
        print("fits", value)
    except Misfit as misfit:
        print("no", value)
assert not {"torch", "torchvision", "numpy"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    said = [line.split()[0] for line in done.stdout.splitlines()]
    assert said == ["fits", "fits", "no", "no", "no", "fits", "fits", "no", "no", "no"]
