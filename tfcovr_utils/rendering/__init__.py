"""The benchmark that renders itself: an articulated figure doing gymnastics and diving skills.

It knows labels, sources and video, and no model. `skills` lists what is performed, `skeleton`, `poses` and
`motion` say how; `scene`, `camera`, `hall`, `athlete` and `paint` paint it; `dataset` lays out the clips
and `build` writes them. `captions` and `pretraining_pictures` make single frames with captions, and
`shortcuts` looks for cues other than motion.
"""

from .build import benchmark_dir, build, check
from .captions import middle_frames
from .dataset import plan, render_clip, render_hall

__all__ = ["benchmark_dir", "build", "check", "middle_frames", "plan", "render_clip", "render_hall"]
