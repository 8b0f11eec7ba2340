"""Model files that ask for memory, time or depth are refused before they get it; other tests break them at random."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import bombs
from napari_seamless.errors import LONGEST, ModelError
from napari_seamless.models import load_model
from napari_seamless.models.card import card_of
from napari_seamless.models.loaders.size_expressions import is_arithmetic
from napari_seamless.models.networks.unet import UNet


@pytest.fixture(autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trusted in a test stays in it."""
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(tmp_path_factory.mktemp("data")))


@pytest.mark.timeout(60)  # most of them would never come to an end
@pytest.mark.parametrize("name", bombs.MODELS)
def test_a_small_model_file_that_asks_for_much_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    if "YAML" in name:
        pytest.importorskip("bioimageio.spec")
    path = bombs.MODELS[name](tmp_path)
    with pytest.raises(ModelError) as caught:
        load_model(path)
    text = str(caught.value)
    assert 20 < len(text) <= LONGEST + 100
    assert text.isprintable()


@pytest.mark.parametrize(
    "size",
    ["s0", "2*((s0 - 1)//2) + 1", "Add(Mul(Integer(2), Symbol('s0')), Integer(-1))", "s0**2",
     "Pow(Symbol('s1'), Integer(-1))",
     "Max(1, s0 // 16)", "Mod(s0, 8)", "L['x'].size()[2] >= 32", "Eq(Mod(Symbol('s0'), Integer(4)), Integer(0))"],
)  # fmt: skip
def test_sizes_as_torch_writes_them_are_arithmetic(size: str) -> None:
    assert is_arithmetic(size)


@pytest.mark.parametrize(
    "size",
    ["9**9**9", "s0**s1", "s0**1000000", "((s0**60)**60)**60", "Pow(9, Pow(9, 9))", "1 << 9", "10**400 * 1e400",
     "__import__('os')", "s0.denominator", "(lambda: s0)()", "[s0 for s0 in s1]", "'a' * 10**9", "1" * 30_000,
     "Max(" + ", ".join(f"s{k}" for k in range(100)) + ")"],
)  # fmt: skip
def test_sizes_of_more_digits_or_other_parts_are_not(size: str) -> None:
    assert not is_arithmetic(size)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch tells authors to move on
def test_a_script_with_fewer_numbers_than_it_says_is_refused_and_never_filled_from_memory(tmp_path: Path) -> None:
    script = torch.jit.trace(torch.nn.Conv2d(1, 2, 3), torch.zeros(1, 1, 9, 9))
    torch.jit.save(script, tmp_path / "whole.pt")
    load_model(tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut:
        for name in whole.namelist():
            content = whole.read(name)
            cut.writestr(name, content[:4] if name.endswith("data/0") else content)
    with pytest.raises(ModelError, match=r"cut\.pt does not hold the \d+ bytes of a tensor that it names"):
        load_model(tmp_path / "cut.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_script_of_lists_in_lists_is_refused_before_torch_reads_it(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), tmp_path / "whole.pt")
    deep = b"\x80\x02" + b"]" * bombs.DEEP + b"a" * (bombs.DEEP - 1) + b"."
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, zipfile.ZipFile(tmp_path / "deep.pt", "w") as target:
        for name in whole.namelist():
            target.writestr(name, deep if name.endswith("constants.pkl") else whole.read(name))
    with pytest.raises(ModelError, match=r"deep\.pt has a constants\.pkl of lists in lists"):
        load_model(tmp_path / "deep.pt")


def test_a_card_has_no_characters_that_steer_a_terminal(tmp_path: Path) -> None:
    folder = bombs.recipe(tmp_path, "{ inputs = 1, outputs = 1, widths = [2] }", more='title = "\\u001b[2Jmine\\u202e"')
    save_file(UNet(inputs=1, outputs=1, widths=[2]).state_dict(), folder / "weights.safetensors")
    shown = str(card_of(load_model(folder)))
    assert "mine" in shown
    assert all(line.isprintable() for line in shown.splitlines())
