"""Every field of every settings class refuses every value that is not of its kind, in one sentence."""

import math
from dataclasses import fields, replace
from typing import Literal, get_args, get_origin

import pytest

from tfcovr_utils.training import settings, stage1
from tfcovr_utils.training.kinds import MOST, Range, change, kinds_of
from tfcovr_utils.training.pretraining.blip_models import BlipPretraining
from tfcovr_utils.training.pretraining.captioned import Pretraining, draw_batches, render

CLASSES = (
    settings.Stage1Settings,
    settings.Stage2Settings,
    settings.SingleStageSettings,
    Pretraining,
    BlipPretraining,
)
FIELDS = [(cls, field.name) for cls in CLASSES for field in fields(cls)]


def deep(levels: int = 1000) -> list:
    value = []
    for _ in range(levels):
        value = [value]
    return value


NEVER = [
    None,
    [],
    {},
    {1},
    "",
    "nope",
    b"1",
    1j,
    deep(),
    object(),
    math.nan,
    math.inf,
    -math.inf,
    -1,
    10**5000,
]


def wrong_values(kind) -> list:
    """What no field takes, and what a field of this kind does not take."""
    if kind is bool:
        return [*NEVER, 0, 1, 0.0, "True"]
    if get_origin(kind) is Literal:
        return [*NEVER, True, 0, 1.0, str(get_args(kind)[0]).upper() + "s"]
    number, bounds = get_args(kind)
    tried = [*NEVER, True, "1", 0, -0.5, 1.0, 1.5, 2, 5, MOST + 1, 1e300]
    whole = [value for value in tried if number is int and isinstance(value, float)]
    return [
        value
        for value in tried
        if value in whole or type(value) not in (int, float) or not bounds.holds(value)
    ]


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=lambda part: getattr(part, "__name__", part))
def test_a_field_refuses_what_is_not_of_its_kind(cls, name):
    kind, default = kinds_of(cls)[name], getattr(cls(), name)
    tried = wrong_values(kind)
    assert len(tried) >= len(NEVER)
    for value in tried:
        with pytest.raises(ValueError, match=rf"^{name} is .*; (give|choose) ") as said:
            cls(**{name: value})
        assert len(str(said.value)) < 200 and "\n" not in str(said.value)
    assert getattr(cls(**{name: default}), name) == default
    for text in (
        "{[]:1}",
        "[" * 1000 + "]" * 1000,
        "",
        "9" * 5000,
        "nan",
        "-inf",
        "-1",
        "None",
        "__import__('os')",
    ):
        with pytest.raises(ValueError, match=rf"{name}.*(give|choose)"):
            change(cls(), [f"{name}={text}"])


@pytest.mark.parametrize("cls", CLASSES)
def test_a_field_without_a_kind_is_found(cls):
    for name, kind in kinds_of(cls).items():
        assert kind is bool or get_origin(kind) is Literal or isinstance(get_args(kind)[1], Range), name


def test_a_whole_number_is_a_number_and_a_string_keeps_its_kind():
    assert settings.Stage2Settings(lr=1).lr == 1
    changed = change(settings.STAGE1["mini"], ["num_tadapter=2", "augment=crop", "lr=1", "compile=True"])
    assert changed == replace(settings.STAGE1["mini"], num_tadapter=2, augment="crop", lr=1.0, compile=True)
    assert type(changed.lr) is float and type(changed.num_tadapter) is int


def test_compiling_without_a_compiler_is_said(monkeypatch):
    monkeypatch.setattr(stage1.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"compile is True, and no C\+\+ compiler .* or set compile=False"):
        stage1._check_compiler()


def test_pretraining_refuses_sizes_and_places_that_cannot_work(tmp_path):
    (tmp_path / "file").touch()
    for wrong, message in (
        (lambda: Pretraining(width=128, heads=5), "heads is 5; give a divisor of the width, 128"),
        (lambda: Pretraining(patch=7), "patch is 7; give a divisor"),
        (lambda: next(draw_batches(5, 6, None)), "there are 5 pictures and a batch takes 6"),
        (lambda: render(tmp_path, 0), "sources is 0; give"),
        (lambda: render(tmp_path / "file", 1), "file cannot be written"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            wrong()
