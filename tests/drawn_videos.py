"""Videos whose frames show their own numbers, written in ways that `write_clip` does not."""

from fractions import Fraction

import av
import numpy as np

from tfcovr_utils.video.request import check_rate

BITS = 9


HEIGHT, WIDTH = 48, 16 * BITS


def drawn_clip(n_frames, height=HEIGHT, width=WIDTH):
    """(T, H, W, 3) uint8: frame i shows i in binary, black and white blocks from left to right."""
    bits = (np.arange(n_frames)[:, None] >> np.arange(BITS)) & 1
    columns = bits[:, np.arange(width) * BITS // width] * 255
    return np.broadcast_to(columns[:, None, :, None], (n_frames, height, width, 3)).astype(np.uint8)


def numbers(frames):
    """The number drawn in each frame, read from the middle of its blocks."""
    _, height, width, _ = frames.shape
    centres = (2 * np.arange(BITS) + 1) * width // (2 * BITS)
    return ((frames[:, height // 2, centres, :].mean(-1) > 127) << np.arange(BITS)).sum(1).tolist()


def encode(
    path, frames, rate=25, codec="libx264", pix_fmt="yuv420p", options=None, pts=None, rotation=0, muxer=None
):
    """Write a clip in ways write_clip does not; `pts` are in units of 1 / `rate` seconds."""
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=check_rate(rate), options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            if pts is not None:
                picture.pts, picture.time_base = int(pts[index]), 1 / Fraction(rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path
