"""A query read by a model that sees clip and text together, in the place of the fusion: CoVR, ECDE, BSE-CoVR and BLIP-2's own.

`training.stage2.fit_fusion` trains it, from image tokens in memory; the ViT below stays frozen, as officially, unless vision is
what trains.
"""

from dataclasses import dataclass

import torch
from torch import nn

from ..encoders import Encoder
from ..encoders.tokens import Tokens
from ..training.fusion import unit

ECDE = 0.8  # share of the modification in ECDE's query, and of the plain target in its loss; the rest is the description's


@dataclass(frozen=True)
class Way:
    """How a query is read. part: what of the model reads it, and trains: text, vision or composed. described: "" without
    descriptions; "averaged" as in ECDE; "grounded" as in BSE-CoVR."""

    part: str
    described: str = ""


class Composed(nn.Module):
    """An encoder with cross-attention. Queries are rows of clips held here: what the encoder reads of each, and its description.

    seen: (N, L, Dv) image tokens of a clip's middle frame; for the part "vision" that frame itself, uint8 (N, 1, H, W, 3).
    descriptions: N texts. Neither is needed to `embed`.
    """

    def __init__(
        self, encoder: Encoder, way: Way, seen: torch.Tensor | None = None, descriptions: Tokens | None = None
    ):
        super().__init__()
        self.encoder, self.way, self.seen, self.descriptions = encoder, way, seen, descriptions
        if way.described == "grounded" and encoder.prompt_proj is None:
            encoder.add_prompt_proj()
        views = 2 if way.described == "averaged" else 1
        self.register_buffer(
            "target_mean", torch.zeros(views, encoder.dim), persistent=False
        )  # 0: nothing is taken off

    def train_part(self) -> None:
        """Let train what the official code trains for this way of reading."""
        for parameter in self.encoder.trained_parameters(self.way.part):
            parameter.requires_grad_(True)

    def forward(self, rows: torch.Tensor, texts: Tokens, text_idx: torch.Tensor) -> torch.Tensor:
        """Rows (B,) of clips and of texts -> unit queries (B, E)."""
        return self.embed(
            self.seen[rows] if self.seen is not None else None,
            texts[text_idx],
            self.descriptions[rows] if self.descriptions is not None else None,
        )

    def embed(
        self, seen: torch.Tensor | None, texts: Tokens, descriptions: Tokens | None = None
    ) -> torch.Tensor:
        """What is seen of B clips, B texts and, where the way needs them, B descriptions -> unit queries (B, E)."""
        if self.way.part == "text":
            return unit(self.encoder.read_text(texts))
        if self.way.part == "vision":
            return unit(self.encoder.see(self.encoder.encode_tokens(seen)[:, 0]))
        if self.way.described == "averaged":
            return unit(
                ECDE * self.encoder.compose(seen, texts)
                + (1 - ECDE) * self.encoder.compose(seen, descriptions)
            )
        if self.way.described == "grounded":
            return unit(self.encoder.compose(seen, texts, self.encoder.ground(descriptions)))
        return unit(self.encoder.compose(seen, texts))

    def embed_target(self, target: torch.Tensor) -> torch.Tensor:
        """Mean features of clips (G, E), a second view of each perhaps behind them (G, 2E) -> unit (G, E)."""
        return self._centred(target)[0]

    def target_views(self, target: torch.Tensor) -> list[tuple[float, torch.Tensor]]:
        """The clips, and for ECDE the clips read together with their descriptions; with their weights in the loss."""
        if self.way.described != "averaged":
            return [(1.0, self.embed_target(target))]
        return list(zip((ECDE, 1 - ECDE), self._centred(target)))

    def set_mean(self, target: torch.Tensor) -> None:
        """Take the mean over these clips (G, E or 2E) off every target."""
        self.target_mean = target.unflatten(1, (-1, self.encoder.dim)).mean(0)

    def _centred(self, target: torch.Tensor) -> list[torch.Tensor]:
        """The views (G, E) that `target` holds, without their means, unit."""
        return [unit(view - mean) for view, mean in zip(target.split(self.encoder.dim, 1), self.target_mean)]
