"""Several processes as one, by Hugging Face Accelerate: what `accelerate launch`, `torchrun` or notebook_launcher started.

Each process computes its slice of the global batch and the loss of all of it. What it gathers from the others has no gradient
there, so the sum of the processes' gradients is the gradient that one process has. All processes call these functions in the
same order. In a process that was not launched with others they do nothing, and no process group is made.
"""

import atexit
import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

# How long a process waits for others that embed or decode for hours; a process that fails ends all at once, by its launcher.
PATIENCE = timedelta(days=2)


def _state():
    """Accelerate's state of a process launched with others, the group made at the first call; None of any other process."""
    if int(os.environ.get("WORLD_SIZE", 1)) < 2 or "LOCAL_RANK" not in os.environ:
        return None
    from accelerate import PartialState

    begun = torch.distributed.is_initialized()
    # Without a GPU it has to be told so, or it takes this for a process of its own.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    if not begun:
        atexit.register(
            state.destroy_process_group
        )  # its threads, still at work when the interpreter goes, would abort the process
    return state


def world_size() -> int:
    """How many processes there are."""
    return 1 if _state() is None else _state().num_processes


def rank() -> int:
    """Which of the processes this is, from 0."""
    return 0 if _state() is None else _state().process_index


def is_main() -> bool:
    """Whether this is the process that writes, prints and shows progress."""
    return rank() == 0


def place_on_machine() -> tuple[int, int, int]:
    """Which machine this is, from 0, which process of it, and how many there are on it. Makes no process group."""
    return tuple(
        int(os.environ.get(name, default))
        for name, default in (("GROUP_RANK", 0), ("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1))
    )


def device() -> torch.device:
    """Where this process computes: a GPU of its own, else the CPU."""
    if _state() is not None:
        return _state().device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def barrier() -> None:
    """Go on when every process is here."""
    gather_values(None)


def gather_values(value) -> list:
    """What each process has, in their order: plain values, or tensors of any size on the CPU."""
    if world_size() == 1:
        return [value]
    from accelerate.utils import gather_object

    return gather_object([value])


def broadcast_from_main(value):
    """What the first process has: for a decision by the clock, by the disk or by free memory, which must be one."""
    if world_size() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def slice_of_rank(rows):
    """This process's slice of a global batch: rows (B, ...) -> (B / processes, ...), by their order."""
    if len(rows) % world_size():
        raise ValueError(
            f"a batch of {len(rows)} cannot be shared equally by {world_size()} processes; choose a batch that is a multiple "
            f"of {world_size()}, such as {max(1, len(rows) // world_size()) * world_size()}."
        )
    here = len(rows) // world_size()
    return rows[rank() * here : (rank() + 1) * here]


def gather_with_gradient(values: torch.Tensor) -> torch.Tensor:
    """Rows of this process (B / processes, ...) -> those of the global batch (B, ...), its own with their gradient."""
    if world_size() == 1:
        return values
    from accelerate.utils import gather

    parts = list(gather(values.detach()).split(len(values)))
    parts[rank()] = values
    return torch.cat(parts)


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its sum over the processes: then it is that of the global batch, on every process."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world_size() == 1 or not gradients:
        return
    from accelerate.utils import reduce

    summed = reduce(torch.cat([gradient.flatten() for gradient in gradients]), "sum")
    for gradient, part in zip(gradients, summed.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(part.view_as(gradient))


def copy_weights_from_main(model: torch.nn.Module) -> None:
    """Give every process the first one's weights and buffers, however each made its own."""
    if world_size() == 1:
        return
    from accelerate.utils import broadcast

    for value in model.state_dict().values():
        value.copy_(broadcast(value.contiguous()))


def seed_of_rank(*seed: int) -> list[int]:
    """A seed for what each process draws for its own rows: on the first as given, so that it draws as if alone."""
    return [*seed, *([rank()] if rank() else [])]


def seed_ranks_apart(seed: int) -> None:
    """From here on processes draw apart; the first goes on as it would alone."""
    if rank():
        torch.manual_seed(int(np.random.default_rng(seed_of_rank(seed)).integers(2**63)))


def random_states() -> list[dict[str, torch.Tensor]]:
    """The states of PyTorch's generators in every process."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return gather_values(states)


def set_random_states(states: list[dict] | dict, checkpoint: Path) -> None:
    """Go on drawing where `random_states` was asked; from a checkpoint of another number of processes that cannot be."""
    states = states if isinstance(states, list) else [states]  # as they were kept before there were several
    if len(states) != world_size():
        raise ValueError(
            f"{checkpoint} was written by a run on {len(states)} and this one is on {world_size()} processes; resume on as many, "
            "or remove it to begin again."
        )
    own = states[rank()]
    torch.set_rng_state(own["cpu"])
    if "cuda" in own and torch.cuda.is_available():
        torch.cuda.set_rng_state(own["cuda"])
