"""What the tests of pretraining share: labels that are rendered, what no caption may say, some pictures."""

import re

import numpy as np

from tfcovr_utils.rendering.skills import SKILLS

LABELLED = sorted(
    {skill for name in ("sim", "mini") for skill in SKILLS[name]},
    key=lambda skill: (skill.apparatus, skill.text),
)


COUNTS_AND_WAYS = re.compile(
    r"\d|\b(one|two|three|four|five|once|twice|single|double|triple|half|halves|quarter|full|first|second|third|"
    r"forwards?|backwards?|reverse|inwards?|outwards?|salto|somersaults?|soms?|flip|twist\w*|turn\w*|spin\w*|rotat\w*|revolution)\b"
)


def some(rendered):
    rows = np.sort(np.random.default_rng(0).permutation(len(rendered[0]))[:96])
    return rendered[0][rows], rendered[1].iloc[rows]
