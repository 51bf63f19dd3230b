"""What pretraining shares: batches of captioned pictures, losses between pictures and texts, the loop, the
card.

A picture is one rendered frame with its facts; a caption names some of them. No label, count or direction of
travel is in any caption.
"""

import json
import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ...encoders.base import normalise
from ...labels import label_text
from ...machine.files import explain_write_errors, replacing, replacing_files
from ...profiles import ROOT
from ...rendering.captions import caption
from ...rendering.pretraining_pictures import SIZE, SOURCES, render_pictures
from ...rendering.skills import SKILLS
from ...texts import read_table
from ..kinds import Count, Depth, Positive, Settings, Share, Weight, Whole, Width
from ..loop import Plan, Run, train

FACTS = ("place", "shape", "head", "chest", "arms", "phase")
CARD = """\
---
license: mit
library_name: transformers
---
# {name}

{what} for this repository's rendered benchmark `mini`: {parameters:,} parameters, `{model}` of transformers.

- **Trained on** {frames:,} rendered frames of 64 x 64 pixels from sources that no split shares, {texts}.
- **Not trained on** any label, count, direction of travel or order of frames; no text holds one.
- **Stands for** {stands_for}. It shows the idea at work, for this benchmark's pictures alone.
- **Made by** `{command}`. Weights and training data are this repository's own, under its MIT licence.

What the command printed:

```json
{report}
```
"""

CAPTIONED = "each with a caption of what that frame shows"


@dataclass(frozen=True)
class Pretraining(Settings):
    """Size of a model and of its training."""

    width: Width = 128
    layers: Depth = 4
    heads: Width = 4
    patch: Width = 16
    text_layers: Depth = 3
    projection: Width = 128
    steps: Count = 5000
    batch: Count = 128
    lr: Positive = 1e-3
    weight_decay: Weight = 0.05
    warm_up: Count = 200
    kept_facts: Share = 0.6  # share of a picture's facts that its caption mentions
    seed: Whole = 0

    def __post_init__(self):
        super().__post_init__()
        for name, whole, part in (("heads", "width", self.width), ("patch", "pictures' side", SIZE)):
            if part % getattr(self, name):
                raise ValueError(f"{name} is {getattr(self, name)}; give a divisor of the {whole}, {part}.")

    @property
    def tower(self) -> dict[str, int]:
        """The sizes that every transformer of the model has."""
        sizes = {"hidden_size": self.width, "intermediate_size": 4 * self.width}
        return {**sizes, "num_attention_heads": self.heads}


@dataclass(frozen=True)
class Pictures:
    """Frames (N, H, W, 3) uint8, and their facts, a row a frame."""

    frames: np.ndarray
    facts: pd.DataFrame

    def pixels(self, rows: np.ndarray) -> torch.Tensor:
        """Get normalised pixels (B, 3, H, W) of some rows."""
        pixels = torch.from_numpy(self.frames[rows]).permute(0, 3, 1, 2)
        return normalise(pixels, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)

    def records(self, rows: np.ndarray) -> list[dict[str, str]]:
        """Get the facts of some rows."""
        return self.facts.iloc[rows][list(FACTS)].to_dict("records")

    def phrases(self) -> list[str]:
        """List a caption of each value of each fact."""
        return [caption({name: value}) for name in FACTS for value in self.facts[name].unique()]


def render(out: Path, sources: int | None) -> tuple[np.ndarray, pd.DataFrame]:
    """Render the pictures and their facts, once it is sure that the weights' folder can be written."""
    if sources is not None and sources < 1:
        raise ValueError(f"sources is {sources}; give a whole number from 1, such as {SOURCES}.")
    with explain_write_errors(out):
        Path(out).mkdir(parents=True, exist_ok=True)
    return render_pictures(SOURCES if sources is None else sources)


def vocabulary_texts() -> list[str]:
    """List labels and modification texts, whose words a tokenizer learns; no picture goes with them."""
    labels = [label_text(skill.text) if skill.family == "dive" else skill.text for skill in SKILLS["sim"]]
    return sorted(set(read_table(ROOT / "data" / "modifications" / "tfcovr_short.csv").text) | set(labels))


def draw_captions(facts: list[dict[str, str]], rng: np.random.Generator, kept: float) -> list[str]:
    """Write a caption of each picture's facts, mentioning some of them in a random order."""
    names = np.array(FACTS)
    return [
        caption({name: row[name] for name in rng.permutation(names[rng.random(len(names)) < kept])})
        for row in facts
    ]


def draw_strings(words: list[str], number: int, rng: np.random.Generator) -> list[str]:
    """Write strings of random words, which no picture goes with."""
    return [" ".join(rng.choice(words, rng.integers(3, 12))) for _ in range(number)]


def draw_batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw rows of a batch, each row once an epoch; sorted, since frames are on disk."""
    if n < size:
        raise ValueError(f"there are {n} pictures and a batch takes {size}; render more sources.")
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            yield np.sort(order[start : start + size])


def contrast(image_emb, text_emb, own, logit_scale):
    """Contrast images (B, D) with distinct texts (M, D) both ways; `own` (B,) is the text of each image."""
    scores = logit_scale.exp() * F.normalize(image_emb, dim=-1) @ F.normalize(text_emb, dim=-1).T
    of_text = F.one_hot(own, len(text_emb)).float()  # several images may share a text
    return F.cross_entropy(scores, own) + F.cross_entropy(scores.T, (of_text / of_text.sum(0)).T)


class WordReader(nn.Linear):
    """A layer that reads the tokens of a text back from an embedding (B, D); used in training only."""

    def __init__(self, dim: int, vocabulary: int):
        super().__init__(dim, vocabulary)
        nn.init.constant_(self.bias, -4.0)  # a text holds few of the tokens

    def loss(self, image_emb, text_emb, own, input_ids):
        """Cross-entropy of every token of texts (M, D) and images (B, D), in units of a text's own tokens."""
        bags = torch.zeros(len(text_emb), self.out_features).scatter_(1, input_ids, 1.0)
        return self._loss_of(image_emb, bags[own]) + self._loss_of(text_emb, bags)

    def _loss_of(self, embedding, bags):
        scores = self(F.normalize(embedding, dim=-1) * math.sqrt(embedding.shape[1]))
        return F.binary_cross_entropy_with_logits(scores, bags, reduction="sum") / bags.sum()


def fit(
    model: nn.Module,
    losses: Callable[[np.ndarray], dict[str, torch.Tensor]],
    rows: Iterator[np.ndarray],
    settings: Pretraining,
    steps: int,
    logit_scale: nn.Parameter | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train in place, without decay of biases and scales, and return the losses, a row a step."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices, others = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, settings.lr, (0.9, 0.98), weight_decay=settings.weight_decay)
    limit_scale = None if logit_scale is None else lambda: logit_scale.data.clamp_(0, math.log(100))
    plan = Plan(
        steps=steps,
        lr=settings.lr,
        draw=lambda step: next(rows),
        losses=losses,
        after_step=limit_scale,
        warm_up=settings.warm_up,
        clip_norm=1.0,
        split_batches=False,
        name="pretrain",
    )
    return train(model, optimiser, plan, Run(progress=progress))


def last_losses(curve: pd.DataFrame) -> dict[str, float]:
    """Average each loss over the last hundred steps, for the report."""
    return curve.drop(columns=["step", "epoch", "lr", "seconds"]).tail(100).mean().round(3).to_dict()


def save_folder(model: nn.Module, tokenizer, image_processor, folder: Path) -> None:
    """Write a Hugging Face folder, weights in half precision."""
    with replacing_files(folder, "config.json") as temporary:
        deepcopy(model).half().save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        image_processor.save_pretrained(temporary)


def write_card(folder: Path, report: dict, **said: str) -> None:
    """Write the model card: what the weights are, and the report of the run that made them."""
    counts = {name: report[name] for name in ("parameters", "frames")}
    text = CARD.format(**counts, **said, report=json.dumps(report, indent=1))
    with replacing(Path(folder) / "README.md") as temporary:
        temporary.write_text(text)
