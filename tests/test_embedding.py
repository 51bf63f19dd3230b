"""Clips and texts are embedded once, whatever stops the run; stale or damaged embeddings are never read."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch
from command import status_of
from tiny_encoder import FRAMES, SLOW_S, Tiny, shards, table, write_drawn

from tfcovr_utils.embedding import batches, store
from tfcovr_utils.embedding import embed as embedding
from tfcovr_utils.embedding.batches import Compute
from tfcovr_utils.embedding.embed import embed_clips, embed_texts
from tfcovr_utils.encoders import ENCODERS
from tfcovr_utils.video import hashes, read_clip


def expected(encoder, path, frames=FRAMES, policy="centre"):
    """A clip's frame features with nothing between the decoder and the encoder: (T, D)."""
    with torch.no_grad():
        return encoder.encode_frames(read_clip(path, policy, frames)[None])[0]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(10):
        write_drawn(folder / "clips" / f"{seed}.mp4", seed)
    table(folder).to_parquet(folder / "clips.parquet")
    return folder


@pytest.fixture
def clips_dir(originals, tmp_path):
    """Ten clips that a test may change."""
    for path in table(originals)["path"]:
        copy = tmp_path / "own" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((originals / path).read_bytes())
    return tmp_path / "own"


@pytest.fixture
def embed(tmp_path, monkeypatch):
    """embed_clips on every clip of a folder, in shards of four."""
    monkeypatch.setattr(embedding, "SHARD_ROWS", 4)

    def run(folder, encoder=None, **options):
        options = {"frames": FRAMES, "store_dir": tmp_path / "stores", "progress": False, **options}
        return embed_clips(encoder or Tiny(), table(folder), folder, **options)

    return run


def test_values_are_the_encoders_own(originals, embed):
    embedded = embed(originals)
    assert embedded.clip_ids == table(originals)["clip_id"].tolist() and embedded.missing == {}
    frame_emb = torch.stack([expected(Tiny(), originals / path) for path in table(originals)["path"]])
    assert embedded.values.dtype == torch.float32 and embedded.values.shape == (10, FRAMES, 8)
    torch.testing.assert_close(embedded.values, frame_emb)
    torch.testing.assert_close(embed(originals, readout="clips").values, frame_emb.mean(1))
    assert (frame_emb[:, 0] - frame_emb[:, 1]).norm(dim=1).min() > 0.01  # so that a mixed-up order would show


def test_what_is_stored_is_not_encoded_again(originals, embed):
    first, again = embed(originals), Tiny()
    assert torch.equal(embed(originals, again).values, first.values)
    assert again.encoded == 0


def test_the_middle_frame_is_one_whatever_the_number_of_frames(originals, embed):
    first, encoder = embed(originals, policy="middle"), Tiny()
    assert first.values.shape == (10, 1, 8)
    assert (
        torch.equal(embed(originals, encoder, policy="middle", frames=9).values, first.values)
        and encoder.encoded == 0
    )


@pytest.mark.filterwarnings("error")
def test_only_the_shards_that_are_wanted_are_read(originals, embed, tmp_path, monkeypatch):
    whole, read, look_up = embed(originals), [], store.Store._values
    monkeypatch.setattr(store.Store, "_values", lambda own, path: read.append(path) or look_up(own, path))
    assert torch.equal(embed(originals, shard=(9, 10)).values, whole.values[9:])
    assert len(read) == 1 and len(shards(tmp_path)) == 3


def test_clips_come_in_the_order_of_the_table(originals, tmp_path):
    clips = table(originals)
    options = {"frames": FRAMES, "store_dir": tmp_path, "progress": False}
    forward = embed_clips(Tiny(), clips, originals, **options)
    backward = embed_clips(Tiny(), clips[::-1], originals, **options)
    assert backward.clip_ids == forward.clip_ids[::-1] and torch.equal(
        backward.values, forward.values.flip(0)
    )


def test_a_clip_that_cannot_be_read_is_named_and_the_rest_embedded(clips_dir, embed):
    damaged = clips_dir / "clips" / "1.mp4"
    damaged.write_bytes(damaged.read_bytes()[:1500])
    (clips_dir / "clips" / "5.mp4").write_bytes(b"")
    (clips_dir / "clips" / "11.mp4").mkdir()
    (clips_dir / "clips" / "12.mp4").symlink_to("nothing.mp4")
    (clips_dir / "clips" / "13.mp4").write_bytes(damaged.read_bytes())  # broken in the same way
    for embedded in (embed(clips_dir), embed(clips_dir)):
        reasons = {clip_id.split("/")[1]: reason for clip_id, reason in embedded.missing.items()}
        assert sorted(reasons) == ["1.mp4", "11.mp4", "12.mp4", "13.mp4", "5.mp4"]
        assert (
            "is empty" in reasons["5.mp4"]
            and "is a folder" in reasons["11.mp4"]
            and "does not exist" in reasons["12.mp4"]
        )
        assert "1.mp4" in reasons["1.mp4"] and reasons["13.mp4"] == reasons["1.mp4"]
        assert [clip_id.split("/")[1][0] for clip_id in embedded.clip_ids] == list("02346789")
        torch.testing.assert_close(embedded.values[1], expected(Tiny(), clips_dir / "clips" / "2.mp4"))


def test_no_readable_clip_at_all_is_an_error(tmp_path, embed):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="none of 1 clips .* could be read; the first: clip .*a.mp4'"):
        embed(tmp_path / "own")
    assert (
        embed_clips(Tiny(), table(tmp_path / "own")[:0], tmp_path, frames=1, store_dir=tmp_path).clip_ids
        == []
    )


@pytest.mark.parametrize(
    "change", ["weights", "frames", "policy", "readout", "precision", "decoder", "format"]
)
def test_whatever_changes_the_values_changes_the_address(originals, embed, monkeypatch, change):
    first, encoder, options = embed(originals), Tiny(seed=change == "weights"), {}
    if change == "decoder":
        monkeypatch.setattr(embedding, "version", lambda name: "9.9")
    elif change == "format":
        monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    else:
        options = {
            "frames": {"frames": FRAMES + 1},
            "policy": {"policy": "middle"},
            "readout": {"readout": "clips"},
            "precision": {"compute": Compute(precision="bfloat16")},
        }.get(change, {})
    second = embed(originals, encoder, **options)
    assert encoder.encoded == 10
    if change in ("weights", "precision"):
        assert second.values.shape == first.values.shape and not torch.equal(second.values, first.values)
    if change == "policy":
        torch.testing.assert_close(
            second.values[0], expected(Tiny(), originals / "clips" / "0.mp4", policy="middle")
        )
    monkeypatch.undo()
    encoder = Tiny()
    assert torch.equal(embed(originals, encoder).values, first.values) and encoder.encoded == 0


def test_the_manifest_says_what_the_values_are(originals, embed, tmp_path):
    embed(originals)
    [path] = (tmp_path / "stores").glob("tiny-*/manifest.json")
    manifest = pd.read_json(path, typ="series").to_dict()
    assert manifest["encoder"] == Tiny().identity and manifest["shape"] == [FRAMES, 8]
    assert (manifest["frames"], manifest["policy"], manifest["readout"]) == (FRAMES, "centre", "frames")
    assert (manifest["dtype"], manifest["precision"]) == ("float32", "float32") and manifest["decoder"]["av"]


def test_half_precision_is_near_and_kept_apart(originals, embed):
    full, half = embed(originals), embed(originals, compute=Compute(precision="bfloat16"))
    torch.testing.assert_close(half.values, full.values, atol=0.05, rtol=0.05)
    assert half.values.dtype == torch.float32


def test_a_changed_file_is_embedded_anew_and_only_it(clips_dir, embed, monkeypatch):
    monkeypatch.setattr(hashes, "SETTLED_NS", 0)  # remember hashes at once
    first, path = embed(clips_dir), clips_dir / "clips" / "3.mp4"
    before = path.stat()
    other = write_drawn(clips_dir.parent / "other.mp4", 77).read_bytes()
    size = max(len(other), before.st_size)
    path.write_bytes(path.read_bytes() + bytes(size - before.st_size))
    embed(clips_dir)  # trailing zeros: another content and a version that is remembered
    remembered = path.stat()
    path.write_bytes(other + bytes(size - len(other)))
    os.utime(path, ns=(remembered.st_atime_ns, remembered.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (size, remembered.st_mtime_ns)
    encoder = Tiny()
    second = embed(clips_dir, encoder)
    assert encoder.encoded == 1
    assert (second.values != first.values).flatten(1).any(1).tolist() == [row == 3 for row in range(10)]
    torch.testing.assert_close(second.values[3], expected(Tiny(), path))


def test_hashes_of_settled_files_are_remembered(clips_dir, tmp_path, monkeypatch):
    hashed = []
    monkeypatch.setattr(hashes, "digest_file", lambda path: hashed.append(path.name) or "0" * 64)
    names = table(clips_dir)["path"]
    assert [len(hashes.hash_clips(names, clips_dir, tmp_path)[0]) for _ in range(2)] == [10, 10]
    assert len(hashed) == 20  # just written: they could change again within the clock's step
    monkeypatch.setattr(hashes, "SETTLED_NS", 0)
    for _ in range(2):
        hashes.hash_clips(names, clips_dir, tmp_path)
    assert len(hashed) == 30
    [cache] = tmp_path.glob("files-*.json")
    cache.write_text(cache.read_text()[:200])  # damaged: hashed again
    hashes.hash_clips(names, clips_dir, tmp_path)
    assert len(hashed) == 40


def test_equal_files_are_embedded_once(originals, clips_dir, embed):
    (clips_dir / "clips" / "99.mp4").write_bytes((clips_dir / "clips" / "0.mp4").read_bytes())
    encoder = Tiny()
    embedded = embed(clips_dir, encoder)
    assert encoder.encoded == 10 and len(embedded.clip_ids) == 11
    assert torch.equal(embedded.values[10], embedded.values[0])
    embed(originals, encoder)  # another folder, the same content
    assert encoder.encoded == 10


def test_a_file_that_changes_while_it_is_read_gives_no_row(clips_dir, embed, monkeypatch):
    def read_and_change(path, *sampling):
        clip = read_clip(path, *sampling)
        if path.name == "3.mp4":
            path.write_bytes((path.parent / "4.mp4").read_bytes())
        return clip

    monkeypatch.setattr(batches, "read_cached", read_and_change)
    missing = embed(clips_dir).missing
    assert list(missing) == ["id clips/3.mp4"] and "changed while it was read" in missing["id clips/3.mp4"]


def test_a_clip_shorter_than_the_sampling_repeats_frames(tmp_path, embed):
    write_drawn(tmp_path / "own" / "short.mp4", 0, n_frames=2)
    values = embed(tmp_path / "own").values[0]
    assert (
        torch.equal(values[0], values[1])
        and torch.equal(values[2], values[3])
        and not torch.equal(values[1], values[2])
    )


def test_clips_of_several_sizes_are_embedded_together(clips_dir, embed):
    write_drawn(clips_dir / "clips" / "3.mp4", 3, size=48)
    write_drawn(clips_dir / "clips" / "6.mp4", 6, size=64)
    for row, values in enumerate(embed(clips_dir, compute=Compute(batch=3)).values):
        torch.testing.assert_close(values, expected(Tiny(), clips_dir / "clips" / f"{row}.mp4"))


def test_a_batch_that_does_not_fit_is_halved_for_good(originals, embed, monkeypatch, tmp_path):
    monkeypatch.setattr(embedding, "SHARD_ROWS", 512)
    encoder = Tiny(limit=3)
    values = embed(originals, encoder, compute=Compute(batch=8)).values
    assert encoder.batches == [8, 4, 2, 2, 2, 2, 2]
    torch.testing.assert_close(values, embed(originals, Tiny(), store_dir=tmp_path / "whole").values)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        embed(originals, Tiny(seed=1, limit=0.5))


def test_frames_in_memory_are_bounded(originals, embed, monkeypatch):
    one_clip = FRAMES * 32 * 32 * 3
    encoder, decoded, waiting = Tiny(), [], []

    def read(*arguments):
        decoded.append(1)
        return read_clip(*arguments)

    def encode(frames):
        time.sleep(0.05)  # time for the threads to run ahead as far as they may
        waiting.append(len(decoded) - encoder.encoded)
        return Tiny.encode_frames(encoder, frames)

    monkeypatch.setattr(batches, "read_cached", read)
    monkeypatch.setattr(encoder, "encode_frames", encode)
    monkeypatch.setattr(batches, "PENDING_BYTES", 2 * one_clip)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(embedding, "SHARD_ROWS", 512)
    embed(originals, encoder)
    assert max(encoder.batches) == 3  # what makes it more than PENDING_BYTES is encoded with it
    assert 3 < max(waiting) <= 5  # these, and two decoded ahead


# What stops a run, and what breaks between two


def run_command(arguments):
    """The command, with Tiny in the registry and shards of four."""
    ENCODERS["tiny"] = Tiny.load
    embedding.SHARD_ROWS = 4
    return status_of("embed")(arguments)


def command(originals, out, *options):
    script = "import sys, test_embedding; sys.exit(test_embedding.run_command(sys.argv[1:]))"
    arguments = [
        "--benchmark",
        originals,
        "--encoder",
        "tiny",
        "--weights",
        "0",
        "--frames",
        FRAMES,
        "--batch",
        2,
        "--out",
        out,
        *options,
    ]
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_and_gives_the_same(tmp_path, embed):
    folder, out = tmp_path / "many", tmp_path / "out"
    for seed in range(40):
        write_drawn(folder / f"{seed:02}.mp4", seed)
    (folder / "05.mp4").write_bytes(b"broken")  # must not shift the batches of the clips behind it
    table(folder).to_parquet(folder / "clips.parquet")
    rng, interrupted = random.Random(0), 0
    for least in (1, 5):
        process = command(folder, out)
        while len(shards(out)) < least and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.random() * 3 * SLOW_S)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        interrupted += len(shards(out)) < 10
        kept = {path: path.stat().st_mtime_ns for path in shards(out)}
    assert interrupted == 2
    last = command(folder, out)
    said, complained = last.communicate()
    assert (
        last.returncode == 0
        and said == "39 clips are embedded, 1 could not be read.\n"
        and "id 05.mp4: clip" in complained
    )
    assert (
        len(shards(out)) == 10 and {path: path.stat().st_mtime_ns for path in kept} == kept
    )  # none was made twice
    encoder = Tiny()
    resumed = embed(folder, encoder, store_dir=out)
    assert encoder.encoded == 0
    assert torch.equal(resumed.values, embed(folder, compute=Compute(batch=2)).values)


@pytest.mark.slow
def test_two_processes_fill_one_store(originals, tmp_path, embed):
    processes = [command(originals, tmp_path / "out", "--shard", f"{i}/2") for i in range(2)]
    assert (
        sorted(process.communicate()[0] for process in processes)
        == ["5 clips are embedded, 0 could not be read.\n"] * 2
    )
    encoder = Tiny()
    both = embed(originals, encoder, store_dir=tmp_path / "out")
    assert encoder.encoded == 0
    torch.testing.assert_close(both.values, embed(originals).values)


def test_shards_share_the_clips_out(originals, embed):
    parts = [embed(originals, shard=(i, 3)) for i in range(3)]
    assert (
        sorted(clip_id for part in parts for clip_id in part.clip_ids) == table(originals)["clip_id"].tolist()
    )
    assert [len(part.clip_ids) for part in parts] == [4, 3, 3]
    assert embed(originals, shard=(10, 11)).clip_ids == []


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def swap_keys(path):
    keys = b'\\"keys\\": [\\"'
    content = path.read_bytes()
    start = content.index(keys) + len(keys)
    first, between, second = (slice(start + a, start + b) for a, b in ((0, 64), (64, 70), (70, 134)))
    path.write_bytes(
        content[:start] + content[second] + content[between] + content[first] + content[start + 134 :]
    )


BREAKS = {
    "one bit": flip_last_byte,
    "keys swapped": swap_keys,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "no header": lambda path: path.write_bytes(b"\xff" * 500),
    "no keys": lambda path: path.write_bytes(store.save({"values": torch.zeros(4, FRAMES, 8)})),
    "other metadata": lambda path: path.write_bytes(
        store.save({"values": torch.zeros(4, FRAMES, 8)}, {"format": "pt"})
    ),
    "of another store": lambda path: path.write_bytes(
        store.save({"values": torch.zeros(1)}, {"rows": '{"address": "x", "keys": []}'})
    ),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_damaged_shard_is_named_and_made_again_alone(originals, embed, tmp_path, monkeypatch, how):
    first, path = embed(originals), shards(tmp_path)[0]
    with store.safe_open(path, framework="pt") as shard:
        n_rows = len(shard.get_tensor("values"))
    BREAKS[how](path)
    monkeypatch.setattr(embedding, "SHARD_ROWS", 3)  # so that what is made again is another file
    encoder = Tiny()
    with pytest.warns(UserWarning, match=f"{path.name} is damaged .*; it is removed"):
        again = embed(originals, encoder)
    assert encoder.encoded == n_rows
    torch.testing.assert_close(again.values, first.values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is damaged any more
        assert torch.equal(embed(originals).values, again.values)


@pytest.mark.parametrize("always", [False, True])
def test_a_shard_that_another_process_removes_is_made_again_or_missed(
    originals, embed, tmp_path, monkeypatch, always
):
    first, path = embed(originals), shards(tmp_path)[0]
    look_up, encoder = store.Store._keys, Tiny()

    def look_up_late(own, shard_path):
        if always or not encoder.encoded:
            path.unlink(missing_ok=True)
        return look_up(own, shard_path)

    monkeypatch.setattr(store.Store, "_keys", look_up_late)
    again = embed(originals, encoder)
    assert 0 < encoder.encoded < 10
    if always:
        assert len(again.missing) == encoder.encoded and all(
            "run again" in reason for reason in again.missing.values()
        )
    else:
        torch.testing.assert_close(again.values, first.values)


@pytest.mark.filterwarnings("error")
def test_half_a_shard_under_its_temporary_name_is_no_shard(originals, embed, tmp_path):
    first = embed(originals)
    path = shards(tmp_path)[0]
    (path.parent / f".{path.stem}.123.safetensors").write_bytes(path.read_bytes()[:100])
    assert torch.equal(embed(originals).values, first.values)


def test_a_full_disk_is_said_and_what_was_written_is_kept(originals, embed, tmp_path, monkeypatch):
    write, room = Path.write_bytes, [2]

    def write_while_there_is_room(path, content):
        room[0] -= 1
        if room[0] < 0:
            write(path, content[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_while_there_is_room)
    with pytest.raises(
        OSError,
        match=r"tiny-\w+/shard-\w+\.safetensors cannot be written \(No space left on device\); make room",
    ):
        embed(originals)
    monkeypatch.undo()
    assert len(shards(tmp_path)) == 2 and not list(tmp_path.rglob(".shard*"))
    encoder = Tiny()
    embed(originals, encoder)
    assert encoder.encoded == 2


def test_a_folder_that_cannot_be_written_is_named(originals, embed, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/stores/tiny-.* cannot be written .* choose another folder"):
        embed(originals, store_dir=tmp_path / "file" / "stores")


def test_a_complete_store_is_read_where_nothing_may_be_written(originals, embed, monkeypatch):
    first = embed(originals)

    def refuse(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(hashes, "SETTLED_NS", 0)  # so that there would be hashes to remember
    monkeypatch.setattr(store, "replacing", refuse)
    monkeypatch.setattr(store, "write_json", lambda value, path: refuse(path))
    monkeypatch.setattr(hashes, "write_json", lambda value, path: refuse(path))
    assert torch.equal(embed(originals).values, first.values)


def test_another_shape_under_the_same_recipe_is_refused(originals, clips_dir, embed):
    embed(originals)
    write_drawn(clips_dir / "clips" / "0.mp4", 100)
    encoder = Tiny()
    encoder.out = torch.nn.Linear(96, 9)
    with pytest.raises(ValueError, match=r"shape \[4, 8\], and the same recipe now gives \[4, 9\]"):
        embed(clips_dir, encoder)


def test_what_gives_no_sound_embedding_is_refused(originals, embed):
    with pytest.raises(ValueError, match="encoder 'tiny' is in training mode"):
        embed(originals, Tiny().train())
    encoder = Tiny()
    encoder.out.bias.data[0] = torch.nan
    with pytest.raises(ValueError, match=r"shape \(4, 4, 8\), 16 of them not finite, for 4 inputs"):
        embed(originals, encoder)
    encoder.encode_frames = lambda frames: torch.zeros(1, FRAMES, 8)
    with pytest.raises(ValueError, match=r"shape \(1, 4, 8\), 0 of them not finite, for 4 inputs"):
        embed(originals, encoder)
    with pytest.raises(ValueError, match="unknown policy 'random'; choose one of centre"):
        embed(originals, policy="random")
    with pytest.raises(ValueError, match="precision 'float16' is not known"):
        embed(originals, compute=Compute(precision="float16"))


# Texts, and the command


def test_each_distinct_text_is_encoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "SHARD_ROWS", 2)
    encoder, texts = Tiny(), ["show in pike", "show with a twist", "show in pike", "say é", "show in pike."]
    values = embed_texts(encoder, texts, store_dir=tmp_path)
    assert encoder.encoded == 4
    with torch.no_grad():
        torch.testing.assert_close(values, Tiny().encode_texts(texts))
    assert torch.equal(embed_texts(encoder, texts[::-1], store_dir=tmp_path), values.flip(0))
    assert encoder.encoded == 4
    assert torch.equal(embed_texts(encoder, ["show on beam", *texts], store_dir=tmp_path)[1:], values)
    assert encoder.encoded == 5
    assert len(embed_texts(Tiny(seed=1), texts, store_dir=tmp_path)) == 5
    assert not torch.equal(embed_texts(Tiny(seed=1), texts, store_dir=tmp_path), values)
    assert len(embed_texts(encoder, [], store_dir=tmp_path)) == 0


@pytest.fixture
def tiny_command(monkeypatch, tmp_path):
    monkeypatch.setitem(ENCODERS, "tiny", Tiny.load)
    return lambda *options: status_of("embed")(
        ["--encoder", "tiny", "--weights", "0", "--out", str(tmp_path / "stores"), *map(str, options)]
    )


def test_the_command_fills_the_store_that_the_function_reads(
    originals, clips_dir, tiny_command, embed, capsys
):
    table(originals).to_parquet(clips_dir.parent / "clips.parquet")  # tables in one folder, clips in another
    assert (
        tiny_command(
            "--benchmark", clips_dir.parent, "--clips", originals, "--frames", FRAMES, "--readout", "clips"
        )
        == 0
    )
    assert capsys.readouterr().out == "10 clips are embedded, 0 could not be read.\n"
    encoder = Tiny()
    assert embed(originals, encoder, readout="clips").values.shape == (10, 8) and encoder.encoded == 0
    texts = ["show in pike", "show in tuck"]
    pd.DataFrame({"text": texts}).to_parquet(clips_dir.parent / "modifications.parquet")
    assert tiny_command("--benchmark", clips_dir.parent, "--readout", "texts") == 0
    assert capsys.readouterr().out == "2 texts are embedded.\n"
    embed_texts(encoder, texts, store_dir=clips_dir.parent / "stores")
    assert encoder.encoded == 0


def test_the_command_says_what_is_wrong_in_a_sentence(originals, tmp_path, tiny_command, capsys):
    assert tiny_command("--benchmark", tmp_path) == 2
    assert "clips.parquet does not exist; give --benchmark a folder" in capsys.readouterr().err
    assert tiny_command("--benchmark", originals, "--clips", tmp_path) == 2
    assert f"none of 10 clips below {tmp_path} could be read" in capsys.readouterr().err
    for wrong in ("2/2", "1", "a/2", "-1/2"):
        with pytest.raises(SystemExit):
            tiny_command("--benchmark", originals, f"--shard={wrong}")
        assert f"{wrong!r} is not a shard; write i/n" in capsys.readouterr().err
