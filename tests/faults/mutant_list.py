"""The ways in which `mutants.py` breaks the code, and the tests that must notice each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SAVES = ("tests/faults/test_refused_saves.py", "-k", "synced or at_any_call_of_a_save")
KILLS = ("tests/faults/test_kills_in_the_loop.py", "-k", "in_the_middle_of_a_run")
SIGNALS = ("tests/experiment/test_stopping.py", "-k", "goes_on_as_if or waits_for_its_end")


@dataclass(frozen=True)
class Edit:
    """One place: its file below `src/assay`, a text that is there once, and what takes its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """What is broken, where, and the arguments of pytest that choose the tests."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def apply(self, tree: Path) -> None:
        for edit in self.edits:
            path = tree / "src" / "assay" / edit.file
            text = path.read_text(encoding="utf-8")
            if text.count(edit.old) != 1:
                raise SystemExit(f"{self.name}: {edit.file} has {text.count(edit.old)} times:\n{edit.old}")
            path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


def mutant(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, (Edit(file, old, new),), tests)


WRITING, FOLDER, SNAPSHOT = "trainer/checkpoint/writing.py", "trainer/checkpoint/folder.py", "trainer/snapshot.py"
BASE, GRADIENTS, PARALLEL = "trainer/base.py", "trainer/gradients.py", "trainer/strategy/parallel.py"
FSDP, IN_ROWS = "trainer/strategy/fsdp.py", ("tests/trainer/strategy/test_fsdp.py", "-k")
TOGETHER = ("tests/trainer/strategy/test_parallel.py", "-k", "2 or measurements")

MUTANTS = [
    mutant("files are not synced", WRITING, "        os.fsync(descriptor)\n", "", *SAVES),
    mutant(
        "the folder is not synced after the rename",
        WRITING,
        "        raise\n    fsync_folder(folder)\n",
        "        raise\n",
        *SAVES,
    ),
    mutant(
        "a checkpoint has its name before its manifest",
        WRITING,
        """        _write(temporary / MANIFEST, lambda sink: sink.write(content))
        fsync_folder(temporary)
        temporary.rename(target)
""",
        """        temporary.rename(target)
        _write(target / MANIFEST, lambda sink: sink.write(content))
        fsync_folder(target)
""",
        *SAVES,
    ),
    mutant(
        "sums are not compared",
        "store/manifest.py",
        'if found != expected["sha256"]:',
        "if not found:",
        "tests/trainer/test_checkpoint.py",
        "tests/faults/test_damaged_checkpoints.py",
    ),
    mutant(
        "an older checkpoint goes before the new one is there",
        FOLDER,
        "            publish(target, parts, state, facts)\n",
        """            for older in self.all()[:-1]:
                shutil.rmtree(older)
            publish(target, parts, state, facts)
""",
        *SAVES,
    ),
    mutant(
        "a link is removed and then made",
        FOLDER,
        "            temporary.replace(self.folder / name)\n",
        """            (self.folder / name).unlink(missing_ok=True)
            temporary.rename(self.folder / name)
""",
        "tests/faults/test_kills_in_a_save.py",
    ),
    mutant(
        "where no checkpoint is whole a run begins from scratch",
        FOLDER,
        "        if faults:\n            raise CheckpointError(\n",
        "        if faults and not self.all():\n            raise CheckpointError(\n",
        "tests/trainer/test_checkpoint.py",
        "tests/faults/test_damaged_checkpoints.py",
    ),
    mutant(
        "weights that are not finite are saved",
        "trainer/writer.py",
        "bad = [name for name in trainer.strategy.union(not_finite(tensors)) if name not in self._never_finite]",
        "bad = [name for name in trainer.strategy.union(not_finite({})) if name not in self._never_finite]",
        "tests/trainer/test_finite.py",
    ),
    mutant(
        "files of tensors are unpickled",
        "utils/tensor_file.py",
        """            _look_through(stream, path.stat().st_size, only_zip)
        return torch.load(path, map_location=device, weights_only=True, mmap=mmap or None)
""",
        """            pass
        return torch.load(path, map_location=device, weights_only=False)
""",
        "tests/faults/test_malicious_files.py",
    ),
    mutant(
        "a component is allowed by its name alone",
        "config/components.py",
        "    _check(kind, name, obj, allowed, others, through or import_path)\n    return obj\n",
        "    return obj\n",
        "tests/config/test_components.py",
    ),
    mutant(
        "seeds are added and not hashed",
        "utils/seeds.py",
        '    digest = hashlib.blake2b(repr(path).encode(), digest_size=8, key=b"assay-1").digest()\n',
        '    digest = sum(part if isinstance(part, int) else len(part) for part in path).to_bytes(8, "little")\n',
        "tests/utils/test_seeds.py",
        "tests/data/test_generators.py",
    ),
    mutant(
        "a sample draws from what was left by the one before it",
        "data/samples.py",
        """                seeds.enter(n, 0)
                sample =""",
        "                sample =",
        "tests/data/test_samples.py",
        "tests/data/loaders/test_base.py",
    ),
    Mutant(
        "batches are counted when they are fetched",
        (
            Edit(BASE, "        progress.batch += 1\n        progress.step += 1\n", "        progress.step += 1\n"),
            Edit(
                BASE,
                "            yield from self.signals.fetched(batches)\n",
                """            ahead = []
            for batch in self.signals.fetched(batches):
                self.progress.batch += 1
                ahead.append(batch)
                if len(ahead) > 1:
                    yield ahead.pop(0)
            yield from ahead
""",
            ),
        ),
        KILLS,
    ),
    mutant(
        "the state of the loss scaler is forgotten",
        SNAPSHOT,
        '    trainer.scaler.load_state_dict(training["scaler"]) if training["scaler"] else None\n',
        "",
        "tests/trainer/test_snapshot.py",
    ),
    mutant(
        "the count of early stopping is forgotten",
        "trainer/monitor.py",
        "            for key, value in held.items():\n",
        "            for key, value in list(held.items())[:-1]:\n",
        "tests/experiment/test_training.py",
        "-k",
        "patience",
    ),
    mutant(
        "the moving average is forgotten",
        SNAPSHOT,
        '    if trainer.average is not None and "ema" in tensors:\n',
        "    if False:\n",
        *KILLS,
    ),
    mutant(
        "the sums of the metrics are forgotten",
        SNAPSHOT,
        "        if phase in trainer.metrics:\n",
        "        if False:\n",
        *KILLS,
    ),
    mutant(
        "an error in restoring a generator is passed over",
        SNAPSHOT,
        "    random.setstate((version, tuple(key), gauss))\n",
        """    try:
        random.setstate((version, key, gauss))
    except Exception:
        pass
""",
        "tests/trainer/test_snapshot.py",
    ),
    mutant(
        "the journal is not cut by a resume",
        "experiment/resuming.py",
        '    cut(run.path, position["offset"], position["next_id"])\n',
        "",
        *KILLS,
    ),
    mutant(
        "a handler of signals saves by itself",
        "trainer/signals.py",
        "        if self.interruptible:\n            self.interruptible = False\n            raise Stopped\n",
        "        raise Stopped\n",
        *SIGNALS,
    ),
    Mutant(
        "a validation draws from the generators of the training",
        (
            Edit(
                BASE,
                "            with torch.no_grad(), restored_generators():\n",
                "            with torch.no_grad():\n",
            ),
            Edit(
                BASE,
                "        seed_generators(step_seed(self.parts.seed,",
                "        (lambda *nothing: None)(step_seed(self.parts.seed,",
            ),
        ),
        ("tests/experiment/test_training.py", "-k", "evaluating_more_often"),
    ),
    Mutant(
        "what is not finite is looked for after the update",
        (
            Edit(
                BASE,
                "            self.check_finite(result)\n            results.append(result)\n",
                "            results.append(result)\n",
            ),
            Edit(
                BASE,
                "        return results\n\n    # What a subclass may use\n",
                """        for result in results:
            self.check_finite(result)
        return results

    # What a subclass may use
""",
            ),
            Edit(GRADIENTS, "        if reads:\n            refuse_gradient(trainer, norm)\n", ""),
        ),
        ("tests/experiment/test_failed_steps.py", "tests/experiment/test_training.py", "-k", "not_finite"),
    ),
    mutant(
        "a run is not locked",
        "store/lock.py",
        "            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        "tests/store/test_run_folder.py",
        "tests/experiment/test_training.py",
        "-k",
        "lock or holds",
    ),
    Mutant(
        "the gradient is the mean of the micro-batches' means",
        (
            Edit(BASE, "loss_total(result.loss, weight / total)", "loss_total(result.loss, 1 / self.accumulate)"),
            Edit(
                "model/losses/weighting.py",
                "    return total / weight if isinstance(weight, Tensor) or weight else 1.0\n",
                "    return 1.0\n",
            ),
        ),
        ("tests/experiment/test_training.py", "-k", "micro_batches"),
    ),
    mutant(
        "a sample that several processes have counts for each of them",
        PARALLEL,
        "        return reading.void() if copies > 1 and self.rank else reading\n",
        "        return reading\n",
        *TOGETHER,
    ),
    mutant(
        "the gradient is the mean of the processes' means",
        BASE,
        "            weight = weight_of(result, self.device) / copies\n",
        "            weight = total / self.strategy.size\n",
        *TOGETHER,
    ),
    mutant(
        "records that wait are lost with an error",
        "experiment/training.py",
        "            writer.recorder.flush()\n",
        "            pass\n",
        "tests/trainer/test_recorder.py",
    ),
    mutant(
        "the norm is that of the rows of one process",
        FSDP,
        "        dist.all_gather(norms, own)\n",
        "        norms = [own]\n",
        *IN_ROWS,
        "end_where_one_does and averaged",
    ),
    mutant(
        "the rows of another process are read",
        "trainer/checkpoint/parts.py",
        "            start = end\n",
        "            start = 0\n",
        *IN_ROWS,
        "taken_up",
    ),
    mutant(
        "a part that one process could not write is passed over",
        FSDP,
        "            if why is not None and is_first:\n",
        "            if False:\n",
        *IN_ROWS,
        "disk_refuses",
    ),
    mutant(
        "a learning rate below 0 is used",
        "schedulers/sequence.py",
        "            if not 0.0 <= rate < math.inf:\n",
        "            if False:\n",
        "tests/schedulers/test_sequence.py",
    ),
    mutant(
        "the sum of status.json is not compared",
        "store/run_folder.py",
        '        return bool(status.pop("sum", "") == _sum(status))\n',
        "        return True\n",
        "tests/store/test_verification.py",
    ),
]
