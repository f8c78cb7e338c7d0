from __future__ import annotations

import numpy as np

from assay.utils.seeds import derive, permutation, sample_keys, step_seed, uniform


def test_a_seed_is_a_function_of_its_path_the_same_on_every_machine() -> None:
    # Golden values: a change of these changes every run that anybody has made.
    assert derive(0, "order", 0) == 8284614845590604259
    assert permutation(5, 0, "order", 0).tolist() == [1, 3, 0, 4, 2]
    keys = sample_keys(0, "train", 0, np.arange(2))
    assert keys.tolist() == [12793585111358919118, 9650068954358276594]
    assert uniform(keys, 2, 1)[0].tolist() == [0.737065462364413, 0.4160834775977361]


def test_neighbouring_paths_differ_in_the_low_32_bits() -> None:
    low = {
        derive(seed, "sample", epoch, index) & 0xFFFFFFFF
        for seed in range(4)
        for epoch in range(10)
        for index in range(500)
    }
    # 20,000 numbers of 32 bits meet about 0.05 times by chance.
    assert len(low) >= 20_000 - 2


def test_the_seed_of_a_step_is_that_of_its_path_wherever_a_run_begins() -> None:
    for step in (1000, 0, 63, 64, 65, 127, 128, 10**9):
        assert step_seed(3, step, 1) == derive(3, "train", step, 1)


def test_paths_never_add_up() -> None:
    assert derive(1, "order", 2) != derive(2, "order", 1)
    assert derive(0, "a", 12) != derive(0, "a1", 2)


def test_an_order_is_a_permutation_and_another_for_every_epoch() -> None:
    first, second = permutation(1000, 0, "order", 0), permutation(1000, 0, "order", 1)
    assert sorted(first) == list(range(1000))
    assert (first != second).any()


def test_a_key_depends_on_its_sample_and_not_on_the_batch_it_is_in() -> None:
    whole = sample_keys(3, "train", 5, np.arange(100))
    assert (sample_keys(3, "train", 5, np.array([7, 99])) == whole[[7, 99]]).all()
    assert len(set(whole.tolist())) == 100
    assert (sample_keys(3, "train", 6, np.arange(100)) != whole).all()
    assert (sample_keys(3, "test", 5, np.arange(100)) != whole).all()


def test_draws_are_uniform_and_independent_of_one_another() -> None:
    draws = uniform(sample_keys(0, "train", 0, np.arange(20_000)), 4, purpose=0)
    assert draws.shape == (20_000, 4)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.abs(draws.mean(0) - 0.5).max() < 0.01
    assert np.abs(draws.var(0) - 1 / 12).max() < 0.002
    assert np.abs(np.corrcoef(draws.T) - np.eye(4)).max() < 0.03


def test_draws_for_another_purpose_are_others() -> None:
    keys = sample_keys(0, "train", 0, np.arange(1000))
    assert abs(np.corrcoef(uniform(keys, 1, 0)[:, 0], uniform(keys, 1, 1)[:, 0])[0, 1]) < 0.1
    assert (uniform(keys, 3, 0)[:, :2] == uniform(keys, 2, 0)).all()
