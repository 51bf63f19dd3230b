"""The settings of stage 1, stage 2 and the single stage, for each profile.

`paper` follows the paper's words, and the official code where the paper gives no value. Where the two differ,
a setting says so; `dataclasses.replace` or `--set key=value` chooses it; `kinds` says what each takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from .kinds import Count, Positive, Rate, Ratio, Settings, Share, Weight, Whole, Width
from .losses import TEMPERATURE


@dataclass(frozen=True)
class Stage1Settings(Settings):
    """Settings of stage 1; the defaults are the official code's, whose head starts from smaller weights."""

    epochs: Count = 100
    batch: Count = 64
    lr: Positive = 1e-5
    weight_decay: Weight = 0.05  # not of parameters with one dimension, nor of embeddings over time
    warm_up: Share = 0.025  # share of the steps: 2.5 of 100 epochs
    label_smoothing: Share = 0.0
    adapter_ratio: Ratio = 0.25  # width of AIM's adapters, as a share of the tower's
    num_tadapter: Literal[1, 2] = 1  # 2 as officially on Something-Something, with scale 1
    scale: Weight = 0.5  # of the joint adapter
    drop_path: Rate = 0.2
    head_dropout: Rate = 0.5  # of the clip feature before the heads
    gradient_checkpointing: bool = False  # recompute AIM's layers in the backward pass: saves memory
    compile: bool = False  # AIM by torch.compile: minutes to start, faster steps on a GPU
    augment: Literal["crop", "none"] = "crop"  # of pixels only
    factor_weight: Weight = 0.0  # of the attributes' heads, where the reader has them
    contrast_weight: Weight = 0.0  # of supervised contrast between clip features
    contrast_temperature: Positive = 0.1
    shuffle_frames: bool = False  # a control: a new order of the frames each time a clip is read
    clip_norm: Weight = 1.0  # largest norm of the gradient
    precision: Literal["auto", "float32", "bf16"] = "auto"  # bf16 where the machine computes it faster
    save_every_s: Weight = 60.0  # seconds between checkpoints within an epoch


def _by_profile(smoke, mini, sim, paper) -> dict:
    return {"smoke": smoke, "mini": mini, "sim": sim, "released": paper, "paper": paper}


# AIM's adapters, trained from pixels. "paper" is the official code's; val of mini chose the rest.
_ADAPTERS = Stage1Settings(epochs=3, batch=16, lr=2.5e-3, warm_up=0.05, label_smoothing=0.1, augment="none")
_ADAPTERS = replace(_ADAPTERS, adapter_ratio=0.5, drop_path=0.0, head_dropout=0.2)
_ADAPTERS_SIM = replace(_ADAPTERS, epochs=12, batch=64, augment="crop")
STAGE1 = _by_profile(replace(_ADAPTERS, epochs=2), _ADAPTERS, _ADAPTERS_SIM, Stage1Settings())
# Readers of frame features in memory.
_READERS = Stage1Settings(epochs=12, batch=64, lr=2e-3, warm_up=0.1, label_smoothing=0.1, head_dropout=0.2)
_READERS_SIM = replace(_READERS, epochs=30, batch=256)
STAGE1_READERS = _by_profile(replace(_READERS, epochs=6, batch=32), _READERS, _READERS_SIM, _READERS_SIM)


@dataclass(frozen=True)
class Stage2Settings(Settings):
    """Settings of stage 2; the defaults are the paper's, or the official code's where it gives none."""

    loss: Literal["info_nce", "hn_nce", "hn_nce_official", "multi_positive"] = "info_nce"  # hn_nce at beta 0
    beta: Weight = 0.0  # of the hn_nce losses; the official configuration has 0.5, the paper's best is 0
    pull_all: bool = False  # multi_positive: attract all right answers of the batch, not only spare them
    caption_weight: Share = 0.0  # of the target's description in the loss; CoVR's si_ti+si_tc is 0.5
    temperature: Positive = TEMPERATURE
    lr: Positive = 1e-5
    weight_decay: Weight = 0.05  # of all parameters, biases too, as officially
    batch: Count = 512
    epochs: Count = 5  # official configuration; its README tests with 100
    steps: Whole = 0  # instead of epochs, where above 0
    # The rate changes each epoch (official), or each step ("cosine").
    schedule: Literal["cosine_epoch", "cosine", "constant"] = "cosine_epoch"
    warmup: Whole = 0  # steps of linear warm-up
    projection_dim: Width = 3072
    hidden_dim: Width = 6144
    dropout: Rate = 0.5
    text_tower: Literal["frozen", "trained"] = "frozen"  # the paper's words; the official code trains it
    train_words: bool = False  # a trained tower's word embeddings too; officially tied to a frozen head
    centre: bool = False  # subtract the training means of clips, targets and text features
    unit_video: bool = False  # scale the query's clip vector to length 1
    use_video: bool = True  # False: a control that reads the text alone
    select_every: Whole = 0  # steps between validations; 0 is an epoch
    precision: Literal["float32", "bf16"] = "float32"  # bf16 needs no scaling, unlike the official 16-mixed


_SMALL = Stage2Settings(lr=1e-3, batch=256, steps=500, schedule="cosine", projection_dim=256, hidden_dim=512)
_SMALL = replace(_SMALL, dropout=0.3, centre=True, unit_video=True, select_every=50)
_SMOKE = replace(_SMALL, batch=64, steps=100, select_every=20)
STAGE2 = _by_profile(
    _SMOKE, _SMALL, replace(_SMALL, batch=512, steps=3000, select_every=250), Stage2Settings()
)
# Models that read clip and text together; "paper" is what the code of CoVR, ECDE and BSE-CoVR trains with.
COVR_LOSS = {"loss": "hn_nce_official", "beta": 0.5}
_JOINT = Stage2Settings(
    lr=1e-3, batch=64, steps=300, schedule="cosine", warmup=20, centre=True, select_every=50
)
_JOINT_SMOKE = replace(_JOINT, batch=32, steps=40, select_every=20)
_JOINT_SIM = replace(_JOINT, batch=256, steps=3000, select_every=250)
COMPOSED = _by_profile(_JOINT_SMOKE, _JOINT, _JOINT_SIM, Stage2Settings(**COVR_LOSS))


@dataclass(frozen=True)
class SingleStageSettings(Settings):
    """Settings of the single stage; sizes and rates are those of the two stages at mini's size."""

    steps: Count = 500
    batch: Count = 128  # triplets
    lr: Positive = 2e-3
    weight_decay: Weight = 0.05
    warm_up: Share = 0.1  # share of the steps
    multi_positive: bool = True  # targets of one label are no negatives of each other
    temperature: Positive = TEMPERATURE
    label_weight: Weight = 1.0  # of classification, added to contrast
    label_smoothing: Share = 0.1
    pooling: Literal["mean", "text"] = "mean"  # of the query clip's frames; the text may weigh them
    projection_dim: Width = 256
    hidden_dim: Width = 512
    dropout: Rate = 0.3  # of the fusion
    clip_norm: Weight = 1.0  # largest norm of the gradient
    select_every: Count = 50  # steps between validations


_SINGLE_SMOKE = SingleStageSettings(steps=100, batch=64, select_every=20)
_SINGLE_SIM = SingleStageSettings(steps=3000, batch=256, select_every=250)
SINGLE_STAGE = _by_profile(_SINGLE_SMOKE, SingleStageSettings(), _SINGLE_SIM, _SINGLE_SIM)


def vary_loss(stage2: Stage2Settings, betas: Sequence[float]) -> dict[str, dict]:
    """The rows of Table 5 and two losses more: name -> the settings in which it differs from `tfcovr-base`.

    betas: weights of hard negatives beside the paper's.
    """
    weights = sorted({*betas, 0.7, 0.5, 0.3, 0.0}, reverse=True)
    losses = {f"hn-{beta:g}": replace(stage2, loss="hn_nce", beta=beta) for beta in weights}
    losses["hn-official-0.5"] = replace(stage2, loss="hn_nce_official", beta=0.5)
    losses["multi-positive"] = replace(stage2, loss="multi_positive")
    losses["multi-positive-pulled"] = replace(stage2, loss="multi_positive", pull_all=True)
    return {f"tfcovr-base-{name}": {"stage2": settings} for name, settings in losses.items()}


_PAPER_AND_CODE = """
hard-negative loss | each row weighted by its own negatives | \
a row's weights are divided by the sums of other rows | loss=hn_nce_official
beta | 0 is best and the method's | 0.5 by default | beta=0.5
loss of CoVR, ECDE and BSE-CoVR | hard negatives, beta 0.5 | the same sums of other rows, beta 0.5 | \
loss=hn_nce_official beta=0.5, as profile paper and the rows of BSE-CoVR have
captions in CoVR's loss | half of it, where used | loss_terms=si_ti+si_tc: 0.5 each | \
caption_weight=0.5, the row blip-covr-captions-ft
text encoder | BLIP-2's, frozen | the Q-Former's text branch from BERT-base, trained | text_tower=trained
second text encoder | not named | model=aim_clip: the frozen text branch of CLIP RN50 | \
none: such a checkpoint is refused
word embeddings | frozen with the tower | tied to a frozen head, so frozen | train_words=True trains them
query clip | the stage-1 vector | the vector as it is, not unit | \
unit_video=True makes it unit (default at mini's size)
means | not taken off | not taken off | centre=True takes them off (default at mini's size)
learning rate | cosine | cosine from epoch to epoch, held within one | \
schedule=cosine_epoch, or cosine for step by step
epochs | not given | 5 in the configuration, 100 in the README | epochs=100
frames | 12, and 15 for rows of a mean frame | 15 in its embeddings of BLIP and BLIP-2 | score --frames 15
pooled targets | not said | not unit again in TF-CoVR's test of BLIP-2; unit in CoVR's of BLIP | \
score --as tf-covr
pooling of CoVR | by the caption | softmax of the annotations' scores / 0.1; the mean without scores | \
score --as covr, bse-covr or ecde
texts of CoVR | not said | full stops dropped, digits kept; TF-CoVR keeps stops and spells numbers | \
score --as covr, bse-covr or ecde
cuts | not said | 30 words; in tests 64 tokens, here 64 with BLIP and 32 with BLIP-2 | \
score --as tf-covr; rows of BSE-CoVR are cut with --as bse-covr only
descriptions of BSE-CoVR | by a model | the owners', txt1 | score --as bse-covr; by default a captioner's
ECDE's query | modification and description | trained so, tested by the modification alone | score --as ecde
gallery | several right answers each | the column of one target a query, repetitions kept | protocol official
"""


def paper_and_code() -> pd.DataFrame:
    """List where the paper's words and its official code differ, and the option that follows the code."""
    rows = [line.split(" | ") for line in _PAPER_AND_CODE.strip().splitlines()]
    return pd.DataFrame(rows, columns=["what", "the paper says", "the released code does", "option here"])
