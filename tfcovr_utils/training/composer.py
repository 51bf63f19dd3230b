"""A fusion that knows the attributes: the query clip's own, changed as the text says, are the target's.

The fusion of the paper learns where each label's clips lie, and a label that nobody taught lies nowhere. Here
a clip is what it shows of each attribute, so a label that was never seen is a new combination of known parts.
"""

from pathlib import Path

import torch
from torch import nn

from .fusion import unit
from .model_folder import load_model, save_model

KEEP = 6.0  # log odds with which training starts to keep a value rather than to replace it


class Composer(nn.Module):
    """Clips are log posteriors of A attributes with C values in all, side by side (B, C).

    For each attribute the text decides how far the clip's value is kept, and which one takes its place. A
    query and a target are then compared attribute by attribute, each by its weight.
    """

    def __init__(self, sizes: list[int], text_dim: int, hidden: int = 1024, dropout: float = 0.6):
        super().__init__()
        self.config = {"sizes": list(sizes), "text_dim": text_dim, "hidden": hidden, "dropout": dropout}
        self.sizes = list(sizes)
        enter, leave = nn.Linear(text_dim, hidden), nn.Linear(hidden, len(sizes) + sum(sizes))
        self.reader = nn.Sequential(enter, nn.ReLU(), nn.Dropout(dropout), leave)
        with torch.no_grad():
            leave.bias[: len(sizes)] += KEEP
        self.weight = nn.Parameter(torch.zeros(len(sizes)))
        self.sharpness = nn.Parameter(torch.zeros(len(sizes)))  # log of the posteriors' exponent
        self.register_buffer("text_mean", torch.zeros(text_dim))
        self.register_buffer("text_scale", torch.ones(()))

    def set_texts(self, texts: torch.Tensor) -> None:
        """Keep mean and size of the training texts' features (M, Dt), of which most is common to all."""
        self.text_mean.copy_(texts.mean(0))
        self.text_scale.copy_((texts - self.text_mean).norm(dim=1).mean().clamp_min(1e-6))

    def forward(self, video: torch.Tensor, texts: torch.Tensor, text_idx: torch.Tensor | None = None):
        """Compose unit queries (B, C) from clips (B, C) and texts (M, Dt); row b has text `text_idx[b]`."""
        said = self.reader((texts - self.text_mean) / self.text_scale)
        said = said if text_idx is None else said.index_select(0, text_idx)
        keep, other = said[:, : len(self.sizes)], said[:, len(self.sizes) :]
        parts = []
        for part, kept, value in zip(self._posteriors(video), keep.T, other.split(self.sizes, 1)):
            choice = torch.cat([kept[:, None], value], 1).softmax(1)
            parts.append(choice[:, :1] * part + choice[:, 1:])
        return self._weigh(parts)

    def embed_target(self, video: torch.Tensor) -> torch.Tensor:
        """Make targets and galleries (G, C) comparable with queries."""
        return self._weigh(self._posteriors(video))

    def target_views(self, target: torch.Tensor) -> list[tuple[float, torch.Tensor]]:
        """Return targets with their weight in the loss."""
        return [(1.0, self.embed_target(target))]

    def _posteriors(self, video: torch.Tensor) -> list[torch.Tensor]:
        return [(exp * of).softmax(1) for of, exp in zip(video.split(self.sizes, 1), self.sharpness.exp())]

    def _weigh(self, parts: list[torch.Tensor]) -> torch.Tensor:
        weighed = [weight * part for weight, part in zip(self.weight.softmax(0).sqrt(), parts)]
        return unit(torch.cat(weighed, 1))

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        save_model(self, self.config, folder)

    @classmethod
    def load(cls, folder: Path) -> "Composer":
        """Read what `save_pretrained` wrote, in eval mode."""
        return load_model(lambda config: cls(**config), "a composer", folder)
