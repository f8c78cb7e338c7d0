"""The device, its threads and its arithmetic, by fixed rules."""

from __future__ import annotations

import errno
import os

import torch
from torch import nn

from assay.errors import ConfigError, Problem

__all__ = [
    "choose_device",
    "choose_memory_format",
    "dtype_of",
    "is_out_of_memory",
    "seed_generators",
    "set_arithmetic",
]


def dtype_of(precision: str) -> torch.dtype:
    """Of weights and inputs; what is computed in bfloat16 or float16 has its weights in float32."""
    return torch.float64 if precision == "float64" else torch.float32


def choose_device(name: str, number: int = 0) -> torch.device:
    """`auto` is a GPU where there is one, else the CPU.

    Args:
        number: of this process among those of its machine: `auto` and `cuda` are the GPU of this number.

    Raises:
        ConfigError: a GPU is asked for by name and there is none.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", number)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name, number) if name == "cuda" and number else torch.device(name)
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    count = there.get(device.type, 0)
    if count <= (device.index or 0):
        problem = Problem(
            f"device {name!r} is asked for and is not there",
            key="host.device",
            found=f"{count} devices of type {device.type}",
            hint="'cpu' or 'auto'",
        )
        raise ConfigError.of(problem)
    return device


def choose_memory_format(name: str, model: nn.Module) -> torch.memory_format:
    """`auto` is channels_last for a model of assay or torchvision with a 2-D convolution of 32 and more channels in and
    out, else contiguous.

    Convolutions run up to 1.5 times faster in channels_last on CPUs and on GPUs with tensor cores; the smallest nets
    lose more in the conversions than they win, and model files of others often flatten by `x.view(...)`, which
    channels_last tensors refuse: there it is for the configuration to say.
    """
    if name == "auto":
        known = type(model).__module__.partition(".")[0] in ("assay", "torchvision")
        wide = any(isinstance(m, nn.Conv2d) and min(m.in_channels, m.out_channels) >= 32 for m in model.modules())
        name = "channels_last" if known and wide else "contiguous"
    return torch.channels_last if name == "channels_last" else torch.contiguous_format


def set_arithmetic(threads: int | None, deterministic: bool, processes: int = 1) -> int:
    """Set the thread count and deterministic algorithms; the thread count that holds now.

    Args:
        processes: those of this machine, which share its cores.
    """
    if threads:
        torch.set_num_threads(threads)
    elif processes > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    if deterministic:
        # cuBLAS reads this when it is first used, so it must be set before.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    # Filling fresh memory guards programs that read what they never wrote; it costs a pass over every new tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by a property
    torch.backends.cudnn.benchmark = False
    return torch.get_num_threads()


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's own generators of the CPU and of `device` (140 times faster than `torch.manual_seed`)."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused, by whoever tells it: Python, torch's allocators, or the system."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "Cannot allocate memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
