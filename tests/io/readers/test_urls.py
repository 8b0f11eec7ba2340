"""Zarr images on other machines: an HTTP server of this test's own, and fsspec's file system in memory."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zarr

import bombs
from folder_server import FolderHandler, serving
from napari_seamless.errors import InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.io.readers import ome_zarr, open_image, opener, sample_slide, urls, zarr_files
from ome_zarr_images import ome_zarr as written_ome_zarr
from scene_files import raw_folder
from sources_oracle import assert_reads_equal, texture


class BusyHandler(FolderHandler):
    """Answers "503" to as many requests for chunks as the server says."""

    def do_GET(self) -> None:
        server: Any = self.server
        is_chunk = "." not in self.path.rpartition("/")[2]
        server.asked.append(self.path)
        if is_chunk and server.failures > 0:
            server.failures -= 1
            self.send_error(503)
        else:
            super().do_GET()


class EndlessHandler(FolderHandler):
    """Sends one file without end, and says nothing of its size."""

    def do_GET(self) -> None:
        server: Any = self.server
        if not self.path.endswith(server.endless):
            super().do_GET()
            return
        self.send_response(200)
        self.end_headers()
        with suppress(ConnectionError):
            while True:
                server.sent += self.wfile.write(b" " * 2**16)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    with serving(tmp_path, BusyHandler, failures=0, asked=[]) as http:
        yield http


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_on_a_server_is_read_level_by_level(version: str, server: Any, tmp_path: Path) -> None:
    levels = [texture(3, 50, 70, dtype="uint16"), texture(3, 25, 35, dtype="uint16")]
    written_ome_zarr(tmp_path / "image.ome.zarr", levels, "cyx", version)
    source = open_image(f"{server.url}/image.ome.zarr")
    assert (source.info.name, source.info.pixel_size) == ("cells", (0.5, 0.5))
    for k, level in enumerate(levels):
        assert_reads_equal(source, level, k, count=2)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.info == source.info
    assert_reads_equal(copy, levels[0], count=1)


def test_only_the_chunks_under_a_region_are_fetched(server: Any, tmp_path: Path) -> None:
    written_ome_zarr(tmp_path / "image.zarr", [texture(64, 64)], "yx", "0.5")
    source = open_image(f"{server.url}/image.zarr/")
    server.asked.clear()
    source.read(Region.of((20, 30), (10, 20)))
    assert sorted(server.asked) == ["/image.zarr/s0/c/1/0", "/image.zarr/s0/c/1/1"]


def test_another_image_at_the_same_address_has_another_identity(server: Any, tmp_path: Path) -> None:
    written_ome_zarr(tmp_path / "image.zarr", [texture(20, 20)], "yx", "0.5")
    first, again = (open_image(f"{server.url}/image.zarr").info.identity for _ in range(2))
    written_ome_zarr(tmp_path / "image.zarr", [texture(20, 20)], "yx", "0.5", omero={"channels": []})
    assert first == again != open_image(f"{server.url}/image.zarr").info.identity


def test_scenes_of_a_folder_on_a_server_are_found_without_a_listing(server: Any, tmp_path: Path) -> None:
    raw_folder(tmp_path / "raw.zarr", 2, listed=False)
    assert_reads_equal(open_image(f"{server.url}/raw.zarr", scene=1), texture(1, 20, 10), count=2)


def test_plain_arrays_open_from_any_file_system_of_fsspec() -> None:
    memory: Any = fsspec.filesystem("memory")
    zarr.save_array("memory://plain.zarr", texture(9, 30, 40))
    assert_reads_equal(open_image("memory://plain.zarr", axes="zyx"), texture(1, 9, 30, 40), count=2)
    memory.rm("plain.zarr", recursive=True)


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    written_ome_zarr(tmp_path / "a b.zarr", [texture(20, 20)], "yx", "0.5")
    assert_reads_equal(open_image((tmp_path / "a b.zarr").as_uri()), texture(1, 20, 20), count=2)


def test_a_server_that_fails_for_a_moment_is_asked_again(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ome_zarr, "RETRIES", (0.0, 0.0))
    written_ome_zarr(tmp_path / "image.zarr", [texture(16, 16)], "yx", "0.5")
    source = open_image(f"{server.url}/image.zarr")
    server.failures = 2
    assert_reads_equal(source, texture(1, 16, 16), count=1)
    server.failures = 100
    with pytest.raises(InputDamaged, match=r"image.zarr, level 0, y\[3, 9\) x\[0, 16\): .*503"):
        source.read(Region.of((3, 9), (0, 16)))


@pytest.mark.parametrize(
    ("endless", "sentence"), [("zarr.json", "zarr metadata have 16 MB"), ("c/0/0", "a file of chunks has 8 MB")]
)
def test_a_server_that_sends_a_file_without_end_is_not_listened_to_for_long(
    endless: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zarr_files, "LONGEST_CHUNK", 2**23)
    written_ome_zarr(tmp_path / "image.zarr", [texture(16, 16)], "yx", "0.5")
    with serving(tmp_path, EndlessHandler, endless=endless, sent=0) as http:
        with pytest.raises(InputDamaged, match=f"{sentence} at most; .*{endless} goes on after these; do not open it"):
            open_image(f"{http.url}/image.zarr").read(Region.of((0, 16), (0, 16)))
        assert http.sent < 2**26


def test_a_chunk_on_a_server_that_would_grow_very_much_is_refused(server: Any, tmp_path: Path) -> None:
    bombs.IMAGES["a zarr chunk of 400 MB of zeros"](tmp_path)
    with pytest.raises(
        InputDamaged, match=r"fills more than a 500th of its pixels' bytes; http.*packed.zarr/c/0/0 has"
    ):
        open_image(f"{server.url}/packed.zarr").read(Region.of((0, 10), (0, 10)))


def test_an_address_without_zarr_is_refused(server: Any, tmp_path: Path) -> None:
    (tmp_path / "slide.svs").write_bytes(sample_slide().read_bytes()[:1000])
    zarr.open_group(str(tmp_path / "group.zarr"), mode="w").create_array("raw", shape=(5, 5), dtype="u1")
    for name, sentence in (("slide.svs", "no zarr metadata is at"), ("group.zarr", "has no multiscales metadata")):
        with pytest.raises(InputUnreadable, match=f"over the network only zarr is read; .*{sentence}"):
            open_image(f"{server.url}/{name}")


def test_a_server_that_is_not_there_is_named() -> None:
    sentence = r"an address must answer; http://127.0.0.1:9/image.zarr.*Cannot connect.*check it, and the network"
    with pytest.raises(InputUnreadable, match=sentence) as problem:
        open_image("http://127.0.0.1:9/image.zarr")
    assert not isinstance(problem.value, InputDamaged)


def test_addresses_of_unknown_kinds_and_missing_packages_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputUnreadable, match=r"must begin with http://, https://, s3://, .*; got ftp://host/a.zarr"):
        open_image("ftp://host/a.zarr")
    monkeypatch.setattr(urls, "find_spec", lambda _: None)
    with pytest.raises(
        InputUnreadable, match=r'read by s3fs and fsspec, not installed; pip install "napari-seamless\['
    ):
        open_image("s3://bucket/a.zarr")
    assert opener.is_url(r"C:\slides\a.svs") is False
