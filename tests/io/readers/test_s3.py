"""Zarr images in a bucket, on a server in this process that speaks S3."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from napari_seamless.cli import main
from napari_seamless.errors import InputUnreadable
from napari_seamless.io.readers import open_image
from ome_zarr_images import ome_zarr
from sources_oracle import assert_reads_equal, texture

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto.moto_server.threaded_moto_server")
pytest.importorskip("s3fs")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket with an image in it; where the server is and who asks comes from the environment."""
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="slides")
    levels = [texture(3, 50, 70, dtype="uint16"), texture(3, 25, 35, dtype="uint16")]
    ome_zarr(tmp_path / "image.ome.zarr", levels, "cyx", "0.5")
    for file in (f for f in (tmp_path / "image.ome.zarr").rglob("*") if f.is_file()):
        client.upload_file(str(file), "slides", f"study/{file.relative_to(tmp_path).as_posix()}")
    client.close()
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield "s3://slides/study"
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    gc.collect()
    server.stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # s3fs leaves its connection open for as long as it lives
def test_an_image_in_a_bucket_is_read_level_by_level(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = open_image(f"{bucket}/image.ome.zarr")
    assert (source.info.name, source.info.pixel_size) == ("cells", (0.5, 0.5))
    for level, size in enumerate([(50, 70), (25, 35)]):
        assert_reads_equal(source, texture(3, *size, dtype="uint16"), level, count=2)
    assert_reads_equal(pickle.loads(pickle.dumps(source)), texture(3, 50, 70, dtype="uint16"), count=1)
    with pytest.raises(InputUnreadable, match=r"over the network only zarr is read; no zarr metadata is at s3://"):
        open_image(f"{bucket}/nothing.zarr")
    assert main(["info", f"{bucket}/image.ome.zarr"]) == 0
    assert "level 1     25 x 35" in capsys.readouterr().out
