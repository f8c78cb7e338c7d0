"""Several processes, each with some rows of every parameter and a part of every batch (fully sharded, FSDP2).

Weights, gradients, moving average and the optimizer's state are spread over the processes; a module's weights are put
together when it is called, and let go after it. What else they do together is as in `DataParallel`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule

from assay.errors import AssayError, ConfigError, Problem
from assay.model.synchronised import SynchronisedBatchNorm, synchronise
from assay.trainer.checkpoint.parts import Spread, part_name, taken_apart
from assay.trainer.checkpoint.reading import Checkpoint
from assay.trainer.checkpoint.writing import Parts, size_of, write_file
from assay.trainer.guard import refuse_gradient
from assay.trainer.strategy.parallel import DataParallel
from assay.trainer.strategy.peers import Peers
from assay.trainer.strategy.summing import broadcast, forms
from assay.trainer.strategy.units import shard, sharded_modules
from assay.utils.sharded import is_sharded, own_part, rows_of

if TYPE_CHECKING:
    from assay.trainer.base import BaseTrainer

__all__ = ["FullySharded"]


class FullySharded(DataParallel):
    """The gradients are summed while they come, so each counts for its share of the batch before that.

    Args:
        peers: the processes, which have met.
    """

    name = "fsdp"

    def __init__(self, peers: Peers) -> None:
        super().__init__(peers)
        self._norms: dict[str, list[Tensor]] = {}
        """Of every parameter that this process has used in this update: its gradients, before they are summed."""
        self._names: dict[int, str] = {}
        self._factor = (-1, 1.0)

    def prepare(self, model: nn.Module, device: torch.device, *, sync_batchnorm: bool) -> nn.Module:
        if not hasattr(FSDPModule, "set_reduce_scatter_unused_params"):
            older = f"torch {torch.__version__}"
            raise ConfigError.of(
                Problem("fsdp needs torch 2.13 or newer", key="host.strategy", found=older, hint='use "ddp", or update')
            )
        if not any(parameter.ndim for parameter in model.parameters()):
            raise ConfigError.of(Problem("the model has no parameter that can be shared out", key="host.strategy"))
        self._synchronises = sync_batchnorm
        model = synchronise(model, device) if sync_batchnorm else model
        for parameter in model.parameters():  # FSDP2 takes no other layout
            parameter.data = parameter.data.contiguous()
        # Before they are in parts: weights need not be a function of the seed.
        broadcast([tensor.data for tensor in (*model.parameters(), *model.buffers())])
        assert dist.group.WORLD is not None
        self.mesh = DeviceMesh.from_group(dist.group.WORLD, device.type)
        shard(model, self.mesh)
        return model.to(device)  # what is left of it: numbers without a dimension, and buffers

    def attach(self, trainer: BaseTrainer) -> None:
        super().attach(trainer)
        self._names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
        followed: set[int] = set()
        for prefix, module in trainer.model.named_modules():
            if module in set(sharded_modules(trainer.model)):
                module.register_forward_pre_hook(partial(self._follow, trainer, prefix, followed))

    def after_update(self, model: nn.Module) -> None:
        super().after_update(model)
        self._norms.clear()

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        whole = [gradient for gradient in gradients if not is_sharded(gradient)]
        rows = [gradient._local_tensor for gradient in gradients if is_sharded(gradient)]  # type: ignore[attr-defined]
        own = nn.utils.get_total_norm(rows)
        norms = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(norms, own)
        if whole:
            norms.append(nn.utils.get_total_norm(whole).to(own.dtype))
        whole_norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        return whole_norm

    def largest(self, flag: Tensor) -> None:
        dist.all_reduce(flag, dist.ReduceOp.MAX)

    def union(self, names: list[str]) -> list[str]:
        return list(dict.fromkeys(name for held in self.gather(names) for name in held))

    def whole(self, tensor: Tensor) -> Tensor:
        held: Any = tensor.detach()
        return held.full_tensor() if is_sharded(held) else held  # type: ignore[no-any-return]

    def parts(self, tensors: Mapping[str, Any]) -> Parts:
        return _SharedParts(tensors, self.peers)

    def read(self, checkpoint: Checkpoint, name: str, device: torch.device) -> Any:
        return checkpoint.tensors(name, "cpu", partial(self._join, device))  # the whole may be too large for a device

    def heard(self, error: BaseException) -> AssayError | None:
        text = str(error)
        if "Sharding propagation failed" in text or "mixed torch.Tensor and DTensor" in text:
            problem = Problem(
                "what the training does with a parameter cannot be done with one that is in rows (host.strategy: fsdp)",
                key="host.strategy",
                found=text.partition("\n")[0][:300],
                hint="take an optimizer that looks at each number by itself (SGD, AdamW); call modules, and do not use "
                'the weights of one without calling it; or set host.strategy to "ddp"',
            )
            return ConfigError.of(problem)
        return super().heard(error)

    def _join(self, device: torch.device, spread: Spread) -> Tensor:
        """The rows that this process is to have, of a checkpoint of any number of processes."""
        from torch.distributed.tensor import DTensor, Replicate, Shard

        stride = torch.empty(spread.shape, device="meta").stride()
        placement: Replicate | Shard
        if spread.in_rows:
            held, placement = spread.rows(*rows_of(spread.shape[0], self.rank, self.size)), Shard(0)
        else:
            held, placement = spread.whole(), Replicate()
        return DTensor.from_local(
            held.to(device), self.mesh, (placement,), run_check=False, shape=spread.shape, stride=stride
        )

    def _follow(self, trainer: BaseTrainer, prefix: str, followed: set[int], module: nn.Module, inputs: Any) -> None:
        """Look at every gradient between the backward pass and the sum over the processes. At this moment, and not
        before the first one, the module has its whole parameters.
        """
        for name, parameter in module.named_parameters(prefix):
            if parameter.requires_grad and not (is_sharded(parameter) or id(parameter) in followed):
                followed.add(id(parameter))
                look = partial(self._look_at, trainer, name)
                parameter.register_post_accumulate_grad_hook(look)  # type: ignore[no-untyped-call]

    def _look_at(self, trainer: BaseTrainer, name: str, parameter: Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        if SynchronisedBatchNorm.of_means and parameter.ndim:  # one without is summed, and scaled, in `reduce`
            gradient.mul_(self._share_now(trainer))
        held = self._norms.setdefault(name, [])
        if trainer.reads_numbers and not trainer.scaler.is_enabled():
            held.append(torch.linalg.vector_norm(gradient))

    def _share_now(self, trainer: BaseTrainer) -> float:
        step = trainer.progress.step
        if self._factor[0] != step:
            self._factor = step, self._share(trainer)
        return self._factor[1]

    def _held(self, optimizer: torch.optim.Optimizer) -> tuple[int, ...]:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        used = [self._names.get(id(parameter)) in self._norms for parameter in parameters]
        pairs = zip(parameters, forms(parameters), used, strict=True)
        # Of rows there are gradients in every process, of zeros where it has used none.
        return tuple(int(is_used) if is_sharded(parameter) else form for parameter, form, is_used in pairs)

    def _refuse(self, trainer: BaseTrainer) -> None:
        norms = [norm for held in self._norms.values() for norm in held]
        if norms and not torch.isfinite(torch.stack(norms)).all():
            bad = [name for name, held in self._norms.items() if not torch.isfinite(torch.stack(held)).all()]
            refuse_gradient(trainer, norms[0].new_tensor(torch.nan), f"{bad[0]}.grad")

    def _settle(
        self, parameters: Sequence[nn.Parameter], held: Sequence[int], factor: float | Tensor, *, of_means: bool
    ) -> None:
        whole = [(p, form) for p, form in zip(parameters, held, strict=True) if not is_sharded(p)]
        super()._settle([p for p, _ in whole], [form for _, form in whole], factor, of_means=of_means)
        for parameter, form in zip(parameters, held, strict=True):
            if not is_sharded(parameter) or parameter.grad is None:
                continue
            if not form:
                parameter.grad = None  # zeros; an optimizer moves what has a gradient
            elif not (of_means or (isinstance(factor, float) and factor == 1.0)):  # means have had their factor
                own_part(parameter.grad).mul_(factor)


class _SharedParts(Parts):
    """Every process writes its own rows into the folder that the first one has made."""

    def __init__(self, tensors: Mapping[str, Any], peers: Peers) -> None:
        apart = {name: taken_apart(held) for name, held in tensors.items()}
        super().__init__({name: rest for name, (rest, _) in apart.items()})
        self.own = {name: rows for name, (_, rows) in apart.items()}
        self.peers = peers
        self.bytes = sum(peers.gather(size_of(self.own)))
        self._told = False

    def __exit__(self, *error: object) -> None:
        if not self._told:
            self.peers.share(None)

    def write(self, folder: Path) -> dict[str, dict[str, Any]]:
        self._told = True
        return self._written(self.peers.share(folder.absolute()))

    def follow(self) -> None:
        folder = self.peers.share(None)
        if folder is not None:
            self._written(folder, is_first=False)

    def _written(self, folder: Path, is_first: bool = True) -> dict[str, dict[str, Any]]:
        rank, size = self.peers.rank, self.peers.size
        files: dict[str, dict[str, Any]] = {}
        refused: tuple[int, str] | None = None
        try:
            for name, rows in self.own.items():
                if rows:
                    files[part_name(name, rank, size)] = write_file(folder / part_name(name, rank, size), rows)
        except OSError as error:
            refused = error.errno or 0, error.strerror or str(error)
        told = self.peers.gather((files, refused))
        for number, (_, why) in enumerate(told):
            if why is not None and is_first:
                raise OSError(why[0], f"{why[1]} (rank {number} of {size})")
        return {name: facts for held, _ in told for name, facts in held.items()}
