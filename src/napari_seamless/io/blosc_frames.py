"""Chunks that blosc has packed, of which its decoder reads as many bytes as their frame says that it has.

It does not compare that with the bytes that there are: a damaged chunk ends the process. Once both agree it checks all
else by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

import zarr
from numcodecs import Blosc
from zarr.abc.codec import Codec
from zarr.codecs import BloscCodec, ShardingCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

from napari_seamless.io.readers.density import is_too_dense

HEADER, DECODED, LENGTH = 16, slice(4, 8), slice(12, 16)
"""Bytes that a frame begins with, and where in them it says how many it holds, and has."""
AnyArray = TypeVar("AnyArray", bound="zarr.Array[Any]")


def require_whole(frame: memoryview) -> None:
    """Raises ValueError for a frame that says that it is longer than it is, or holds more than it can."""
    size = frame.nbytes
    said = int.from_bytes(frame.cast("B")[LENGTH], "little") if size >= HEADER else HEADER
    if said > size:
        raise ValueError(f"a chunk of blosc says that it has {said} bytes, and has {size}")
    decoded = int.from_bytes(frame.cast("B")[DECODED], "little")
    if is_too_dense(decoded, size):
        raise ValueError(f"a chunk of blosc says that it holds {decoded} bytes in {size}")


class WholeBlosc(Blosc):  # type: ignore[misc]
    """Blosc of zarr 2."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        require_whole(memoryview(buf))
        return super().decode(buf, out)


class WholeBloscCodec(BloscCodec):
    """Blosc of zarr 3."""

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        require_whole(chunk_bytes.as_numpy_array().data)
        return await super()._decode_single(chunk_bytes, chunk_spec)

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        require_whole(chunk_bytes.as_numpy_array().data)
        return super()._decode_sync(chunk_bytes, chunk_spec)


def with_whole_frames(array: AnyArray) -> AnyArray:
    """The same array, whose damaged chunks of blosc raise ValueError or RuntimeError, whatever is in them."""
    metadata = array.metadata
    if isinstance(metadata, ArrayV2Metadata):
        compressor: Any = metadata.compressor
        if type(compressor) is not Blosc:
            return array
        said = compressor.get_config()
        careful: Any = replace(metadata, compressor=WholeBlosc(**{key: said[key] for key in said if key != "id"}))
    else:
        careful = _careful_metadata(metadata)
    return type(array)(zarr.AsyncArray(careful, array.store_path, array.config))


def _careful_metadata(metadata: ArrayV3Metadata) -> ArrayV3Metadata:
    return replace(metadata, codecs=_careful(metadata.codecs))


def _careful(codecs: Iterable[Codec]) -> tuple[Codec, ...]:
    return tuple(map(_careful_codec, codecs))


def _careful_codec(codec: Codec) -> Codec:
    if isinstance(codec, ShardingCodec):
        return replace(codec, codecs=_careful(codec.codecs), index_codecs=_careful(codec.index_codecs))
    if type(codec) is BloscCodec:
        return WholeBloscCodec(
            typesize=codec.typesize,
            cname=codec.cname,
            clevel=codec.clevel,
            shuffle=codec.shuffle,
            blocksize=codec.blocksize,
        )
    return codec
