"""A model that reads clip and text together, in place of the fusion: CoVR, ECDE, BSE-CoVR and BLIP-2's own.

`training.stage2.fit_fusion` trains it on image tokens in memory. The image encoder stays frozen, as in the
official code, except in the way "vision".
"""

from dataclasses import dataclass

import torch
from torch import nn

from ..encoders import Encoder
from ..encoders.tokens import Tokens
from ..training.fusion import unit

ECDE = 0.8  # weight of the modification in the query, and of the plain target in the loss


@dataclass(frozen=True)
class Way:
    """How a query is read.

    part: the part of the model that reads it, and is trained: text, vision or composed. described: "" without
    descriptions, "averaged" as in ECDE, "grounded" as in BSE-CoVR. writer: of the descriptions.
    """

    part: str
    described: str = ""
    writer: str = "captioner"


class Composed(nn.Module):
    """An encoder with cross-attention, and the N clips that its queries come from.

    seen: (N, L, Dv) image tokens of each clip's middle frame; for the part "vision" that frame itself, uint8
    (N, 1, H, W, 3). descriptions: N texts. `embed` needs neither.
    """

    def __init__(
        self, encoder: Encoder, way: Way, seen: torch.Tensor | None = None, descriptions: Tokens | None = None
    ):
        super().__init__()
        self.encoder, self.way, self.seen, self.descriptions = encoder, way, seen, descriptions
        if way.described == "grounded" and encoder.prompt_proj is None:
            encoder.add_prompt_proj()
        views = 2 if way.described == "averaged" else 1
        self.register_buffer("target_mean", torch.zeros(views, encoder.dim), persistent=False)

    def train_part(self) -> None:
        """Unfreeze the parameters that the official code trains in this way."""
        for parameter in self.encoder.trained_parameters(self.way.part):
            parameter.requires_grad_(True)

    def forward(self, rows: torch.Tensor, texts: Tokens, text_idx: torch.Tensor) -> torch.Tensor:
        """Embed clips and texts, given as rows (B,) of `seen` and of `texts`, as unit queries (B, E)."""
        seen = None if self.seen is None else self.seen[rows]
        descriptions = None if self.descriptions is None else self.descriptions[rows]
        return self.embed(seen, texts[text_idx], descriptions)

    def embed(
        self, seen: torch.Tensor | None, texts: Tokens, descriptions: Tokens | None = None
    ) -> torch.Tensor:
        """Embed B clips (`seen`), B texts and, if the way uses them, descriptions as unit queries (B, E)."""
        encoder, described = self.encoder, self.way.described
        if self.way.part == "text":
            return unit(encoder.read_text(texts))
        if self.way.part == "vision":
            return unit(encoder.read_image(encoder.encode_tokens(seen)[:, 0]))
        if described == "averaged":
            return unit(
                ECDE * encoder.compose(seen, texts) + (1 - ECDE) * encoder.compose(seen, descriptions)
            )
        if described == "grounded":
            return unit(encoder.compose(seen, texts, encoder.ground(descriptions)))
        return unit(encoder.compose(seen, texts))

    def embed_target(self, target: torch.Tensor, unit_length: bool = True) -> torch.Tensor:
        """Make targets (G, E), unit by default, of clips (G, E), or of the first of two views (G, 2E)."""
        if not unit_length:
            return target[:, : self.encoder.dim] - self.target_mean[0]
        return self._centred(target)[0]

    def target_views(self, target: torch.Tensor) -> list[tuple[float, torch.Tensor]]:
        """Return targets with their weights in the loss; ECDE's second are clips read with descriptions."""
        if self.way.described != "averaged":
            return [(1.0, self.embed_target(target))]
        return list(zip((ECDE, 1 - ECDE), self._centred(target)))

    def set_mean(self, target: torch.Tensor) -> None:
        """From now on subtract the mean over these clips (G, E or 2E) from every target."""
        self.target_mean = target.unflatten(1, (-1, self.encoder.dim)).mean(0)

    def _centred(self, target: torch.Tensor) -> list[torch.Tensor]:
        """Split targets into views (G, E), subtract their means and make them unit."""
        return [unit(view - mean) for view, mean in zip(target.split(self.encoder.dim, 1), self.target_mean)]
