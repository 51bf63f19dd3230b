"""How a query clip and a modification become one embedding: z_qm = MLP(z_q, z_m) of the paper's section 4.

`Combiner` is that MLP, `Fusion` the MLP with the text projection z_m = P(E_text(T_m)); `unit_average` needs
no training. `Fusion` computes what the official code does unless an option says otherwise: raw clip vector,
unit text vector, unit result.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..encoders.tokens import Tokens
from .model_folder import load_model, save_model
from .towers import TextTower, read_tokens, tower_config


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Scale rows to length 1, in float32 at least; a row of zeros stays one.

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)


def unit_average(video_emb: torch.Tensor, text_emb: torch.Tensor) -> torch.Tensor:
    """Average the unit vectors of clip and text, both (B, D), and give the unit result (B, D)."""
    return unit(unit(video_emb) + unit(text_emb))


class Combiner(nn.Module):
    """The official combiner, with its names: an MLP over both inputs, added to their gated sum."""

    def __init__(self, feature_dim: int, projection_dim: int, hidden_dim: int, dropout: float = 0.5):
        super().__init__()
        self.text_projection_layer = nn.Linear(feature_dim, projection_dim)
        self.image_projection_layer = nn.Linear(feature_dim, projection_dim)
        self.combiner_layer = nn.Linear(2 * projection_dim, hidden_dim)
        self.output_layer = nn.Linear(hidden_dim, feature_dim)
        enter, leave = nn.Linear(2 * projection_dim, hidden_dim), nn.Linear(hidden_dim, 1)
        self.dynamic_scalar = nn.Sequential(enter, nn.ReLU(), nn.Dropout(dropout), leave, nn.Sigmoid())
        self.dropout = nn.Dropout(dropout)

    def forward(self, video: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Combine raw clip vectors and unit text vectors, both (B, D), into unit queries (B, D)."""
        projected = torch.cat([self.text_projection_layer(text), self.image_projection_layer(video)], dim=-1)
        both = self.dropout(F.relu(projected))
        mixture = self.output_layer(self.dropout(F.relu(self.combiner_layer(both))))
        gate = self.dynamic_scalar(both)
        return unit(mixture + gate * text + (1 - gate) * video)


class Fusion(nn.Module):
    """Text projection and combiner: what stage 2 trains, with the text tower where that is trained too.

    centre: subtract the training means (`set_means`) from clips, targets and text features. unit_video: scale
    the query's clip vector to length 1. use_video=False puts zeros in its place, as a control.
    """

    def __init__(
        self,
        video_dim: int,
        text_dim: int,
        projection_dim: int,
        hidden_dim: int,
        dropout: float = 0.5,
        *,
        centre: bool = False,
        unit_video: bool = False,
        use_video: bool = True,
        tower: nn.Module | None = None,
    ):
        super().__init__()
        sizes = {"video_dim": video_dim, "text_dim": text_dim, "projection_dim": projection_dim}
        sizes |= {"hidden_dim": hidden_dim, "dropout": dropout}
        self.config = {**sizes, "centre": centre, "unit_video": unit_video, "use_video": use_video}
        self.tower = tower
        self.text_projection = nn.Linear(text_dim, video_dim)
        self.combiner = Combiner(video_dim, projection_dim, hidden_dim, dropout)
        for name, size in (("video_mean", video_dim), ("target_mean", video_dim), ("text_mean", text_dim)):
            self.register_buffer(name, torch.zeros(size))

    def set_means(self, video: torch.Tensor, target: torch.Tensor, text: torch.Tensor | None) -> None:
        """Keep the means of training vectors (N, D); None for a trained tower's features, which move."""
        for mean, vectors in ((self.video_mean, video), (self.target_mean, target), (self.text_mean, text)):
            if vectors is not None:
                mean.copy_(vectors.mean(0))

    def forward(
        self, video: torch.Tensor, texts: torch.Tensor | Tokens, text_idx: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compose unit queries (B, D) from clip vectors (B, D) and texts: features (M, Dt), or tokens for the
        tower.

        text_idx: (B,) the text of each clip; without it, row i of the clips goes with row i of the texts. A
        text that many clips share is read once, and in training they then share the tower's dropout.
        """
        if self.config["centre"]:
            video = video - self.video_mean
        if self.config["unit_video"]:
            video = unit(video)
        if not self.config["use_video"]:
            video = torch.zeros_like(video)
        if text_idx is None:
            return self.combiner(video, self.embed_text(texts))
        rows, place = text_idx.unique(return_inverse=True)
        # index_select sums its gradient in one order, unlike [place], so the same seed gives the same
        # numbers.
        return self.combiner(video, self.embed_text(texts[rows]).index_select(0, place))

    def embed_text(self, texts: torch.Tensor | Tokens) -> torch.Tensor:
        """Project texts, features (M, Dt) or tokens, to unit vectors (M, D)."""
        features = read_tokens(self.tower, texts) if isinstance(texts, Tokens) else texts
        return unit(self.text_projection(features - self.text_mean))

    def embed_target(self, video: torch.Tensor) -> torch.Tensor:
        """Make targets and galleries (G, D) comparable with queries: unit, centred where the queries are."""
        return unit(video - self.target_mean)

    def target_views(self, video: torch.Tensor) -> list[tuple[float, torch.Tensor]]:
        """Give what queries are trained towards, with weights in the loss: here the targets (B, D) alone."""
        return [(1.0, self.embed_target(video))]

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        tower = None if self.tower is None else self.tower.config.to_dict()
        save_model(self, self.config | {"tower": tower}, folder)

    @classmethod
    def load(cls, folder: Path) -> "Fusion":
        """Read what `save_pretrained` wrote, in eval mode."""

        def build(config: dict) -> Fusion:
            sizes = {name: value for name, value in config.items() if name not in ("tower", "use_text")}
            return cls(**sizes, tower=config["tower"] and TextTower(tower_config(**config["tower"])))

        return load_model(build, "a fusion", folder)
