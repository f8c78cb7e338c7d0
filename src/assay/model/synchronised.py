"""BatchNorm whose statistics are those of a whole batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["SynchronisedBatchNorm", "synchronise"]


class SynchronisedBatchNorm(_BatchNorm):
    """Mixed into the classes of BatchNorm by `synchronise`; in evaluation it is what it was. Unlike
    `torch.nn.SyncBatchNorm` it runs on CPUs.

    Attributes:
        copies: how many processes have the same samples, and not each its own: a batch of fewer samples than processes.
        of_means: the loss that is differentiated is the mean over a process's own samples, which counts for their share
            of the batch only afterwards; else every process has its summand of the loss of the batch.
    """

    copies = 1
    of_means = False

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, …) -> (B, C, …)"""
        uses_batch = self.training or self.running_mean is None
        if not (uses_batch and dist.is_initialized()):
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        of_means = SynchronisedBatchNorm.of_means
        output, mean, variance, count = _Normalised.apply(input, self.weight, self.bias, self.eps, of_means)
        if self.training and self.track_running_stats and self.running_mean is not None:
            assert self.running_var is not None and self.num_batches_tracked is not None
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                momentum = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
                count = count / SynchronisedBatchNorm.copies
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
                unbiased = variance * (count / (count - 1).clamp(min=1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
        result: Tensor = output
        return result


class _Normalised(torch.autograd.Function):
    """Mean and squared deviations are put together from those of the processes, as Chan, Golub and LeVeque, "Updating
    formulae and a pairwise algorithm for computing sample variances", 1979, do: no sum of squares loses digits.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, of_means: bool) -> Any:
        axes, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        wide = x.to(torch.float32) if x.dtype in (torch.float16, torch.bfloat16) else x
        number = x.numel() // x.shape[1]
        mean = wide.mean(axes)
        own = torch.cat([mean, (wide - mean.view(shape)).square().sum(axes), mean.new_tensor([float(number)])])
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        held, channels = torch.stack(parts), x.shape[1]
        means, squares, counts = held[:, :channels], held[:, channels:-1], held[:, -1:]
        count = counts.sum()
        mean = (means * counts).sum(0) / count
        variance = (squares.sum(0) + ((means - mean).square() * counts).sum(0)) / count
        scale = torch.rsqrt(variance + eps)
        output = (wide - mean.view(shape)) * scale.view(shape)
        if weight is not None:
            output = output * weight.view(shape)
        if bias is not None:
            output = output + bias.view(shape)
        ctx.save_for_backward(x, weight, mean, scale, count)
        ctx.share = number / count if of_means else 1.0
        ctx.mark_non_differentiable(mean, variance, count)
        return output.to(x.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *others: Any) -> Any:
        x, weight, mean, scale, count = ctx.saved_tensors
        axes, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        normal = (x.to(mean.dtype) - mean.view(shape)) * scale.view(shape)
        wide = gradient.to(mean.dtype) * ctx.share
        sums = torch.cat([wide.sum(axes), (wide * normal).sum(axes)])
        own_bias, own_weight = (sums / ctx.share).chunk(2)
        dist.all_reduce(sums)
        of_ones, of_normal = (sums / count).chunk(2)
        inner = wide - of_ones.view(shape) - normal * of_normal.view(shape)
        factor = scale if weight is None else scale * weight.to(mean.dtype)
        given = (inner * (factor / ctx.share).view(shape)).to(x.dtype)
        if weight is None:
            return given, None, None, None, None
        return given, own_weight.to(weight.dtype), own_bias.to(weight.dtype), None, None


def synchronise(model: nn.Module, device: torch.device) -> nn.Module:
    """Let every BatchNorm of the model take its statistics over all processes: torch's own on GPUs, ours on CPUs.

    On CPUs the modules stay what and where they are (names, hooks, weights): only their class is another, and is a
    subclass of what it was. Classes with a `forward` of their own are left as they are.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-any-return, no-untyped-call]
    for module in model.modules():
        if isinstance(module, _BatchNorm) and type(module).forward is _BatchNorm.forward:
            module.__class__ = _mixed(type(module))
    return model


_made: dict[type[_BatchNorm], type[_BatchNorm]] = {}


def _mixed(own: type[_BatchNorm]) -> type[_BatchNorm]:
    if own not in _made:
        _made[own] = type(own.__name__, (SynchronisedBatchNorm, own), {"__module__": __name__})
    return _made[own]
