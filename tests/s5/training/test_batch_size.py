"""`train.batch_size=auto`: the search, the memory that there is, and a run that keeps what it has found."""

import functools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s5.config.compose import compose
from s5.config.identity import science_hash, to_dict
from s5.data import load
from s5.errors import UserError
from s5.process import memory
from s5.process.sharding import Devices
from s5.training import batch_size
from s5.training.batch_size import find_batch_size, largest_that_fits
from s5.training.trainer import Trainer

SIZES = [3 << power for power in range(12)]


@given(
    growth=st.lists(st.integers(1, 10**6), min_size=1, max_size=len(SIZES)),
    share=st.floats(0, 1.2),
)
def test_the_search_finds_the_last_size_that_fits(growth: list[int], share: float) -> None:
    needs = {size: sum(growth[: i + 1]) for i, size in enumerate(SIZES[: len(growth)])}
    limit = int(share * max(needs.values()))
    fitting = [size for size, bytes_ in needs.items() if bytes_ <= limit]
    if fitting:
        assert largest_that_fits(needs.__getitem__, limit, list(needs)) == fitting[-1]
    else:
        with pytest.raises(UserError, match=r"train\.batch_size=auto: even the smallest batch, 3, needs"):
            largest_that_fits(needs.__getitem__, limit, list(needs))


@pytest.mark.parametrize("limit", [10_000, 100_000, 10**9])
def test_four_sizes_are_tried_if_memory_is_linear(limit: int) -> None:
    tried: set[int] = set()

    def need(size: int) -> int:
        tried.add(size)
        return 5_000 + 70 * size

    found = largest_that_fits(need, limit, SIZES)
    assert need(found) <= limit and (found == SIZES[-1] or need(2 * found) > limit)
    assert len(tried) <= 4


def test_the_memory_of_a_machine_is_that_of_its_strictest_limit(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "groups"
    (root / "job/task").mkdir(parents=True)
    whole = memory.host_bytes({}, str(proc), str(root))
    assert whole > 1 << 28
    proc.write_text("0::/job/task\n")
    (root / "job/task/memory.max").write_text("max\n")
    assert memory.host_bytes({}, str(proc), str(root)) == whole
    (root / "job/memory.max").write_text(f"{200 << 20}\n")
    assert memory.host_bytes({"SLURM_MEM_PER_NODE": "0"}, str(proc), str(root)) == 200 << 20
    assert memory.host_bytes({"SLURM_MEM_PER_NODE": "100"}, str(proc), str(root)) == 100 << 20
    by_core = {"SLURM_MEM_PER_CPU": "30", "SLURM_CPUS_ON_NODE": "2"}
    assert memory.host_bytes(by_core, str(proc), str(root)) == 60 << 20
    old = tmp_path / "old"
    (old / "memory/docker").mkdir(parents=True)
    (old / "memory/docker/memory.limit_in_bytes").write_text(f"{50 << 20}\n")
    proc.write_text("3:cpu:/x\n4:memory:/docker\n")
    assert memory.host_bytes({}, str(proc), str(old)) == 50 << 20


def test_a_step_that_fits_by_the_compiler_is_chosen(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose([*tiny, "train.batch_size=auto", "train.microbatches=40", "train.max_batch_size=100"])
    dataset, trainers = load(config.data), list[Trainer]()

    def make(*words: Any) -> Trainer:
        trainers.append(Trainer(*words))
        monkeypatch.setattr(trainers[-1], "step_bytes", functools.cache(trainers[-1].step_bytes))
        return trainers[-1]

    monkeypatch.setattr(batch_size, "Trainer", make)
    monkeypatch.setattr(batch_size, "usable_bytes", lambda: trainers[-1].step_bytes(40))
    assert find_batch_size(config, dataset, Devices(1)) == 40  # of 40 and 80
    assert "train.batch_size=auto: 40 examples, whose step needs" in capsys.readouterr().err
    config.train.max_batch_size = 30
    with pytest.raises(UserError, match="is above 30"):
        find_batch_size(config, dataset, Devices(1))


def test_the_word_is_the_identity() -> None:
    by_word, by_number = compose(["train.batch_size=auto"]), compose(["train.batch_size=64"])
    assert science_hash(to_dict(by_number)) == science_hash(to_dict(compose([])))
    assert science_hash(to_dict(by_word)) != science_hash(to_dict(by_number))
