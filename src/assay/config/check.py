"""A configuration checked whole: sections, names, arguments; every mistake at once, each with its place."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from annotated_types import Interval
from pydantic import ValidationError

from assay.config.across import problems_across
from assay.config.binding import Bound, bind
from assay.config.components import Allowed, Kind, Refused, Through, find, import_path, locate
from assay.config.credentials import credentials_in
from assay.config.document import At, dotted
from assay.config.hints import meant
from assay.config.load import Source
from assay.config.monitored import twice_measured
from assay.config.older import with_older_keys
from assay.config.provenance import as_written, origin
from assay.config.schema import Config, as_component
from assay.config.sections import section_problems
from assay.config.stand_ins import Unreadable, stand_in
from assay.errors import ConfigError, Place, Problem

__all__ = ["SLOTS", "Checked", "Examined", "Slot", "check", "examine", "of_groups"]


@dataclass(frozen=True)
class Slot:
    """A place for components; `many` for a list of them; `default`: the name where none is given."""

    at: At
    kind: str
    many: bool = False
    default: str = ""


SLOTS = (
    Slot(("data", "dataset"), "dataset"),
    Slot(("data", "loader"), "loader", default="BatchLoader"),
    Slot(("data", "transforms", "train"), "transform", many=True),
    Slot(("data", "transforms", "validation"), "transform", many=True),
    Slot(("data", "transforms", "test"), "transform", many=True),
    Slot(("model",), "model"),
    Slot(("loss",), "loss"),
    Slot(("metrics",), "metric", many=True),
    Slot(("optimizer",), "optimizer"),
    Slot(("schedulers",), "scheduler", many=True),
    Slot(("trainer",), "trainer", default="DefaultTrainer"),
    Slot(("loggers",), "logger", many=True, default="TensorBoardLogger"),
)


@dataclass(frozen=True)
class Checked:
    """A configuration without mistakes.

    Args:
        config: its sections.
        components: the bound component of every slot by path, e.g. `("model",)` or `("metrics", 0)`.
        complete: the whole of it as plain data with defaults; checking it gives the same again.
        origin: of every leaf of `complete` its value, where it came from and what it replaced.
        places: where each value stands, by path.
    """

    config: Config
    components: dict[At, Bound]
    complete: dict[str, Any]
    origin: dict[str, dict[str, Any]]
    places: dict[At, Place] = field(default_factory=dict)


@dataclass(frozen=True)
class Examined:
    """A configuration with all its mistakes, and what of it is known all the same.

    Args:
        source: the configuration as written.
        config: its sections; None where one of them has a mistake.
        components: the bound component of every slot by path, faulty ones included; those whose name is wrong are not
            there.
        problems: everything that is wrong, in no order.
        faulty: the paths of the components in which something is wrong, or that are missing.
    """

    source: Source
    config: Config | None
    components: dict[At, Bound]
    problems: tuple[Problem, ...]
    faulty: frozenset[At]

    def checked(self) -> Checked:
        """The configuration, which has no mistakes.

        Raises:
            ConfigError: with every problem found, sorted by place.
        """
        if self.config is None or self.problems:
            raise ConfigError(self.problems)
        complete = as_written(self.config.model_dump(mode="json"), self.source)
        places = dict(self.source.places)
        return Checked(self.config, self.components, complete, origin(complete, self.source), places)


def check(
    source: Source,
    kinds: Mapping[str, Kind],
    allowed: Allowed,
    objects: Mapping[str, Any] | None = None,
) -> Checked:
    """Check a configuration against its sections and against the classes that it names.

    Args:
        kinds: what may stand in a slot, by the slot's kind: `model`, `loss`, `metric`, …
        objects: Python classes or objects that stand for names of this configuration, whatever they are.

    Raises:
        ConfigError: with every problem found, sorted by place.
    """
    return examine(source, kinds, allowed, objects).checked()


def examine(
    source: Source,
    kinds: Mapping[str, Kind],
    allowed: Allowed,
    objects: Mapping[str, Any] | None = None,
) -> Examined:
    """The same as `check`, with the mistakes as a result; it raises nothing.

    Of a configuration in which something is wrong that needs no class to be seen, the arguments are held against the
    source text of the installed packages, where all names stand in tables: torch takes seconds to import. Then there
    are no components in what comes back.
    """
    config: Config | None = None
    problems: list[Problem] = []
    try:
        config = Config.model_validate(source.data)
    except ValidationError as error:
        problems += section_problems(error, source)
    problems += credentials_in(source)  # first: from then on no message shows them
    problems += problems_across(source, kinds, objects or {})
    binder = _Binder(source, kinds, allowed, objects or {})
    components = binder.all(at_fault=bool(problems or source.problems))
    problems += binder.problems
    problems += twice_measured(source, kinds, objects or {}, _faulty(source.data, [one.key for one in problems]))
    problems = source.with_problems(with_older_keys(source, kinds, problems))
    faulty = _faulty(source.data, [problem.key for problem in problems])
    return Examined(source, config, components, tuple(dict.fromkeys(problems)), faulty)


def _faulty(data: Mapping[str, Any], keys: Sequence[str]) -> frozenset[At]:
    """The paths of components in which one of the keys stands, and of slots at which one does."""
    inside = {dotted(at): at for slot in SLOTS for at, _ in _components(data, slot)}
    found = {slot.at for slot in SLOTS if dotted(slot.at) in keys}
    return frozenset(found | {at for name, at in inside.items() for key in keys if f"{key}.".startswith(f"{name}.")})


@dataclass
class _Binder:
    source: Source
    kinds: Mapping[str, Kind]
    allowed: Allowed
    objects: Mapping[str, Any]
    problems: list[Problem] = field(default_factory=list)

    def all(self, at_fault: bool = False) -> dict[At, Bound]:
        """Every component that can be found and bound; names first, since a wrong one costs no import.

        Args:
            at_fault: something is wrong already, so that nothing will be built.
        """
        named = [
            (at, self.kinds[slot.kind], component, name)
            for slot in SLOTS
            for at, component in _components(self.source.data, slot)
            if (name := self._name(at, self.kinds[slot.kind], component)) is not None
        ]
        if (at_fault or self.problems) and self._read(named):
            return {}
        made = {at: bound for at, kind, node, name in named if (bound := self._bound(at, kind, node, name))}
        transforms = _section(self.source.data, ("data", "transforms"))
        if isinstance(transforms, Mapping) and transforms.get("validation") is None:
            # The transforms of validation are those of test, where it has none of its own.
            for at in [at for at in made if at[:3] == ("data", "transforms", "test")]:
                made["data", "transforms", "validation", *at[3:]] = made[at]
        return made

    def _read(self, named: Sequence[tuple[At, Kind, Mapping[str, Any], str]]) -> bool:
        """Hold the arguments against source texts; False where these do not tell, or tell nothing sooner."""
        if "torch" in sys.modules or not all(kind.lists(name) for _, kind, _, name in named):
            return False
        before = list(self.problems)
        try:
            for at, kind, component, name in named:
                self._bound(at, kind, component, name, through=stand_in)
        except Unreadable:
            self.problems = before
            return False
        return True

    def _name(self, at: At, kind: Kind, component: Mapping[str, Any]) -> str | None:
        name = component.get("type")
        if not (isinstance(name, str) and name):
            return None  # the sections say so
        if name not in self.objects:
            try:
                locate(kind, name, self.allowed, self.kinds.values())
            except Refused as refused:
                self._add(refused.problem, (*at, "type"))
                return None
        return name

    def _bound(
        self, at: At, kind: Kind, component: Mapping[str, Any], name: str, through: Through = import_path
    ) -> Bound | None:
        args = component.get("args", {})
        if not isinstance(args, Mapping):
            return None
        try:
            others = self.kinds.values()
            found = self.objects[name] if name in self.objects else find(kind, name, self.allowed, others, through)
        except Refused as refused:
            self._add(refused.problem, (*at, "type"))
            return None
        bound, problems = bind(kind, name, found, args, dotted(at), self.source.place((*at, "type")))
        # What stands beside `args` is told as what belongs in there, and is not missing as well.
        beside = [f"{name!r} needs the argument {key!r}" for key in component]
        for path, problem in problems:
            if not path and problem.message in beside:
                continue
            inside = (*at, "args", *path) if path else (*at, "type")
            self._add(problem, inside)
        self._groups(at, kind, component, bound)
        return bound

    def _groups(self, at: At, kind: Kind, component: Mapping[str, Any], bound: Bound) -> None:
        """The arguments of parameter groups are arguments of the optimizer too."""
        groups = component.get("groups")
        if at != ("optimizer",) or not isinstance(groups, list):
            return
        kind = of_groups(kind)
        for index, group in enumerate(groups):
            if not isinstance(group, Mapping):
                continue
            args = {name: value for name, value in group.items() if name != "match"}
            for path, problem in bind(kind, bound.name, bound.obj, args)[1]:
                if not path:
                    continue
                if "match" not in group and meant(str(path[0]), ["match"]):
                    problem = replace(problem, expected="match", hint="did you mean 'match'?")
                elif path == ("args",):
                    problem = replace(problem, hint='write them beside "match"')
                elif problem.hint.startswith("leave it out"):
                    problem = replace(problem, hint="leave it out for that of the optimizer")
                self._add(problem, (*at, "groups", index, *path))

    def _add(self, problem: Problem, at: At) -> None:
        # What is wrong with a key shows no value, or the key itself.
        place = self.source.place(at, key=problem.found in ("", at[-1]))
        self.problems.append(replace(problem, place=place, key=dotted(at)))


def of_groups(kind: Kind) -> Kind:
    """The optimizer's kind with the ranges that hold in parameter groups: a group may stand still."""
    return replace(kind, limits={**kind.limits, "lr": Interval(ge=0)})


def _section(data: Any, at: At) -> Any:
    for part in at:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _components(data: Mapping[str, Any], slot: Slot) -> Iterator[tuple[At, Mapping[str, Any]]]:
    """The components in a slot as they are written, or the default of the slot."""
    node = _section(data, slot.at)
    if node is None and slot.default:
        node = [slot.default] if slot.many else slot.default
    listed: list[tuple[At, Any]] = [(slot.at, node)]
    if slot.many:
        items = node if isinstance(node, list) else []
        listed = [((*slot.at, index), item) for index, item in enumerate(items)]
    for at, item in listed:
        component = as_component(item)
        if isinstance(component, Mapping):
            yield at, component if slot.many or not slot.default else {"type": slot.default, **component}
