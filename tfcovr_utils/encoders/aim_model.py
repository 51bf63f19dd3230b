"""AIM: adapters let a frozen CLIP vision tower see time (Yang et al., "AIM", ICLR 2023).

The network and its classifier, without files. It agrees with the official ViT_CLIP, except that DropPath
drops a branch clip by clip: the official axes make it drop token positions of the whole batch.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import CLIPVisionModel
from transformers.activations import QuickGELUActivation
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from .positions import interpolate_time

ADAPTER_STD = 0.02  # official; of the first map, the second starts at zero
HEAD_STD = 0.01  # official


class Adapter(nn.Module):
    """Two linear maps with a GELU between them and no skip connection; the output is zero before training."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.D_fc1, self.D_fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.trunc_normal_(self.D_fc1.weight, std=ADAPTER_STD)
        for zero in (self.D_fc1.bias, self.D_fc2.weight, self.D_fc2.bias):
            nn.init.zeros_(zero)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (..., D) -> the same shape."""
        return self.D_fc2(F.gelu(self.D_fc1(x)))

    def after(self, linear: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        """Adapt linear(x). The two maps are multiplied first, since tokens are many more than channels."""
        down = self.D_fc1.weight
        return self.D_fc2(F.gelu(F.linear(x, down @ linear.weight, down @ linear.bias + self.D_fc1.bias)))


class AimBlock(nn.Module):
    """The adapters of one layer of the tower, and the layer's forward pass with them."""

    def __init__(self, width: int, hidden: int, num_tadapter: int, scale: float, drop_path: float):
        super().__init__()
        self.scale, self.drop_path = scale, drop_path
        self.T_Adapter_in = Adapter(width, hidden) if num_tadapter == 2 else None
        self.T_Adapter, self.S_Adapter, self.MLP_Adapter = (Adapter(width, hidden) for _ in range(3))

    def forward(self, x: torch.Tensor, layer: nn.Module, class_only: bool) -> torch.Tensor:
        """Tokens (B, T, N, D) -> the same shape, or the class token alone (B, T, 1, D)."""
        attention = layer.self_attn
        over_time = layer.layer_norm1(x)
        if self.T_Adapter_in is not None:
            over_time = over_time + self.T_Adapter_in(over_time)
        x = x + self._drop(self.T_Adapter.after(attention.out_proj, attend(attention, over_time, over_time)))

        in_frame = layer.layer_norm1(x).flatten(0, 1).unsqueeze(2)  # (B * T, N, 1, D)
        if class_only:
            x = x[:, :, :1]
        attended = attention.out_proj(attend(attention, in_frame[:, : x.shape[2]], in_frame)).view(x.shape)
        x = x + attended + self.S_Adapter(attended)

        normed = layer.layer_norm2(x)
        return x + run_mlp(layer.mlp, normed) + self._drop(self.scale * self.MLP_Adapter(normed))

    def _drop(self, branch: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.drop_path:
            return branch
        keep = branch.new_empty(len(branch), 1, 1, 1).bernoulli_(1 - self.drop_path)
        return branch * keep / (1 - self.drop_path)


def attend(attention: nn.Module, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """CLIP's attention along axis 1 of (S, L, M, D), before its output map: (S, L of the queries, M, D).

    The M places act as M times as many heads, so no axis has to be moved by copying.
    """

    def heads(tokens: torch.Tensor) -> torch.Tensor:
        return tokens.flatten(2).unflatten(2, (-1, attention.head_dim)).transpose(1, 2)

    q, k, v = heads(attention.q_proj(queries)), heads(attention.k_proj(keys)), heads(attention.v_proj(keys))
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        # PyTorch's bfloat16 attention on a CPU is an order of magnitude slower than its float32 one.
        with torch.autocast("cpu", enabled=False):
            attended = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
            return attended.transpose(1, 2).reshape(queries.shape)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(queries.shape)


def run_mlp(mlp: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """CLIP's frozen MLP. x * sigmoid(1.702 x) is silu(1.702 x) / 1.702: one kernel, one kept tensor."""
    if not isinstance(mlp.activation_fn, QuickGELUActivation):
        return mlp(x)
    factor = 1.702
    hidden = F.silu(F.linear(x, mlp.fc1.weight * factor, mlp.fc1.bias * factor))
    return F.linear(hidden, mlp.fc2.weight / factor, mlp.fc2.bias)


class Aim(nn.Module):
    """A CLIP vision tower with AIM's adapters. As officially, all of it but its last layer norm is frozen.

    A fresh Aim gives the frozen tower's own frame features. num_tadapter: 1 or 2 adapters of the time path.
    scale: weight of the adapter beside the MLP. drop_path: rate at the last layer, rising linearly from 0.
    mean, std, source: of the tower's pixels and weights, only recorded. The attribute gradient_checkpointing
    recomputes layers in the backward pass instead of keeping their activations.
    """

    def __init__(
        self,
        tower: CLIPVisionModel,
        *,
        num_frames: int,
        num_tadapter: int = 1,
        scale: float = 0.5,
        adapter_ratio: float = 0.25,
        drop_path: float = 0.0,
        mean=OPENAI_CLIP_MEAN,
        std=OPENAI_CLIP_STD,
        source: str = "",
    ):
        super().__init__()
        if num_tadapter not in (1, 2):
            raise ValueError(f"num_tadapter is {num_tadapter}; AIM has 1 or 2 adapters on its temporal path.")
        self.settings = {"num_frames": num_frames, "num_tadapter": num_tadapter, "scale": scale}
        self.settings |= {"adapter_ratio": adapter_ratio, "drop_path": drop_path}
        self.settings |= {"mean": list(mean), "std": list(std), "source": source}
        self.gradient_checkpointing = False
        self.tower = tower.requires_grad_(False)
        self.tower.post_layernorm.requires_grad_(True)
        width, layers = tower.config.hidden_size, tower.config.num_hidden_layers
        hidden, last = round(width * adapter_ratio), max(layers - 1, 1)
        self.temporal_embedding = nn.Parameter(torch.zeros(1, num_frames, width))
        self.adapters = nn.ModuleList(
            AimBlock(width, hidden, num_tadapter, scale, drop_path * depth / last) for depth in range(layers)
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (B, T, 3, H, W), any T -> the normed class token of each frame (B, T, D)."""
        if pixels.ndim != 5 or pixels.shape[2] != 3:
            raise ValueError(f"pixels have shape {tuple(pixels.shape)}; pass clips as (B, T, 3, H, W).")
        tokens = self.tower.embeddings(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])  # (B, T, N, D)
        over_time = interpolate_time(self.temporal_embedding, pixels.shape[1]).unsqueeze(2)
        x = self.tower.pre_layrnorm(tokens + over_time)
        layers = self.tower.encoder.layers
        for block, layer in zip(self.adapters, layers):
            class_only = layer is layers[-1]  # nothing reads the other tokens after it
            if self.gradient_checkpointing:
                x = checkpoint(block, x, layer, class_only, use_reentrant=False)
            else:
                x = block(x, layer, class_only)
        return self.tower.post_layernorm(x[:, :, 0])

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are not frozen."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


class AimClassifier(nn.Module):
    """Aim, mean over frames, dropout, one linear map to the labels: stage 1, and the official I3DHead."""

    def __init__(self, backbone: Aim, labels: list[str], dropout: float = 0.5):
        super().__init__()
        self.backbone, self.labels = backbone, list(labels)
        self.dropout = nn.Dropout(dropout)
        self.fc_cls = nn.Linear(backbone.temporal_embedding.shape[-1], len(self.labels))
        nn.init.normal_(self.fc_cls.weight, std=HEAD_STD)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (B, T, 3, H, W) -> logits (B, C)."""
        return self.classify(self.backbone(pixels))

    def classify(self, frame_features: torch.Tensor) -> torch.Tensor:
        """Frame features (B, T, D) -> logits (B, C)."""
        return self.fc_cls(self.dropout(frame_features.mean(1)))

    trainable_parameters = Aim.trainable_parameters
