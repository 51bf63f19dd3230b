"""The benchmark that renders itself: an articulated figure doing gymnastics and diving skills.

`skills` says what is performed, `motion` how, `scene` how it looks; `dataset` lays out the clips and
`build` writes them.
"""

from .build import benchmark_dir, build, check
from .captions import middle_frames
from .dataset import plan, render_clip, render_hall

__all__ = ["benchmark_dir", "build", "check", "middle_frames", "plan", "render_clip", "render_hall"]
