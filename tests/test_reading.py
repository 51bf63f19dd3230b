"""Damaged, hostile and huge JSON, Parquet and npy files end in one sentence that names the file."""

import numpy as np
import pandas as pd
import pytest

from tfcovr_utils.machine import files


def _npy_claiming(shape) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


DAMAGED = [
    (files.read_json, b"{"),
    (files.read_json, b"[" * 100_000),
    (files.read_json, b"\xff\xfe"),
    (files.load_table, b""),
    (files.load_table, b"PAR1" + b"\xff" * 40 + b"PAR1"),
    (files.load_array, b""),
    (files.load_array, b"cos\nsystem\n(S'true'\ntR."),
    (files.load_array, b"PK\x03\x04 and no more"),
    (files.load_array, _npy_claiming((2**40,))),
    (files.load_array, _npy_claiming((2**62, 2**62))),
    (files.load_array, _npy_claiming((-3, 4))),
]


@pytest.mark.parametrize(("read", "content"), DAMAGED)
def test_damaged_files_are_named(tmp_path, read, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} is damaged .*; remove it, and run the command"):
        read(path)


def test_an_archive_and_an_array_of_objects_are_no_array(tmp_path):
    np.savez(tmp_path / "two.npz", a=np.ones(2))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("two.npz", "objects.npy"):
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            files.load_array(tmp_path / name)


def test_sizes_are_refused_before_reading(tmp_path, monkeypatch):
    files.write_json([1] * 100, tmp_path / "a.json")
    files.write_table(pd.DataFrame({"a": np.zeros(10_000)}), tmp_path / "a.parquet")
    assert len(files.load_table(tmp_path / "a.parquet")) == 10_000
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 100)
    monkeypatch.setattr(files, "MAX_TABLE_BYTES", 9_999)
    for read, name in ((files.read_json, "a.json"), (files.load_table, "a.parquet")):
        with pytest.raises(files.TooLarge, match="expected at most"):
            read(tmp_path / name)


def test_good_arrays_and_missing_files(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert np.array_equal(files.load_array(tmp_path / "a.npy"), [[0, 1, 2], [3, 4, 5]])
    for read in (files.read_json, files.load_table, files.load_array):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
