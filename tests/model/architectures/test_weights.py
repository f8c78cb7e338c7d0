from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from assay.errors import CheckpointError
from assay.model.architectures.mlp import MLP
from assay.model.architectures.resnet import ResNet
from assay.model.architectures.weights import load_weights


@pytest.fixture
def trained():
    torch.manual_seed(1)
    return ResNet(4, in_channels=1, blocks=[1], width=2)


@pytest.fixture
def fresh():
    torch.manual_seed(2)
    return ResNet(4, in_channels=1, blocks=[1], width=2)


def saved(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", [None, "state_dict", "model_state_dict", "model", "net"])
def test_weights_load_from_a_state_dict_or_from_a_checkpoint_that_holds_one(tmp_path, trained, fresh, name):
    state = trained.state_dict()
    assert not same(fresh, trained)
    load_weights(fresh, saved(tmp_path, {name: state, "epoch": 3} if name else state))
    assert same(fresh, trained)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_taken_off(tmp_path, trained, fresh, prefix):
    state = {prefix + name: value for name, value in trained.state_dict().items()}
    load_weights(fresh, saved(tmp_path, state))
    assert same(fresh, trained)


def test_a_prefix_inside_a_name_is_taken_off(tmp_path, trained, fresh):
    state = {name.replace("layer1.", "layer1._orig_mod."): value for name, value in trained.state_dict().items()}
    load_weights(fresh, saved(tmp_path, state))
    assert same(fresh, trained)


def test_a_submodule_that_is_called_module_keeps_its_name(tmp_path):
    def wrapped():
        return nn.ModuleDict({"module": nn.Linear(2, 2)})

    one, two = wrapped(), wrapped()
    load_weights(two, saved(tmp_path, one.state_dict()))
    assert same(one, two)
    load_weights(two, saved(tmp_path, {f"module.{name}": value for name, value in one.state_dict().items()}))


def test_tensors_that_were_read_already_load_as_well(trained, fresh):
    load_weights(fresh, dict(trained.state_dict()))
    assert same(fresh, trained)


def test_torchvisions_weights_load_into_ours(tmp_path):
    theirs = torchvision.models.resnet18(num_classes=3)
    ours = ResNet(3, stem="imagenet")
    load_weights(ours, saved(tmp_path, theirs.state_dict()))
    assert same(ours, theirs)


def test_a_model_that_converts_old_versions_is_told_the_version(tmp_path):
    one, two = torchvision.models.mnasnet0_5(num_classes=2), torchvision.models.mnasnet0_5(num_classes=2)
    load_weights(two, saved(tmp_path, {f"module.{name}": value for name, value in one.state_dict().items()}))
    assert same(one, two)


def test_a_counter_that_old_files_lack_is_not_missed(tmp_path, trained, fresh):
    state = {name: value for name, value in trained.state_dict().items() if "num_batches_tracked" not in name}
    load_weights(fresh, saved(tmp_path, state))
    assert same(fresh, trained)


def test_what_does_not_fit_is_listed_in_groups_and_nothing_is_loaded(tmp_path, trained, fresh):
    state = dict(trained.state_dict())
    del state["fc.bias"]
    state["head.weight"] = torch.zeros(2)
    state["bn1.weight"] = torch.zeros(5)
    before = [value.clone() for value in fresh.state_dict().values()]
    with pytest.raises(CheckpointError) as error:
        load_weights(fresh, saved(tmp_path, state))
    assert error.value.found == (
        "1 missing: fc.bias; 1 unexpected: head.weight; 1 of another shape: bn1.weight (5,), expected (2,)"
    )
    assert error.value.where.endswith("weights.pt")
    assert all(torch.equal(a, b) for a, b in zip(before, fresh.state_dict().values(), strict=True))


def test_at_most_ten_of_each_group_are_listed(tmp_path, fresh):
    with pytest.raises(CheckpointError) as error:
        load_weights(fresh, saved(tmp_path, {f"w{n}": torch.zeros(1) for n in range(14)}))
    assert "14 unexpected: w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 and 4 more" in error.value.found


def test_a_head_of_another_number_of_classes_is_said_to_be_one(tmp_path):
    with pytest.raises(CheckpointError, match="another number of classes") as error:
        load_weights(MLP(10, (4,)), saved(tmp_path, MLP(1000, (4,)).state_dict()))
    assert error.value.found == "1000 classes (head.weight, head.bias)"
    assert error.value.expected == "10 classes"


class Payload:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_named_and_not_run(tmp_path, fresh, legacy):
    file = tmp_path / "weights.pt"
    torch.save({"state_dict": Payload(tmp_path / "ran")}, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"contains code \((posix|nt)\.system\)"):
        load_weights(fresh, file)
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_model_is_refused(tmp_path, fresh):
    with pytest.raises(CheckpointError, match=r"contains code \(assay\.model\.architectures\.mlp\.MLP\)"):
        load_weights(fresh, saved(tmp_path, MLP(2, (2,))))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip", b"\x80\x02}q\x00."])
def test_a_damaged_file_is_a_checkpoint_error(tmp_path, fresh, content):
    file = tmp_path / "weights.pt"
    file.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_weights(fresh, file)


def test_a_truncated_file_is_a_checkpoint_error(tmp_path, trained, fresh):
    file = saved(tmp_path, trained.state_dict())
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(fresh, file)


def test_a_missing_file_is_a_checkpoint_error_with_its_path(fresh):
    with pytest.raises(CheckpointError) as error:
        load_weights(fresh, Path("nowhere/weights.pt"))
    assert error.value.where == str(Path("nowhere/weights.pt"))


@pytest.mark.parametrize("content", [{"epoch": 3}, {}, [1, 2], torch.zeros(3)])
def test_a_file_without_weights_says_what_it_holds(tmp_path, fresh, content):
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_weights(fresh, saved(tmp_path, content))
