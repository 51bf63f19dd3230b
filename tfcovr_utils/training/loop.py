"""The training loop that every trainer shares, to be read from top to bottom.

A trainer describes its run as a `Plan`: how a batch is drawn, what its losses are, how the model is
validated. `train` carries it out: learning rate, gradients summed over ranks, clipping, curve, best weights,
checkpoint, resume.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.optim import Optimizer
from tqdm import tqdm

from ..machine import processes
from ..machine.files import explain_write_errors
from ..machine.tensors import read_checkpoint, write_checkpoint

SCHEDULES = ("cosine", "cosine_epoch", "constant", "cosine_after_warm_up")
Score = tuple[float, ...]  # the first number decides, the next ones break ties
Validate = Callable[[nn.Module], tuple[Score, dict[str, float]]]


@dataclass(frozen=True)
class Run:
    """Where a run writes its checkpoint, whether it resumes from one, and whether it shows a progress bar."""

    checkpoint: Path | None = None
    resume: bool = False
    progress: bool = False


@dataclass(frozen=True)
class Plan:
    """What a trainer trains, and how.

    draw: step, from 0 -> batch. losses: batch -> losses by name; their sum is minimised, each is a column of
    the curve. validate: model -> score, and columns of the curve; the first weights with the highest score
    are kept. identity: JSON that a checkpoint must agree with before a run resumes from it.
    """

    steps: int
    lr: float
    draw: Callable[[int], Any]
    losses: Callable[[Any], dict[str, torch.Tensor]]
    validate: Validate | None = None
    after_step: Callable[[], None] | None = None
    validate_every: int = 1  # steps between rows of the curve
    per_epoch: int = 1  # steps of an epoch
    schedule: str = "cosine"  # one of SCHEDULES
    warm_up: int = 1  # the step, from 1, that reaches the full learning rate
    clip_norm: float = 0.0  # largest norm of the gradient; 0 does not clip
    save_every_s: float = math.inf  # seconds between checkpoints within a row of the curve
    seed: int = 0  # of what ranks draw apart
    split_batches: bool = True  # over the ranks; False: each rank trains on whole batches
    identity: dict | None = None
    name: str = "train"  # of the progress bar


def train(model: nn.Module, optimiser: Optimizer, plan: Plan, run: Run | None = None) -> pd.DataFrame:
    """Train in place and return the curve; the model ends in eval mode, at its best weights or its last.

    Columns: step, epoch (from 0), lr, each loss as its mean since the row before, what `validate` adds,
    seconds of training so far. Ranks end with the weights that one process would have, but each draws its own
    dropout.
    """
    run = run or Run()
    if run.checkpoint:
        with explain_write_errors(run.checkpoint):  # before the first step, not after an epoch of work
            Path(run.checkpoint).parent.mkdir(parents=True, exist_ok=True)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if plan.split_batches:
        processes.copy_weights_from_main(model)
        processes.seed_ranks_apart(plan.seed)
    state = new_state()
    if run.resume and run.checkpoint and processes.broadcast_from_main(Path(run.checkpoint).exists()):
        state = load_checkpoint(run.checkpoint, plan, model, optimiser)
    shown = run.progress and processes.is_main()
    place = {"total": plan.steps, "initial": state["step"], "disable": not shown}
    bar = tqdm(**place, desc=plan.name, mininterval=2, delay=2)
    saved_at = time.monotonic()

    while state["step"] < plan.steps:
        started, rate = time.monotonic(), learning_rate(plan, state["step"])
        for group in optimiser.param_groups:
            group["lr"] = rate
        model.train()
        losses = plan.losses(plan.draw(state["step"]))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        if plan.split_batches:
            processes.sum_gradients(trained)
        if plan.clip_norm:
            nn.utils.clip_grad_norm_(trained, plan.clip_norm)
        optimiser.step()
        if plan.after_step:
            plan.after_step()
        for name, loss in losses.items():  # as tensors: reading them at each step would wait for the GPU
            state["sums"][name] = state["sums"].get(name, 0.0) + loss.detach().double()
        state["step"] += 1
        bar.update()

        row_ends = state["step"] % plan.validate_every == 0 or state["step"] == plan.steps
        means = mean_losses(state, plan) if row_ends else {}
        state["seconds"] += time.monotonic() - started
        if row_ends:
            scores = means | (keep_best(state, plan, model) if plan.validate else {})
            place = {"step": state["step"], "epoch": (state["step"] - 1) // plan.per_epoch, "lr": rate}
            state["curve"].append({**place, **scores, "seconds": state["seconds"]})
            state["sums"] = {}
            bar.set_postfix({name: f"{value:.3f}" for name, value in scores.items()}, refresh=False)
        if run.checkpoint and (row_ends or is_save_due(plan, saved_at)):
            save_checkpoint(run.checkpoint, plan, model, optimiser, state)
            saved_at = time.monotonic()
    bar.close()
    if state["best"] is not None:
        model.load_state_dict(state["best"], strict=False)
    model.eval()
    return pd.DataFrame(state["curve"])


def learning_rate(plan: Plan, step: int) -> float:
    """Compute the learning rate of a step, from 0: a linear warm-up, then the plan's schedule, which ends
    near 0.

    "cosine" falls step by step, "cosine_epoch" from epoch to epoch (as the official code),
    "cosine_after_warm_up" over the steps that follow the warm-up.

    >>> plan = Plan(100, 1.0, draw=None, losses=None, schedule="cosine_after_warm_up", warm_up=10)
    >>> [round(learning_rate(plan, step), 2) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.5, 0.0]
    """
    rate = plan.lr * min(1.0, (step + 1) / plan.warm_up)
    done, whole = {
        "constant": (0, 1),
        "cosine": (step, plan.steps),
        "cosine_epoch": (step // plan.per_epoch, math.ceil(plan.steps / plan.per_epoch)),
        "cosine_after_warm_up": (max(0, step - plan.warm_up), max(1, plan.steps - plan.warm_up)),
    }[plan.schedule]
    return rate * (1 + math.cos(math.pi * done / whole)) / 2


def epoch_batches(rows: np.ndarray, batch: int, seed: int) -> Callable[[int], np.ndarray]:
    """Make a function from a step to its rows: each epoch is one permutation, its last partial batch dropped.

    >>> draw = epoch_batches(np.arange(5), batch=2, seed=0)
    >>> sorted({*draw(0), *draw(1)} - {*range(5)}), len(draw(1))
    ([], 2)
    """
    per_epoch = max(1, len(rows) // batch)
    permute = lru_cache(1)(lambda epoch: np.random.default_rng([seed, epoch]).permutation(rows))

    def draw(step: int) -> np.ndarray:
        epoch, place = divmod(step, per_epoch)
        return permute(epoch)[place * batch : (place + 1) * batch]

    return draw


def score_by(measure: Callable[[nn.Module], float] | None) -> Validate | None:
    """Make a plan's `validate` of a function that measures a model by one number, the curve's column val."""

    def validate(model: nn.Module) -> tuple[Score, dict[str, float]]:
        value = float(measure(model))
        return (value,), {"val": value}

    return validate if measure else None


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from `seed` inside the block, and leave the caller's generators as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def trained_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Get the weights and buffers that training changes; frozen parameters have a file of their own."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def mean_losses(state: dict, plan: Plan) -> dict[str, float]:
    """Average the losses since the last row of the curve; a loss that is no number ends the run."""
    steps = state["step"] - (state["curve"][-1]["step"] if state["curve"] else 0)
    means = {name: float(total) / steps for name, total in state["sums"].items()}
    for name, value in means.items():
        if not math.isfinite(value):
            raise ValueError(f"the {name} is {value} at step {state['step']}; lower lr, which is {plan.lr}.")
    return means


def keep_best(state: dict, plan: Plan, model: nn.Module) -> dict[str, float]:
    """Validate; keep a copy of the weights if they are the best so far. Return the columns of the curve."""
    model.eval()
    with torch.no_grad():
        score, columns = plan.validate(model)
    if score > state["best_score"]:
        best = {name: value.detach().cpu().clone() for name, value in trained_weights(model).items()}
        state["best_score"], state["best"] = score, best
    return columns


def is_save_due(plan: Plan, saved_at: float) -> bool:
    """Decide by rank 0's clock, so that all ranks write the same checkpoints."""
    if plan.save_every_s == math.inf:
        return False
    return processes.broadcast_from_main(time.monotonic() - saved_at > plan.save_every_s)


def save_checkpoint(path: Path, plan: Plan, model: nn.Module, optimiser, state: dict) -> None:
    """Write what `load_checkpoint` needs to go on to identical weights."""
    random = processes.random_states()
    if processes.is_main():
        weights = {"weights": trained_weights(model), "optimiser": optimiser.state_dict()}
        write_checkpoint(plan.identity or {}, {**weights, "random": random, "state": state}, path)


def load_checkpoint(path: Path, plan: Plan, model: nn.Module, optimiser) -> dict:
    """Restore model, optimiser and random generators of the same run; return the loop's state."""
    saved = read_checkpoint(path, plan.identity or {})
    weights, state = saved.get("weights"), saved.get("state")
    try:
        both = weights, trained_weights(model)
        shapes, wanted = ({name: value.shape for name, value in of.items()} for of in both)
        if shapes != wanted or state.keys() != new_state().keys():
            raise ValueError
        optimiser.load_state_dict(saved["optimiser"])
        random = saved["random"] if isinstance(saved["random"], list) else [saved["random"]]
        assert random and all(isinstance(one, dict) and torch.is_tensor(one["cpu"]) for one in random)
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        advice = "give the folder of the run that it began, or remove the file to begin again."
        raise ValueError(f"{path} holds no checkpoint of this training; {advice}") from error
    model.load_state_dict(weights, strict=False)
    processes.set_random_states(random, path)
    return state


def new_state() -> dict:
    """Make the state of a run that begins."""
    return {"step": 0, "seconds": 0.0, "sums": {}, "curve": [], "best_score": (-math.inf,), "best": None}
