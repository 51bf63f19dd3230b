"""Distributed training and embedding with Hugging Face Accelerate (`accelerate launch`, `torchrun`).

Each rank computes its slice of the global batch and the loss of the whole batch. What it gathers from other
ranks carries no gradient, so the sum of all ranks' gradients is the gradient of one process with the whole
batch. All ranks call these functions in the same order. In a process launched alone they do nothing and make
no group.
"""

import atexit
import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

# Other ranks may embed or decode for hours. A rank that fails does not wait: the launcher ends all of them.
PATIENCE = timedelta(days=2)


def _state():
    """Return Accelerate's state, made at the first call; None in a process launched alone."""
    if int(os.environ.get("WORLD_SIZE", 1)) < 2 or "LOCAL_RANK" not in os.environ:
        return None
    from accelerate import PartialState

    begun = torch.distributed.is_initialized()
    # Without a GPU, Accelerate needs cpu=True, or it takes this for a process launched alone.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    if not begun:
        # Threads of the group that still work when the interpreter exits would abort the process.
        atexit.register(state.destroy_process_group)
    return state


def world_size() -> int:
    """Return the number of processes that were launched together."""
    return 1 if _state() is None else _state().num_processes


def rank() -> int:
    """Return which of the processes this is, from 0."""
    return 0 if _state() is None else _state().process_index


def is_main() -> bool:
    """Say whether this is rank 0, the process that writes, prints and shows progress."""
    return rank() == 0


def place_on_machine() -> tuple[int, int, int]:
    """Return this machine's index, the rank on it and the ranks on it, without a process group."""
    return tuple(
        int(os.environ.get(name, default))
        for name, default in (("GROUP_RANK", 0), ("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1))
    )


def device() -> torch.device:
    """Return the device of this rank: a GPU of its own, else the CPU."""
    if _state() is not None:
        return _state().device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def barrier() -> None:
    """Wait until all ranks have called this."""
    gather_values(None)


def gather_values(value) -> list:
    """Return the values of all ranks in their order: Python objects, or tensors of any size on the CPU."""
    if world_size() == 1:
        return [value]
    from accelerate.utils import gather_object

    return gather_object([value])


def broadcast_from_main(value):
    """Broadcast rank 0's value, so that all ranks take the same decision about time, disk or free memory."""
    if world_size() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def slice_of_rank(rows):
    """Return this rank's slice of a global batch: rows (B, ...) -> (B / world size, ...), in order."""
    if len(rows) % world_size():
        raise ValueError(
            f"a batch of {len(rows)} cannot be shared equally by {world_size()} processes; choose a multiple "
            f"of {world_size()}, such as {max(1, len(rows) // world_size()) * world_size()}."
        )
    here = len(rows) // world_size()
    return rows[rank() * here : (rank() + 1) * here]


def gather_with_gradient(values: torch.Tensor) -> torch.Tensor:
    """Gather rows (B / world size, ...) into (B, ...); only this rank's rows keep their gradient."""
    if world_size() == 1:
        return values
    from accelerate.utils import gather

    parts = list(gather(values.detach()).split(len(values)))
    parts[rank()] = values
    return torch.cat(parts)


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Sum each gradient over all ranks, which makes it the gradient of the global batch on every rank."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world_size() == 1 or not gradients:
        return
    from accelerate.utils import reduce

    summed = reduce(torch.cat([gradient.flatten() for gradient in gradients]), "sum")
    for gradient, part in zip(gradients, summed.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(part.view_as(gradient))


def copy_weights_from_main(model: torch.nn.Module) -> None:
    """Copy rank 0's weights and buffers to all ranks."""
    if world_size() == 1:
        return
    from accelerate.utils import broadcast

    for value in model.state_dict().values():
        value.copy_(broadcast(value.contiguous()))


def seed_of_rank(*seed: int) -> list[int]:
    """Make a seed for what a rank draws for its own rows; rank 0 draws as a process launched alone."""
    return [*seed, *([rank()] if rank() else [])]


def seed_ranks_apart(seed: int) -> None:
    """Seed torch differently on each rank from here on; rank 0 keeps its generator."""
    if rank():
        torch.manual_seed(int(np.random.default_rng(seed_of_rank(seed)).integers(2**63)))


def random_states() -> list[dict[str, torch.Tensor]]:
    """Return the states of PyTorch's generators on all ranks."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return gather_values(states)


def set_random_states(states: list[dict] | dict, checkpoint: Path) -> None:
    """Restore what `random_states` returned; a checkpoint of another world size is refused."""
    states = (
        states if isinstance(states, list) else [states]
    )  # older checkpoints hold the states of one process
    if len(states) != world_size():
        raise ValueError(
            f"{checkpoint} was written by {len(states)} processes and this run has {world_size()}; resume "
            f"with {len(states)}, or remove it to begin again."
        )
    own = states[rank()]
    torch.set_rng_state(own["cpu"])
    if "cuda" in own and torch.cuda.is_available():
        torch.cuda.set_rng_state(own["cuda"])
