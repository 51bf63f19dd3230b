"""One training step of stage 1, ours against a plain implementation after the official code, in one run.

The plain one keeps (L, N, D) axes, nn.MultiheadAttention, rearranged copies and float32. Both start from
the same weights, give the same features or the benchmark stops, and train the same parameters; their steps
alternate, so that what else the machine does meets both.

    python benchmarks/bench_aim.py            the mini profile's size, on the CPU, as in `make bench`
    python benchmarks/bench_aim.py --paper    ViT-B/16, 12 x 224 x 224, 306 classes; on a GPU if there is one:
                                              bf16 and compiled too, with clips a second and the share of the
                                              card's matrix rate
"""

import statistics
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from time import perf_counter

import torch
from comparing import compare, main, row
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel

from tfcovr_utils.encoders.aim_model import Aim, AimClassifier
from tfcovr_utils.encoders.key_maps import AIM, rename

NUM_FRAMES = 12
SCALE = 0.5
SIZES = {
    "mini": {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 16,
    },
    "paper": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 16,
    },
}
NUM_CLASSES = {"mini": 40, "paper": 306}
BATCH, REPEATS = 16, 12
WARM_UP = 3  # steps that load, count and compile
MATRIX = 8192  # side of the square product that shows what the card can do


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class PlainAdapter(nn.Module):
    def __init__(self, width, skip, ratio=0.25):
        super().__init__()
        self.skip = skip
        self.D_fc1, self.D_fc2, self.act = (
            nn.Linear(width, int(width * ratio)),
            nn.Linear(int(width * ratio), width),
            nn.GELU(),
        )

    def forward(self, x):
        change = self.D_fc2(self.act(self.D_fc1(x)))
        return x + change if self.skip else change


class PlainBlock(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        for name, module in (
            ("c_fc", nn.Linear(width, hidden)),
            ("gelu", QuickGelu()),
            ("c_proj", nn.Linear(hidden, width)),
        ):
            self.mlp.add_module(name, module)
        self.T_Adapter, self.S_Adapter, self.MLP_Adapter = (
            PlainAdapter(width, skip) for skip in (False, True, False)
        )

    def attention(self, x):
        return self.attn(x, x, x, need_weights=False)[0]

    def forward(self, x):
        n, bt, d = x.shape
        b = bt // NUM_FRAMES
        over_time = x.view(n, b, NUM_FRAMES, d).permute(2, 1, 0, 3).reshape(NUM_FRAMES, b * n, d)
        over_time = self.T_Adapter(self.attention(self.ln_1(over_time)))
        x = x + over_time.view(NUM_FRAMES, b, n, d).permute(2, 1, 0, 3).reshape(n, bt, d)
        x = x + self.S_Adapter(self.attention(self.ln_1(x)))
        normed = self.ln_2(x)
        return x + self.mlp(normed) + SCALE * self.MLP_Adapter(normed)


class PlainAim(nn.Module):
    """State-dict names are the official backbone's."""

    def __init__(
        self, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, image_size, patch_size
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, hidden_size, patch_size, patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(hidden_size))
        self.positional_embedding = nn.Parameter(
            torch.randn((image_size // patch_size) ** 2 + 1, hidden_size)
        )
        self.temporal_embedding = nn.Parameter(torch.zeros(1, NUM_FRAMES, hidden_size))
        self.ln_pre, self.ln_post = nn.LayerNorm(hidden_size), nn.LayerNorm(hidden_size)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(
            *(
                PlainBlock(hidden_size, num_attention_heads, intermediate_size)
                for _ in range(num_hidden_layers)
            )
        )
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(
                any(part in name for part in ("temporal_embedding", "ln_post", "Adapter"))
            )

    def forward(self, pixels):
        b, t = pixels.shape[:2]
        x = self.conv1(pixels.flatten(0, 1)).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        n, d = x.shape[1:]
        x = x.view(b, t, n, d).permute(0, 2, 1, 3).reshape(b * n, t, d) + self.temporal_embedding
        x = self.ln_pre(x.view(b, n, t, d).permute(0, 2, 1, 3).reshape(b * t, n, d))
        x = self.ln_post(self.transformer.resblocks(x.permute(1, 0, 2)).permute(1, 0, 2))
        return x[:, 0].view(b, t, d)


class PlainClassifier(nn.Module):
    def __init__(self, backbone, num_classes):
        super().__init__()
        self.backbone, self.dropout = backbone, nn.Dropout(0.5)
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(backbone.class_embedding.numel(), num_classes)

    def forward(self, pixels):
        return self.cls_head.fc_cls(self.dropout(self.backbone(pixels).mean(1)))


def training_step(model, pixels, labels, bf16, fused):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=fused)

    def step():
        with torch.autocast(pixels.device.type, torch.bfloat16) if bf16 else nullcontext():
            loss = F.cross_entropy(model(pixels), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def make(size, num_classes, batch, device):
    """Both models with the same weights, a batch, and a place for the step of the one design that lives in
    this process."""
    torch.manual_seed(0)
    plain = PlainClassifier(PlainAim(**size), num_classes)
    backbone = Aim(CLIPVisionModel(CLIPVisionConfig(**size)), num_frames=NUM_FRAMES, scale=SCALE)
    ours = AimClassifier(backbone, list(map(str, range(num_classes))))
    ours.load_state_dict(rename(plain.state_dict(), AIM)[0])
    pixels = torch.randn(batch, NUM_FRAMES, 3, size["image_size"], size["image_size"])
    with torch.no_grad():
        torch.testing.assert_close(
            ours.backbone(pixels[:1]), plain.backbone(pixels[:1]), atol=1e-3, rtol=1e-3
        )
    labels = torch.randint(num_classes, (batch,), device=device)
    return {"plain": plain, "ours": ours}, pixels.to(device), labels, {}


def one_step(models, pixels, labels, kept, design="ours", bf16=False, compiled=False):
    """One training step; returns its floating-point operations, the card's memory at its peak, and the
    card's matrix rate."""
    if not kept:
        model = models[design].to(pixels.device)
        kept["step"] = training_step(
            torch.compile(model) if compiled else model, pixels, labels, bf16, fused=design == "ours"
        )
        kept["rate"] = matrix_rate(pixels.device) if pixels.is_cuda else None
        with FlopCounterMode(display=False) as counter:
            kept["step"]()
        kept["flops"] = counter.get_total_flops()
        if pixels.is_cuda:
            torch.cuda.reset_peak_memory_stats()
            kept["before"] = torch.cuda.memory_allocated()
        return None
    kept["step"]()
    if not pixels.is_cuda:
        return None
    torch.cuda.synchronize()
    return kept["flops"], (torch.cuda.max_memory_allocated() - kept["before"]) / 2**20, kept["rate"]


def matrix_rate(device):
    """Multiply-adds x 2 a second of a large bf16 product."""
    left, right = (torch.randn(MATRIX, MATRIX, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(20):
        torch.cuda.synchronize()
        start = perf_counter()
        left @ right
        torch.cuda.synchronize()
        times.append(perf_counter() - start)
    return 2 * MATRIX**3 / statistics.median(times[5:])


def measure(quick=False, paper=False):
    name = "paper" if paper else "mini"
    device = "cuda" if paper and torch.cuda.is_available() else "cpu"
    size, batch = SIZES[name] | ({"num_hidden_layers": 1} if quick else {}), 2 if quick else BATCH
    designs = {"ours float32": one_step, "plain": partial(one_step, design="plain")}
    if device == "cuda":
        designs |= {
            "ours bf16": partial(one_step, bf16=True),
            "ours bf16, compiled": partial(one_step, bf16=True, compiled=True),
        }
    found = compare(
        designs,
        make,
        size,
        NUM_CLASSES[name],
        batch,
        device,
        repeats=2 if quick else REPEATS,
        quick=quick,
        warm_up=WARM_UP,
    )
    rows = []
    for design, measured in found.items():
        note = f"{batch / measured.seconds:,.1f} clips/s, plain {batch / found['plain'].seconds:,.1f}"
        if device == "cuda":  # the memory that counts is the card's
            flops, peak, rate = measured.values[-1]
            found[design] = measured = replace(measured, peak_mib=peak)
            note += f", {flops / measured.seconds / rate:.0%} of the card's {rate / 1e12:.0f} bf16 TFLOP/s"
        rows.append((design, measured, note))
    return [
        row(
            f"stage-1 step, {name} size on {device}, {batch} clips of {NUM_FRAMES} frames",
            f"{design}, SDPA, fused AdamW",
            "MultiheadAttention, rearranged copies, float32",
            batch,
            "clips",
            measured,
            found["plain"],
            note,
        )
        for design, measured, note in rows
        if design != "plain"
    ]


if __name__ == "__main__":
    paper = "--paper" in sys.argv and not sys.argv.remove("--paper")
    main(partial(measure, paper=paper), __doc__)
