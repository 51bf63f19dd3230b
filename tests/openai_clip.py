"""OpenAI's CLIP written plainly, with its names of weights: the reference of our loaders."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

CONTEXT, PROJECTION, PATCH, SIZE = 12, 48, 8, 32


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn, self.ln_1, self.ln_2 = (
            nn.MultiheadAttention(width, heads, batch_first=True),
            nn.LayerNorm(width),
            nn.LayerNorm(width),
        )
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(width, 4 * width), c_proj=nn.Linear(4 * width, width))
        )

    def forward(self, x, mask):
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, attn_mask=mask)[0]
        hidden = self.mlp.c_fc(self.ln_2(x))
        return x + self.mlp.c_proj(hidden * torch.sigmoid(1.702 * hidden))


class Transformer(nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, width // 64) for _ in range(layers))

    def forward(self, x, mask=None):
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Vit(nn.Module):
    def __init__(self, width=128, layers=2):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((SIZE // PATCH) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Transformer(width, layers)
        self.proj = nn.Parameter(torch.empty(width, PROJECTION))

    def pool(self, pixels):
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        return self.ln_post(self.transformer(self.ln_pre(x))[:, 0])

    def forward(self, pixels):
        return self.pool(pixels) @ self.proj


class Bottleneck(nn.Module):
    def __init__(self, inside, width, stride):
        super().__init__()
        self.stride = stride
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        if stride > 1 or inside != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inside, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(F.avg_pool2d(y, self.stride)))
        return F.relu(
            y + (self.downsample(F.avg_pool2d(x, self.stride)) if hasattr(self, "downsample") else x)
        )


class AttentionPool(nn.Module):
    def __init__(self, width, positions, heads, out):
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.empty(positions + 1, width))
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.c_proj = nn.Linear(width, out)

    def pool(self, x):
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positional_embedding
        q, k, v = (
            linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for linear in (self.q_proj, self.k_proj, self.v_proj)
        )
        weights = (q[:, :, :1] @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(1)


class ResNet(nn.Module):
    def __init__(self, width=64, layers=(3, 4, 6, 3), out=1024):
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = nn.Conv2d(3, half, 3, 2, 1, bias=False), nn.BatchNorm2d(half)
        self.conv2, self.bn2 = nn.Conv2d(half, half, 3, 1, 1, bias=False), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = nn.Conv2d(half, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        inside = width
        for stage, depth in enumerate(layers):
            blocks = []
            for block in range(depth):
                blocks.append(Bottleneck(inside, width << stage, 2 if stage and not block else 1))
                inside = 4 * width << stage
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.attnpool = AttentionPool(inside, (224 // 32) ** 2, inside // 64, out)

    def pool(self, pixels):
        x = pixels
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(conv(x)))
        x = F.avg_pool2d(x, 2)
        return self.attnpool.pool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))

    def forward(self, pixels):
        return self.attnpool.c_proj(self.pool(pixels))


class Official(nn.Module):
    """`encode_text` is given whole rows of tokens, the last kind of token being the end."""

    def __init__(self, visual, vocabulary, projection=PROJECTION, width=64, layers=2):
        super().__init__()
        self.visual, self.transformer = visual, Transformer(width, layers)
        self.token_embedding, self.ln_final = nn.Embedding(vocabulary, width), nn.LayerNorm(width)
        self.positional_embedding = nn.Parameter(torch.empty(CONTEXT, width))
        self.text_projection = nn.Parameter(torch.empty(width, projection))
        self.logit_scale = nn.Parameter(torch.ones([]))

    def encode_text(self, tokens):
        length = tokens.shape[1]
        mask = torch.full((length, length), -torch.inf).triu(1)
        x = self.ln_final(
            self.transformer(self.token_embedding(tokens) + self.positional_embedding[:length], mask)
        )
        return x[torch.arange(len(x)), tokens.argmax(-1)] @ self.text_projection

    def forward(self, pixels, tokens):
        return self.visual(pixels), self.encode_text(tokens)


def randomise(model):
    """Random weights of which each matters, in half precision as officially; features near one."""
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.ndim > 1:
            value.normal_(std=value[0].numel() ** -0.5)
        elif value.is_floating_point():
            value.normal_(std=0.1).add_(1.0 if name.endswith("weight") else 0.0)
    return model.half().float().eval().requires_grad_(False)


def half(model):
    return {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
