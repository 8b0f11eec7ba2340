"""One value says what is asked of a run, whoever asks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.runs.config import GROUPS, OPTIONS, RunConfig
from napari_seamless.runs.keywords import (
    PREPARE,
    RUN,
    START,
    PrepareKeywords,
    RunKeywords,
    StartKeywords,
    config_of,
)
from napari_seamless.runs.moments import Moments
from napari_seamless.runs.option import option_of
from napari_seamless.runs.option_groups import PRECISIONS
from napari_seamless.runs.option_text import parse_budget
from napari_seamless.runtime.engine.precision import Precision

TRIANGLE = np.array([[1.5, 2.0], [1.5, 9.0], [7.0, 9.0]])

SAID = [
    {},
    {"axes": "cyx", "plane": {"t": 3}, "channels": (2, "DAPI"), "pixel_size": 0.5, "level": 1},
    {"region": Region.of((0, 10), (5, 20)), "roi": [TRIANGLE]},
    {"roi": Region.of((0, 10), (5, 20))},
    {"roi": "tissue", "tissue_threshold": 0.2, "statistics": "tissue"},
    {"budget": 10**9, "tile": 128, "keep": "disk", "keep_half": True, "scratch": Path("scratch")},
    {"output": Path("out.ome.zarr"), "overwrite": True, "precision": "float16", "scheduler": "tcp://host:8786"},
]


def test_each_option_has_a_name_of_its_own_and_one_sentence_of_help() -> None:
    assert len(OPTIONS) == sum(len(group) for group in GROUPS.values())
    assert [name for name, of in OPTIONS.items() if not option_of(of).help.endswith(".")] == []


@pytest.mark.parametrize("said", SAID)
def test_what_is_said_is_found_under_its_name(said: dict[str, object]) -> None:
    config = RunConfig.of(**said)
    assert config.non_defaults().keys() == said.keys()
    assert all(name == "roi" or config[name] == value for name, value in said.items())


@pytest.mark.parametrize("said", SAID)
def test_it_is_written_as_json_and_read_again(said: dict[str, object]) -> None:
    config = RunConfig.of(**said)
    again = RunConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)


def test_arrays_are_compared_by_what_is_in_them() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4] = True
    one, same, other = (RunConfig.of(roi="tissue", mask=m) for m in (mask, mask.copy(), ~mask))
    assert one == same
    assert one != other


def test_of_an_array_only_a_digest_is_written_and_nobody_takes_it_for_the_array() -> None:
    saved = RunConfig.of(roi="tissue", mask=np.ones((8, 8), bool)).to_dict()
    assert set(saved["mask"]) == {"sha256"}
    with pytest.raises(BadRequest, match="only a digest was saved"):
        RunConfig.from_dict(saved)


def test_moments_are_written_as_their_digest() -> None:
    moments = Moments({"000 norm": (np.ones(3),)})
    assert RunConfig.of(statistics=moments).to_dict() == {"statistics": {"sha256": moments.digest}}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"budget": "much"}, "a budget is"),
        ({"tile": 100}, "a tile's side must be"),
        ({"keep": "here"}, "keep is one of"),
        ({"precision": "float8"}, "a precision is one of"),
        ({"statistics": "some"}, "statistics are"),
        ({"scheduler": "here"}, "a scheduler is"),
        ({"mask": np.ones((4, 4), bool)}, "a mask needs"),
        ({"tissue_threshold": 0.1}, "tissue_threshold"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(said: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        RunConfig.of(**said)


def test_a_name_that_is_no_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"no option 'halo'.*budget"):
        RunConfig.of(halo=3)


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("500 mb", 5 * 10**8), ("1.5GiB", 3 * 2**29), ("1e6", 10**6), (7, 7)]
)
def test_a_budget_is_a_number_of_bytes_or_text(text: str | int, size: int) -> None:
    assert parse_budget(text) == size


def test_the_choices_are_those_of_the_engine() -> None:
    assert get_args(Precision) == PRECISIONS


def test_making_a_config_loads_nothing_heavy() -> None:
    code = "from napari_seamless.runs.config import RunConfig; RunConfig.of(budget='2GB', keep='disk')"
    heavy = "import sys; print([name for name in ('numpy', 'torch', 'dask', 'zarr') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{code}; {heavy}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_keywords_for_editors_are_the_options() -> None:
    assert set(RunKeywords.__annotations__) == set(OPTIONS) == RUN
    assert set(PrepareKeywords.__annotations__) == PREPARE
    assert set(StartKeywords.__annotations__) == START


def test_an_option_is_refused_where_nobody_would_look_at_it() -> None:
    with pytest.raises(TypeError, match=r"start\(\) has no option 'axes'"):
        config_of("start", None, {"axes": "cyx"}, START)
