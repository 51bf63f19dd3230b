"""Open a video file and walk over its packets and frames, with PyAV."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np

from .request import VideoError, check_file, clip_name

CONTAINERS = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg"  # no playlists, subtitles, still images
MAX_FRAME_PIXELS = 2**25  # 8K video; a damaged header must not claim all memory
SEEK_GAP_S = 5.0  # below this, decoding on is cheaper than seeking
SEEK_MARGIN_S = 1.0  # seek this much early: pictures that lead an open group need the group before


@contextmanager
def open_video(path):
    """Yield (container, video stream) of a file; what libav raises, in the body too, becomes a VideoError."""
    check_file(path)
    clip, limits = clip_name(path), {"max_pixels": str(MAX_FRAME_PIXELS)}
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file", **limits}
    try:
        container = av.open(f"file:{os.fspath(path)}", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        is_other_kind = isinstance(error, av.error.ArgumentError)  # how libav says: not in format_whitelist
        cause = "it is of another kind" if is_other_kind else _cause(error)
        advice = "fetch it again or convert it to mp4"
        raise VideoError(f"{clip} cannot be opened as a video ({cause}); {advice}") from None
    with container:
        stream = container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            raise VideoError(f"{clip} has no video stream, only sound or data; drop it")
        if stream.codec_context is None:
            raise VideoError(f"{clip} is of an unknown codec; convert it to H.264 mp4")
        check_frame_size(path, stream.width, stream.height)
        stream.codec_context.thread_count = 1  # parallelism is a clip for each worker, not threads in a clip
        stream.codec_context.options = limits
        try:
            yield container, stream
        except av.error.FFmpegError as error:
            raise VideoError(f"{clip} is damaged ({_cause(error)}); fetch it again") from None


def check_frame_size(path, width: int, height: int) -> None:
    """Refuse a size that no clip has, before memory is allocated for it."""
    if not 0 < width * height <= MAX_FRAME_PIXELS:
        size = f"no believable frame size ({width}x{height})"
        raise VideoError(
            f"{clip_name(path)} has {size}; expected 1 to {MAX_FRAME_PIXELS} pixels, so fetch it again"
        )


def _cause(error) -> str:
    return getattr(error, "strerror", None) or str(error)


def walk_packets(path, container, stream, deadline) -> Iterator[av.Packet]:
    """Yield the stream's packets until `deadline`, a time of the monotonic clock."""
    try:
        for packet in container.demux(stream):
            if time.monotonic() > deadline:
                advice = "raise timeout_s or cut it into shorter clips"
                raise VideoError(f"{clip_name(path)} was not read in time; {advice}")
            yield packet
    except IndexError:  # from PyAV itself, where a damaged file grows another stream midway
        raise VideoError(f"{clip_name(path)} is damaged (its streams change); fetch it again") from None


def walk_frames(path, container, stream, deadline) -> Iterator[av.VideoFrame]:
    """Decode from where the container is."""
    for packet in walk_packets(path, container, stream, deadline):
        yield from packet.decode()


def walk_frames_from(path, container, stream, start_s, deadline) -> Iterator[av.VideoFrame]:
    """Decode from a frame shown at or before `start_s` on, going further back where no keyframe is near."""
    step_s = SEEK_MARGIN_S
    while start_s > SEEK_GAP_S and step_s < start_s:
        seek(container, stream, start_s - step_s)
        frames = walk_frames(path, container, stream, deadline)
        first = next(frames, None)
        if first is not None and first.pts is not None and shown_s(first, stream) <= start_s:
            yield first
            yield from frames
            return
        step_s *= 8
    if step_s > SEEK_MARGIN_S:
        seek(container, stream, -SEEK_MARGIN_S)
    yield from walk_frames(path, container, stream, deadline)


def seek(container, stream, seconds: float) -> None:
    """Go to the keyframe before a time after the start of the video."""
    container.seek((stream.start_time or 0) + round(seconds / stream.time_base), stream=stream)


def shown_s(frame, stream) -> float:
    """When a frame is shown, in seconds from the start of the video."""
    return float((frame.pts - (stream.start_time or 0)) * stream.time_base)


def quarter_turns(frame) -> int:
    """How many quarter turns the metadata asks for."""
    return round(frame.rotation / 90) % 4


def upright(frame, reformatter) -> np.ndarray:
    """Convert to (H, W, 3) uint8 RGB, turned as the metadata asks, as players and decord do."""
    # swscale's own threads cost more than they give.
    rgb = reformatter.reformat(frame, format="rgb24", threads=1)
    return np.rot90(rgb.to_ndarray(), quarter_turns(frame))
