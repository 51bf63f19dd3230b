"""Playlists and scripts under a video's name: refused, and nothing that they name is opened or asked for."""

import http.server
import threading

import numpy as np
import pytest

from tfcovr_utils.sources import folder
from tfcovr_utils.video import VideoError, read_clip, write_clip
from tfcovr_utils.video.listing import VIDEO_SUFFIXES

SUFFIXES = sorted({*VIDEO_SUFFIXES, ".m3u8", ".mpd", ".ffconcat", ".avs", ".sdp", ""})


@pytest.fixture(scope="module")
def server():
    """A server on this machine that counts who asks."""
    asked = []

    class Counting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def playlists(url: str, secret: str) -> dict[str, str]:
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
        "hls of a file": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation '
        f'id="1" bandwidth="1"><BaseURL>{url}/a.mp4</BaseURL></Representation></AdaptationSet></Period>'
        "</MPD>",
        "ffconcat": f"ffconcat version 1.0\nfile '{url}/a.mp4'\n",
        "ffconcat of a file": f"ffconcat version 1.0\nfile '{secret}'\n",
        "avisynth": f'FFVideoSource("{url}/a.mp4")\n',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "an address": f"{url}/a.mp4\n",
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_playlists_are_refused_and_never_followed(suffix, server, tmp_path):
    url, asked = server
    secret = tmp_path / "kept.txt"
    secret.write_text("secret")
    for name, content in playlists(url, str(secret)).items():
        path = tmp_path / f"{name}{suffix}"
        path.write_text(content)
        for decoder in ("decord", "pyav"):
            with pytest.raises(VideoError) as refused:
                read_clip(path, [0], decoder=decoder)
            assert "secret" not in str(refused.value)
    assert asked == []


@pytest.mark.parametrize(
    "name", ["concat:a.mp4", "-i.mp4", "file:a.mp4", "a\nb.mp4", "<img src=x onerror=alert(1)>.mp4"]
)
def test_strange_names_are_files_and_nothing_else(name, tmp_path):
    (tmp_path / name).write_bytes(b"no video")
    with pytest.raises(ValueError, match="none can be read"):
        folder.load(tmp_path)


def test_a_link_that_leaves_the_folder_is_named_and_left_out(tmp_path):
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    for name in ("outside/secret.mp4", "own/kept.mp4"):
        (tmp_path / name).parent.mkdir()
        write_clip(tmp_path / name, frames, 8)
    (tmp_path / "own" / "away.mp4").symlink_to(tmp_path / "outside" / "secret.mp4")
    (tmp_path / "own" / "inside.mp4").symlink_to(tmp_path / "own" / "kept.mp4")
    found = folder.load(tmp_path / "own")
    assert found.clips["clip_id"].tolist() == ["inside", "kept"]
    assert list(found.notes) == [
        "folder_left_out: away.mp4 is a link that leaves the folder; copy the file there."
    ]
