"""One training step of stage 1, ours against a plain implementation after the official code, in one run.

The plain one keeps (L, N, D) axes, nn.MultiheadAttention, rearranged copies and float32. Both start from the same
weights and train the same parameters; their steps alternate, so that what else the machine does meets both.

    python benchmarks/bench_aim.py            the mini profile's size, on the CPU
    python benchmarks/bench_aim.py --paper    ViT-B/16, 12 x 224 x 224, 306 classes; on a GPU where there is one
"""

import argparse
import statistics
import time
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel

from tfcovr_utils.encoders.aim_model import Aim, AimClassifier
from tfcovr_utils.encoders.key_maps import AIM, rename

NUM_FRAMES = 12
SCALE = 0.5
SIZES = {
    "mini": {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": 64,
             "patch_size": 16},
    "paper": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224,
              "patch_size": 16},
}
NUM_CLASSES = {"mini": 40, "paper": 306}
WARM_UP = 2  # steps that load and compile
MATRIX = 8192  # side of the square product that shows what the card can do


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class PlainAdapter(nn.Module):
    def __init__(self, width, skip, ratio=0.25):
        super().__init__()
        self.skip = skip
        self.D_fc1, self.D_fc2, self.act = nn.Linear(width, int(width * ratio)), nn.Linear(int(width * ratio), width), nn.GELU()

    def forward(self, x):
        change = self.D_fc2(self.act(self.D_fc1(x)))
        return x + change if self.skip else change


class PlainBlock(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        for name, module in (("c_fc", nn.Linear(width, hidden)), ("gelu", QuickGelu()), ("c_proj", nn.Linear(hidden, width))):
            self.mlp.add_module(name, module)
        self.T_Adapter, self.S_Adapter, self.MLP_Adapter = (PlainAdapter(width, skip) for skip in (False, True, False))

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

    def __init__(self, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, image_size, patch_size):
        super().__init__()
        self.conv1 = nn.Conv2d(3, hidden_size, patch_size, patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(hidden_size))
        self.positional_embedding = nn.Parameter(torch.randn((image_size // patch_size) ** 2 + 1, hidden_size))
        self.temporal_embedding = nn.Parameter(torch.zeros(1, NUM_FRAMES, hidden_size))
        self.ln_pre, self.ln_post = nn.LayerNorm(hidden_size), nn.LayerNorm(hidden_size)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(
            *(PlainBlock(hidden_size, num_attention_heads, intermediate_size) for _ in range(num_hidden_layers)))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(any(part in name for part in ("temporal_embedding", "ln_post", "Adapter")))

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


def seconds(function, device):
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def matrix_rate(device):
    """Multiply-adds x 2 a second of a large bf16 product."""
    left, right = (torch.randn(MATRIX, MATRIX, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = [seconds(lambda: left @ right, device) for _ in range(20)]
    return 2 * MATRIX**3 / statistics.median(times[5:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper", action="store_true", help="the paper's size instead of mini's")
    parser.add_argument("--bf16", action="store_true", help="bf16 autocast too, as always on a GPU")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="compile ours")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    name = "paper" if arguments.paper else "mini"
    device = "cuda" if arguments.paper and torch.cuda.is_available() else "cpu"
    size, num_classes = SIZES[name], NUM_CLASSES[name]

    plain = PlainClassifier(PlainAim(**size), num_classes)
    backbone = Aim(CLIPVisionModel(CLIPVisionConfig(**size)), num_frames=NUM_FRAMES, scale=SCALE)
    ours = AimClassifier(backbone, list(map(str, range(num_classes))))
    ours.load_state_dict(rename(plain.state_dict(), AIM)[0])
    plain, ours = plain.to(device), ours.to(device)
    pixels = torch.randn(arguments.batch, NUM_FRAMES, 3, size["image_size"], size["image_size"], device=device)
    labels = torch.randint(num_classes, (arguments.batch,), device=device)
    with torch.no_grad():
        difference = (plain.backbone(pixels) - ours.backbone(pixels)).abs().max()
    trained, total = (sum(p.numel() for p in parameters) for parameters in (ours.trainable_parameters(), ours.parameters()))
    print(f"{name}: {arguments.batch} clips a step, {trained / 1e6:.2f}M of {total / 1e6:.2f}M parameters train, {device}, "
          f"{arguments.threads} threads; largest difference of frame features {difference:.1e}")

    compiled = torch.compile(ours) if arguments.compile else ours
    steps = {}
    for precision in ("float32", "bf16") if arguments.bf16 or device == "cuda" else ("float32",):
        steps[f"plain {precision}"] = training_step(plain, pixels, labels, precision == "bf16", fused=False)
        steps[f"ours {precision}"] = training_step(compiled, pixels, labels, precision == "bf16", fused=True)
    flops, times = {}, {kind: [] for kind in steps}
    for kind, step in steps.items():
        with FlopCounterMode(display=False) as counter:
            step()
        flops[kind] = counter.get_total_flops()
    for repeat in range(arguments.steps + WARM_UP):
        for kind, step in steps.items():
            took = seconds(step, device)
            if repeat >= WARM_UP:
                times[kind].append(took)
    rate = matrix_rate(device) if device == "cuda" else None
    for kind, values in times.items():
        median = statistics.median(values)
        ratio = statistics.median(times["plain float32"]) / median
        share = f", {flops[kind] / median / rate:.0%} of the card's {rate / 1e12:.0f} bf16 TFLOP/s" if rate else ""
        print(f"{kind:14s} {median * 1e3:9.1f} ms a step  {median / arguments.batch * 1e3:7.2f} ms a clip  "
              f"{arguments.batch / median:8.1f} clips/s  {ratio:5.2f} x{share}")


if __name__ == "__main__":
    main()
