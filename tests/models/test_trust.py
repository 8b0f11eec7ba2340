"""Files from strangers: what runs code is asked about first, and what is malicious or broken is refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import BadRequest, ModelError, NotTrusted
from napari_seamless.models import load_model
from napari_seamless.models.loaders import archive as archives
from napari_seamless.models.loaders.archive import unpack
from napari_seamless.models.loaders.recipe_folder import save_recipe
from napari_seamless.models.trust import distrust, trusted

RECIPE = """
schema = 1
name = "mine"
[network]
architecture = "{architecture}"
weights = "weights.pt"
[input]
channels = ["grey"]
[output]
kind = "image"
"""


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(folder))
    return folder


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A folder that is there once malicious code has run."""
    return tmp_path / "mark"


def conv() -> nn.Conv2d:
    return nn.Conv2d(1, 1, 3, padding=1).eval()


def test_a_pickled_module_is_opened_only_after_a_yes_that_names_file_and_code(tmp_path: Path) -> None:
    torch.save(conv(), tmp_path / "mine.pt")
    with pytest.raises(NotTrusted, match=r"mine\.pt would run the Python objects in it .*say so with trust=True") as no:
        load_model(tmp_path / "mine.pt")
    assert no.value.file == tmp_path / "mine.pt"
    assert "pickled module" in no.value.runs
    assert isinstance(load_model(tmp_path / "mine.pt", trust=True).module, nn.Conv2d)


def test_a_yes_is_remembered_for_the_content_under_any_name(tmp_path: Path) -> None:
    torch.save(conv(), tmp_path / "mine.pt")
    load_model(tmp_path / "mine.pt", trust=True)
    (tmp_path / "mine.pt").rename(tmp_path / "renamed.pt")
    load_model(tmp_path / "renamed.pt")


def test_another_content_under_the_same_name_is_asked_about_again(tmp_path: Path) -> None:
    torch.save(conv(), tmp_path / "mine.pt")
    load_model(tmp_path / "mine.pt", trust=True)
    torch.save(nn.Conv2d(1, 2, 3), tmp_path / "mine.pt")
    with pytest.raises(NotTrusted, match=r"mine\.pt would run"):
        load_model(tmp_path / "mine.pt")


def test_the_question_says_which_content_and_a_yes_to_it_opens_the_file(tmp_path: Path) -> None:
    torch.save(conv(), tmp_path / "mine.pt")
    with pytest.raises(NotTrusted, match=r"mine\.pt would run") as asked:
        load_model(tmp_path / "mine.pt")
    assert asked.value.sha256 == sha256((tmp_path / "mine.pt").read_bytes()).hexdigest()
    ns.trust(asked.value)
    assert isinstance(load_model(tmp_path / "mine.pt").module, nn.Conv2d)
    assert trusted()[asked.value.sha256]["file"] == "mine.pt"


def test_a_yes_to_a_file_in_an_archive_holds_though_the_unpacked_file_is_gone(tmp_path: Path) -> None:
    folder = recipe(tmp_path / "theirs", "torch.nn:Identity")
    path = zipped(tmp_path / "theirs.zip", *((one.name, one.read_bytes()) for one in folder.iterdir()))
    with pytest.raises(NotTrusted, match=r"recipe\.toml would run") as asked:
        load_model(path)
    assert not asked.value.file.exists()
    ns.trust(asked.value)
    assert load_model(path).name == "mine"


def test_a_yes_that_is_taken_back_is_asked_for_again(tmp_path: Path) -> None:
    torch.save(conv(), tmp_path / "mine.pt")
    load_model(tmp_path / "mine.pt", trust=True)
    digest = sha256((tmp_path / "mine.pt").read_bytes()).hexdigest()
    with pytest.raises(BadRequest, match=r"first 8 or more digits .* '0000000000' fits 0 of 1"):
        distrust("0000000000")
    with pytest.raises(BadRequest, match="fits 0 of 1"):
        distrust(digest[:4])
    distrust(digest[:12])
    with pytest.raises(NotTrusted, match=r"mine\.pt would run"):
        load_model(tmp_path / "mine.pt")


def test_a_damaged_book_of_trusted_files_trusts_nothing_and_is_written_anew(tmp_path: Path, data_folder: Path) -> None:
    torch.save(conv(), tmp_path / "mine.pt")
    data_folder.mkdir()
    (data_folder / "trusted.json").write_text("{")
    with pytest.raises(NotTrusted, match=r"mine\.pt would run"):
        load_model(tmp_path / "mine.pt")
    load_model(tmp_path / "mine.pt", trust=True)
    load_model(tmp_path / "mine.pt")


def test_reading_weights_runs_nothing_even_with_a_malicious_pickle(tmp_path: Path, mark: Path) -> None:
    torch.save({"weight": Bomb(mark)}, tmp_path / "mine.pt")
    with pytest.raises(ModelError, match=r"mine\.pt"):
        load_model(tmp_path / "mine.pt")
    with pytest.raises(ModelError, match=r"mine\.pt"):
        load_model(tmp_path / "mine.pt", architecture="unet", arguments={"inputs": 1, "outputs": 1})
    assert not mark.exists()


def recipe(folder: Path, architecture: str) -> Path:
    folder.mkdir()
    (folder / "recipe.toml").write_text(RECIPE.format(architecture=architecture))
    torch.save({}, folder / "weights.pt")
    return folder


def test_an_import_path_in_a_recipe_is_not_followed_without_a_yes(tmp_path: Path) -> None:
    folder = recipe(tmp_path / "theirs", "torch.nn:Identity")
    with pytest.raises(NotTrusted, match=r"recipe\.toml would run the code of torch\.nn:Identity, an import path"):
        load_model(folder)
    assert load_model(folder, trust=True).name == "mine"
    assert load_model(folder).name == "mine"


def test_a_name_from_the_table_needs_no_yes(tmp_path: Path) -> None:
    fields = {
        "name": "mine",
        "network": {"architecture": "unet", "arguments": {"inputs": 1, "outputs": 1, "widths": [2, 2]}},
        "input": {"channels": ["grey"], "multiple_of": 2},
        "output": {"kind": "image"},
    }
    from napari_seamless.models.networks.unet import UNet

    assert load_model(save_recipe(tmp_path / "mine", UNet(1, 1, (2, 2)), fields)).name == "mine"


def exported(path: Path) -> Path:
    torch.export.save(torch.export.export(conv(), (torch.zeros(1, 1, 16, 16),)), path)
    return path


def changed(path: Path, change: Callable[[str, bytes], bytes | None], **more: bytes) -> Path:
    """The archive with some entries changed (None: left out), and more of them."""
    with zipfile.ZipFile(path) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    root = next(iter(entries)).partition("/")[0]
    with zipfile.ZipFile(path, "w") as target:
        for name, content in entries.items():
            if (new := change(name, content)) is not None:
                target.writestr(name, new)
        for name, content in more.items():
            target.writestr(f"{root}/{name.replace('__', '/')}", content)
    return path


def test_example_inputs_of_an_exported_network_are_never_unpickled(tmp_path: Path, mark: Path) -> None:
    bomb = pickle.dumps(Bomb(mark))
    path = changed(exported(tmp_path / "mine.pt2"), lambda n, c: bomb if "sample_inputs" in n else c)
    assert load_model(path).channels == 1
    assert not mark.exists()


def edited(field: str, value: object) -> Callable[[str, bytes], bytes]:
    """A change of every field of that name in the archive's JSON."""

    def walk(found: object) -> object:
        if isinstance(found, dict):
            return {k: value if k == field else walk(v) for k, v in found.items()}
        return [walk(one) for one in found] if isinstance(found, list) else found

    return lambda name, content: json.dumps(walk(json.loads(content))).encode() if name.endswith(".json") else content


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("use_pickle", True, "holds pickled objects beside plain tensors"),
        ("path_name", "opaque_obj_0", r"holds an object that is no plain tensor \(opaque_obj_0\)"),
        ("path_name", "../../weight_0", "holds an object that is no plain tensor"),
        ("target", "torch.hub.load", r"calls torch\.hub\.load"),
        ("target", "torch.ops.aten.from_file.default", "calls torch.ops.aten.from_file"),
        ("guards_code", ["__import__('os').mkdir('x')"], "has a guard that is no arithmetic"),
        ("guards_code", ["L['x'].__class__.size() == 1"], "has a guard that is no arithmetic"),
        ("guards_code", ["[x for x in ()] == 1"], "has a guard that is no arithmetic"),
    ],
)
def test_an_exported_network_with_anything_that_runs_is_refused(
    tmp_path: Path, field: str, value: object, says: str
) -> None:
    path = changed(exported(tmp_path / "mine.pt2"), edited(field, value))
    with pytest.raises(ModelError, match=rf"mine\.pt2 .*{says}"):
        load_model(path)


@pytest.mark.parametrize(
    "text", ["__import__('os').system('true')", "Symbol('s0').__class__", "(lambda: 1)()", "Add(1, exec('1'))", "("]
)
def test_a_size_that_is_more_than_arithmetic_is_refused(tmp_path: Path, text: str) -> None:
    sides = ({2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO},)
    program = torch.export.export(conv(), (torch.zeros(1, 1, 16, 24),), dynamic_shapes=sides)
    torch.export.save(program, tmp_path / "mine.pt2")
    path = changed(tmp_path / "mine.pt2", edited("expr_str", text))
    with pytest.raises(ModelError, match=r"has a size that is no arithmetic"):
        load_model(path)


def test_compiled_code_in_an_exported_network_is_refused(tmp_path: Path) -> None:
    path = changed(exported(tmp_path / "mine.pt2"), lambda _, c: c, data__aotinductor__model__lib=b"so")
    with pytest.raises(ModelError, match="holds compiled machine code"):
        load_model(path)


def test_weights_of_an_old_export_that_are_a_pickle_are_refused(tmp_path: Path, mark: Path) -> None:
    path = changed(exported(tmp_path / "mine.pt2"), lambda _, c: c)
    with zipfile.ZipFile(path, "a") as target:
        target.writestr("mine/data/weights/model.pt", pickle.dumps(Bomb(mark)))
    with pytest.raises(ModelError, match="kept its weights as pickles"):
        load_model(path)
    assert not mark.exists()


class Writes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("/etc/hostname", False, 1, dtype=torch.uint8)


def test_a_script_that_reads_files_needs_a_yes(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Writes()), tmp_path / "mine.pt")
    with pytest.raises(NotTrusted, match=r"mine\.pt would run TorchScript code that uses from_file"):
        load_model(tmp_path / "mine.pt")


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is there twice is what is tested
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries:
                archive.writestr(name, content)
    return path


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([("../outside", b"x")], r"entry '\.\./outside' leads out of the folder"),
        ([("a/../../outside", b"x")], "leads out of the folder"),
        ([("/etc/outside", b"x")], "is an absolute path"),
        ([("C:/outside", b"x")], "absolute path or one of another system"),
        ([("a\\..\\outside", b"x")], "absolute path or one of another system"),
        ([(link("rdf.yaml"), b"/etc/passwd")], "is a link or a device"),
        ([("a", b"1"), ("A", b"2")], "is there twice"),
        ([("a", b"1"), ("a", b"2")], "is there twice"),
        ([("zeros", bytes(1 << 24))], r"at most 50 times its own size"),
    ],
    ids=["..", "inner ..", "absolute", "drive", "backslash", "link", "case", "twice", "bomb"],
)
def test_a_malicious_zip_file_is_refused_as_a_whole(
    tmp_path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]], says: str
) -> None:
    path = zipped(tmp_path / "mine.zip", ("recipe.toml", b"schema = 1"), *entries)
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ModelError, match=says):
        unpack(path, target)
    with pytest.raises(ModelError, match=says):
        load_model(path)
    assert list(target.iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_an_archive_with_too_many_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ENTRIES", 3)
    path = zipped(tmp_path / "mine.zip", *((str(k), b"") for k in range(4)))
    with pytest.raises(ModelError, match=r"at most 3 entries; mine\.zip has 4"):
        load_model(path)


def test_an_entry_that_is_longer_than_it_says_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "mine.zip", ("recipe.toml", b"x" * 1000))
    content = bytearray(path.read_bytes())
    # the size in the directory, after signature, versions, flags, method, time, checksum and packed size
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 10)
    path.write_bytes(bytes(content))
    with pytest.raises(ModelError, match=r"mine\.zip is damaged|is not as long as it says"):
        load_model(path)


@pytest.mark.parametrize("name", ["mine.zip", "mine.pt2", "mine.pt", "mine.pth", "mine.safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing more", b"\x80\x02}q\x00.", bytes(64)])
def test_a_broken_file_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"mine\.\w+"):
        load_model(tmp_path / name)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
@pytest.mark.parametrize("kind", ["weights.pt", "exported.pt2"])
def test_a_file_that_was_cut_off_is_one_sentence(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / kind
    if kind == "exported.pt2":
        exported(path)
    else:
        torch.save(conv().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match=kind):
        load_model(path)


def test_a_folder_that_is_no_model_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"holds recipe\.toml, .* \(rdf\.yaml\), or config\.json and weights of StarDist"
    ):
        load_model(tmp_path)


def test_the_bomb_of_these_tests_goes_off_where_it_is_unpickled(mark: Path) -> None:
    pickle.load(io.BytesIO(pickle.dumps(Bomb(mark))))
    assert mark.exists()
