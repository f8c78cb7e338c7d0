"""What differs between a checkpoint and what its run is resumed with, and what can be promised all the same.

Level B, the same bits: nothing differs that a number depends on. Level A, the same samples: their order and contents
are the same, and the arithmetic may not be. Else neither is promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.config.components import nearest
from assay.errors import CheckpointError, ConfigError, DataError, Place, Problem

__all__ = ["Changes", "changes", "differences", "keys_of", "refuse_inexact", "unneeded"]

# Changing these leaves every step as it was; anything else makes the resumed run another run.
_HARMLESS = (
    "$schema",
    "folder",
    "host.strategy",
    "trainer.args.epochs",
    "trainer.args.max_steps",
    "trainer.args.early_stopping",
    "testing",
    "checkpoints",
    "logging",
    "loggers",
    "data.dataset.args.root",
    "data.loader.args.workers",
    "data.loader.args.prefetch",
    "data.loader.args.persistent",
    "data.loader.args.start_method",
    "data.loader.args.timeout",
)


def differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key, before, after) of every leaf that differs; None where one side has none."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from differences(before.get(name), after.get(name), f"{key}.{name}" if key else name)
    elif _are_components(before, after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{key}.{number}")
    elif before != after:
        yield key, before, after


def _are_components(before: Any, after: Any) -> bool:
    """Whether they are lists of the same components, of which no more than arguments differ."""
    if not (isinstance(before, list) and isinstance(after, list) and len(before) == len(after)):
        return False
    pairs = list(zip(before, after, strict=True))
    if not all(isinstance(old, Mapping) and isinstance(new, Mapping) for old, new in pairs):
        return False
    return all(old.get("type") == new.get("type") for old, new in pairs)


def keys_of(config: Any, key: str = "") -> Iterator[str]:
    """Every key that a difference may have."""
    entries = config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list) else ()
    for name, value in entries:
        dotted = f"{key}.{name}" if key else str(name)
        yield dotted
        yield from keys_of(value, dotted)


def refuse_inexact(changed: Sequence[tuple[str, Any, Any]], allowed: Sequence[str]) -> None:
    """Raise where a change would make the run another one and was not allowed by name.

    Raises:
        ConfigError: one problem for each such key.
    """
    problems = [
        Problem(
            f"{key} differs from the run's, so the steps would not be those of one run",
            key=key,
            found=repr(after),
            expected=repr(before),
            hint=f"--allow-change {key}",
        )
        for key, before, after in changed
        if not is_harmless(key) and not any(key == free or key.startswith(free + ".") for free in allowed)
    ]
    if problems:
        raise ConfigError(problems)


def unneeded(allowed: Sequence[str], keys: Sequence[str], facts: Sequence[str], changed: Sequence[str]) -> list[str]:
    """Those of the keys that are allowed to change which have not changed.

    Args:
        keys: every key of the run's configuration and of the one that it is resumed with.
        facts: what else may be found to differ.
        changed: the keys that have.

    Raises:
        ConfigError: one is no key at all.
    """
    known = {".".join(parts[: end + 1]) for key in keys for parts in [key.split(".")] for end in range(len(parts))}
    known |= {*facts, *changed}
    problems = []
    for key in dict.fromkeys(allowed):
        if key not in known:
            near = nearest(key, sorted(known))
            hint = f"did you mean {near}?" if near else "a key of the configuration, such as optimizer.args.lr; or data"
            problems.append(
                Problem(f"there is no key {key!r} that could change", Place("--allow-change"), found=key, hint=hint)
            )
    if problems:
        raise ConfigError(problems)
    return [key for key in allowed if not any(f"{name}.".startswith(f"{key}.") for name in changed)]


def is_harmless(key: str) -> bool:
    return any(key == free or key.startswith(free + ".") for free in _HARMLESS)


@dataclass
class Changes:
    """
    Args:
        config: keys of the configuration: (key, before, now).
        outside: keys whose value comes from the environment or a file: (key, the text that is written, what it holds).
        data: what differs of the dataset, a sentence each.
        code: files of the project.
        software: packages: (name, before, now).
        host: the machine and how it computes: (name, before, now).
        order: the order of the epoch is another.
        unknown: the checkpoint does not say what it was made with.
        lost: what changes in training and no checkpoint holds, a sentence each.
    """

    config: list[tuple[str, Any, Any]] = field(default_factory=list)
    outside: list[tuple[str, Any, Any]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    software: list[tuple[str, Any, Any]] = field(default_factory=list)
    host: list[tuple[str, Any, Any]] = field(default_factory=list)
    order: bool = False
    unknown: bool = False
    lost: list[str] = field(default_factory=list)

    @property
    def level(self) -> str:
        """`B`, `A`, or nothing."""
        keys = [*(key for key, *_ in self.config), *(key for key, *_ in self.outside)]
        harmful = [key for key in keys if not is_harmless(key)]
        of_samples = any(key == "seed" or f"{key}.".startswith("data.") for key in harmful)
        of_samples = of_samples or any(sentence.startswith("data.") for sentence in self.lost)
        if self.unknown or self.data or self.code or self.order or of_samples:
            return ""
        return "A" if harmful or self.software or self.host or self.lost else "B"

    def reasons(self) -> list[str]:
        """What keeps the resume from being exact."""
        found = ["the checkpoint does not say what it was made with"] if self.unknown else []
        found += [f"{key} {old!r} -> {new!r}" for key, old, new in self.config if not is_harmless(key)]
        found += [f"{key} is {now} of {text}" for key, text, now in self.outside if not is_harmless(key)]
        found += self.data
        found += ["the order of the samples is another"] if self.order else []
        found += [f"code of the project ({', '.join(self.code)})"] if self.code else []
        found += self.lost
        return found + [f"{name} {old} -> {new}" for name, old, new in (*self.software, *self.host)]

    def lines(self) -> list[str]:
        """Every difference, group by group."""
        made = [f"changed: {key}: {old!r} -> {new!r}" for key, old, new in self.config]
        made += [f"changed: {key}: {text} holds {now}" for key, text, now in self.outside]
        made += [f"changed: data: {sentence}" for sentence in self.data]
        made += ["changed: data: the order of the epoch"] if self.order else []
        made += [f"changed: code: {name}" for name in self.code]
        return made + [f"changed: {name}: {old} -> {new}" for name, old, new in (*self.software, *self.host)]

    def statement(self) -> str:
        """What the resume promises, in a line."""
        if self.level == "B":
            return "the resume is exact: the same bits (level B)"
        said = {"A": "the samples are the same (level A)", "": "neither bits nor samples are promised"}[self.level]
        return f"the resume is not bit-exact: {', '.join(self.reasons())}; {said}"

    def refuse(self, allowed: Sequence[str], require_exact: bool) -> None:
        """
        Raises:
            DataError: the dataset is another one, and `data` is not allowed to change.
            CheckpointError: exactness is required and cannot be had.
        """
        # A part of `data` that was allowed to change has made the dataset another one.
        of_data = any(key == "data" or key.startswith("data.") for key in allowed)
        if (self.data or self.order) and not of_data:
            what = "; ".join(self.data) or "an epoch goes through the samples in another order"
            raise DataError(
                f"dataset fingerprint differs ({what})",
                hint="bring the data back that the run was trained on, or go on with this: --allow-change data",
            )
        if require_exact and self.level != "B":
            raise CheckpointError(
                f"the resume would not be bit-exact: {', '.join(self.reasons())}",
                hint="bring back what it was, or resume without --require-exact",
            )


def changes(before: Any, now: Mapping[str, Mapping[str, Any]]) -> Changes:
    """What two fingerprints differ in; files of the code and values from outside are looked at elsewhere.

    Raises:
        CheckpointError: `before` is none.
    """
    if before is None:
        return Changes(unknown=True)
    if not isinstance(before, dict) or not all(isinstance(before.get(group, {}), dict) for group in now):
        raise CheckpointError("the fingerprint in the checkpoint is none", found=str(before)[:200])
    found: dict[str, list[tuple[str, Any, Any]]] = {}
    for group in ("software", "machine", "arithmetic"):
        old, new = before.get(group, {}), now[group]
        # What only one side knows is no difference of the run: a GPU has no instruction set of the CPU.
        found[group] = [(name, old[name], new[name]) for name in new if name in old and old[name] != new[name]]
    data = _of_data(before.get("data", {}), now["data"])
    return Changes(data=data, software=found["software"], host=found["machine"] + found["arithmetic"])


def _of_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    made = []
    for split in sorted({*before, *now}):
        old, new = before.get(split), now.get(split)
        if not isinstance(old, dict) or not isinstance(new, dict):
            made.append(f"{split} is {'new' if new else 'not there any more'}")
            continue
        for name, words in (
            ("dataset", "{split} is of {old} -> {new}"),
            ("samples", "{split}: {old:,} -> {new:,} samples"),
            ("content", "the content of {split} is another"),
            ("read", "samples of {split} are read as others"),
            ("split", "{split} has others of the samples"),
        ):
            one, two = old.get(name), new.get(name)
            if one != two and one != "" and two != "" and type(one) is type(two):
                made.append(words.format(split=split, old=one, new=two))
                break
    return made
