"""Small files that ask for much: memory, time or depth. Each is written into an empty folder; none is a good file."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tifffile
import torch
import zarr
from safetensors.torch import save_file

from napari_seamless.models.loaders import bioimageio_example, pt2

DEEP = 100_000


def recipe(folder: Path, arguments: str = "{}", more: str = "", architecture: str = "unet") -> Path:
    """A recipe's folder, with lines of your own in it."""
    (folder / "recipe").mkdir()
    save_file({"weight": torch.zeros(4)}, folder / "recipe" / "weights.safetensors")
    (folder / "recipe" / "recipe.toml").write_text(
        f'schema = 1\nname = "mine"\n{more}\n[network]\narchitecture = "{architecture}"\narguments = {arguments}\n'
        'weights = "weights.safetensors"\n[input]\nchannels = ["grey"]\n[output]\nkind = "image"\n'
    )
    return folder / "recipe"


def _wide_network(folder: Path) -> Path:
    return recipe(folder, "{ inputs = 1, outputs = 1, widths = [1000000, 1000000] }")


def _long_network(folder: Path) -> Path:
    return recipe(folder, f"{{ inputs = 1, outputs = 1, widths = [{'1, ' * 50_000}] }}")


def _deep_toml(folder: Path) -> Path:
    return recipe(folder, f"{{ a = {'[' * DEEP}{']' * DEEP} }}")


def _deep_keys(folder: Path) -> Path:
    return recipe(folder, more=f"card.{'a.' * DEEP}a = 1")


def _long_toml(folder: Path) -> Path:
    return recipe(folder, more=f"title = '{'a' * 30_000_000}'")


def _many_classes(folder: Path) -> Path:
    return recipe(folder, more=f"[output]\nclasses = [{'{ value = 1, name = 1 }, ' * 100_000}]")


def _package(folder: Path, description: str) -> Path:
    package = bioimageio_example.write_example(folder)
    (package / "rdf.yaml").write_text(description)
    return package


def _laughs(folder: Path) -> Path:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 30)]
    return _package(folder, "type: model\nformat_version: 0.5.4\n" + "\n".join(lines) + "\nconfig: *a29\n")


def _deep_yaml(folder: Path) -> Path:
    return _package(folder, "[" * DEEP)


def _endless_yaml(folder: Path) -> Path:
    return _package(folder, "a: &a [*a]\ntype: model\nformat_version: 0.5.4\n")


def _long_yaml(folder: Path) -> Path:
    return _package(folder, "".join(f"key{k}: [1, 2, 3]\n" for k in range(300_000)))


def _exported(folder: Path, change: Callable[[str], str]) -> Path:
    good = pt2.write_example(folder)
    packed = io.BytesIO()
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in archive.namelist():
            content = archive.read(name)
            target.writestr(name, change(content.decode()) if name.endswith("models/model.json") else content)
    good.write_bytes(packed.getvalue())
    return good


def _size(expression: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        model = json.loads(text)
        waiting = [model]
        while waiting:
            one = waiting.pop()
            if isinstance(one, dict):
                if "expr_str" in one:
                    one["expr_str"] = expression
                waiting.extend(one.values())
            elif isinstance(one, list):
                waiting.extend(one)
        return json.dumps(model)

    return change


def _powers(folder: Path) -> Path:
    return _exported(folder, _size("9**9**9**9"))


def _called_powers(folder: Path) -> Path:
    return _exported(folder, _size("Pow(Integer(9), Pow(Integer(9), Integer(9)))"))


def _shifts(folder: Path) -> Path:
    return _exported(folder, _size("1 << 10**12"))


def _long_product(folder: Path) -> Path:
    return _exported(folder, _size("*".join(["(s0 + s1 + 1)"] * 3000)))


def _many_largest(folder: Path) -> Path:
    return _exported(folder, _size(f"Max({', '.join(f's{k} + {k}' for k in range(3000))})"))


def _deep_json(folder: Path) -> Path:
    return _exported(folder, lambda _: "[" * DEEP)


def _long_json(folder: Path) -> Path:
    return _exported(folder, lambda text: text + " " * 200_000_000)


def _packed_zeros(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "zeros.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("zeros.bin", "w", force_zip64=True) as entry:
            for _ in range(300):
                entry.write(bytes(1 << 20))
        archive.writestr("recipe.toml", "schema = 1")
    return folder / "zeros.zip"


def _shared_entries(folder: Path) -> Path:
    """Entries that all lie on the same packed bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a" * 8, np.random.default_rng(0).integers(0, 3, 10_000_000).astype("u1").tobytes())
    data = packed.getvalue()
    end = data.rindex(b"PK\5\6")
    start = struct.unpack("<I", data[end + 16 : end + 20])[0]
    entry = data[start:end]
    entries = b"".join(entry.replace(b"a" * 8, b"%08d" % k) for k in range(5000))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5000, 5000, len(entries), start, 0)
    (folder / "shared.zip").write_bytes(data[:start] + entries + tail)
    return folder / "shared.zip"


def _many_entries(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "many.zip", "w") as archive:
        archive.writestr("recipe.toml", "")
    data = (folder / "many.zip").read_bytes()
    end = data.rindex(b"PK\5\6")
    start = struct.unpack("<I", data[end + 16 : end + 20])[0]
    entries = data[start:end] * 1_000_000
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(entries), start, 0)
    (folder / "many.zip").write_bytes(data[:start] + entries + tail)
    return folder / "many.zip"


def _lying_safetensors(folder: Path) -> Path:
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}}).encode()
    (folder / "lying.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    return folder / "lying.safetensors"


def _lying_pickle(folder: Path) -> Path:
    """A file as torch wrote it before 1.6, a row of pickles, with a text that claims an exabyte."""
    (folder / "lying.pth").write_bytes(b"\x80\x02\x8d" + struct.pack("<Q", 1 << 60) + b"a.")
    return folder / "lying.pth"


def _long_safetensors(folder: Path) -> Path:
    header = b'{"' + b"a" * 60_000_000 + b'": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'
    (folder / "long.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder / "long.safetensors"


def _laughing_checkpoint(folder: Path) -> Path:
    inner: object = {f"w{k}": 1 for k in range(30)}
    for _ in range(20):
        inner = {f"w{k}": inner for k in range(30)}
    torch.save(inner, folder / "laughs.pt")
    return folder / "laughs.pt"


def _deep_checkpoint(folder: Path) -> Path:
    deep = b"\x80\x02" + b"]" * DEEP + b"a" * (DEEP - 1) + b"."
    with zipfile.ZipFile(folder / "deep.pt", "w") as archive:
        archive.writestr("deep/data.pkl", deep)
        archive.writestr("deep/version", "3\n")
        archive.writestr("deep/byteorder", "little")
    return folder / "deep.pt"


def _repeated_tensor(folder: Path) -> Path:
    """A tensor of a trillion numbers that are all the same one."""
    torch.save({"weight": torch.zeros(1).expand(10**6, 10**6)}, folder / "repeated.pt")
    return folder / "repeated.pt"


def _long_script(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.ReLU()).eval()), folder / "script.pt")
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(folder / "script.pt") as archive,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            if "/activation" in name:  # torch gives the class a name of its own where it has seen it before
                content = content.replace(b"return ", b"return " + b"(" * DEEP)
            target.writestr(name, content)
    (folder / "script.pt").write_bytes(packed.getvalue())
    return folder / "script.pt"


MODELS: Mapping[str, Callable[[Path], Path]] = {
    "a network of billions of weights": _wide_network,
    "a network of fifty thousand layers": _long_network,
    "TOML of lists in lists": _deep_toml,
    "TOML of tables in tables": _deep_keys,
    "TOML of 30 MB": _long_toml,
    "TOML of a hundred thousand classes": _many_classes,
    "YAML of a billion laughs": _laughs,
    "YAML of lists in lists": _deep_yaml,
    "YAML that holds itself": _endless_yaml,
    "YAML of 6 MB": _long_yaml,
    "a size of 9**9**9": _powers,
    "a size of powers as calls": _called_powers,
    "a size of shifts": _shifts,
    "a size of three thousand factors": _long_product,
    "a size that is the largest of three thousand": _many_largest,
    "JSON of lists in lists": _deep_json,
    "JSON of 200 MB, packed": _long_json,
    "a zip file of zeros": _packed_zeros,
    "a zip file of entries on the same bytes": _shared_entries,
    "a zip file of a million entries": _many_entries,
    "safetensors of another size": _lying_safetensors,
    "a pickle with a text of an exabyte": _lying_pickle,
    "safetensors of a name of 60 MB": _long_safetensors,
    "a checkpoint of a billion laughs": _laughing_checkpoint,
    "a checkpoint of lists in lists": _deep_checkpoint,
    "a tensor of the same number everywhere": _repeated_tensor,
    "TorchScript of brackets in brackets": _long_script,
}


def _png(folder: Path, side: int) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, packed = zlib.compressobj(9), []
    for _ in range(side):
        packed.append(packer.compress(bytes(side + 1)))
    data = b"".join(packed) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    (folder / "zeros.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return folder / "zeros.png"


def _zeros_png(folder: Path) -> Path:
    return _png(folder, 13_000)


def _claimed_png(folder: Path) -> Path:
    path = _png(folder, 10)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 2**30, 2**30)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    return path


def _postscript(folder: Path) -> Path:
    (folder / "program.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n{} loop\n%%EOF\n")
    return folder / "program.eps"


def _tiff(folder: Path, tags: Mapping[int, tuple[int, int, bytes]], *, loops: bool = False) -> Path:
    """One directory: tags of (type, count, value or the bytes that it lies in)."""
    body, extra = b"", b""
    start = 8 + 2 + 12 * len(tags) + 4
    for code, (kind, count, value) in sorted(tags.items()):
        if len(value) > 4:
            field = struct.pack("<I", start + len(extra))
            extra += value
        else:
            field = value.ljust(4, b"\0")
        body += struct.pack("<HHI", code, kind, count) + field
    following = struct.pack("<I", 8 if loops else 0)
    (folder / "bomb.tif").write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + body + following + extra)
    return folder / "bomb.tif"


def _grey(
    width: int, height: int, rows: int, data: bytes, pieces: int = 1, compression: int = 8
) -> dict[int, tuple[int, int, bytes]]:
    def number(value: int) -> tuple[int, int, bytes]:
        return 4, 1, struct.pack("<I", value)

    del data
    return {
        256: number(width), 257: number(height), 258: number(8), 259: number(compression), 262: number(1),
        273: (4, pieces, struct.pack("<I", 8) * pieces), 277: number(1), 278: number(rows),
        279: (4, pieces, struct.pack("<I", 4) * pieces),
    }  # fmt: skip


def _huge_tiff(folder: Path) -> Path:
    return _tiff(folder, _grey(2**31, 2**31, 2**31, b""))


def _one_strip(folder: Path) -> Path:
    path = folder / "strip.tif"
    tifffile.imwrite(path, np.zeros((10, 30_000), np.uint8), compression="zlib", rowsperstrip=10, metadata=None)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(30_000)) for _ in range(15_000)) + packer.flush()
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[0].tags
        at = path.stat().st_size
        for name, value in (("ImageLength", 15_000), ("RowsPerStrip", 15_000), ("StripByteCounts", len(data)),
                            ("StripOffsets", at)):  # fmt: skip
            tags[name].overwrite(value, dtype="I")
    with path.open("ab") as file:
        file.write(data)
    return path


def _many_strips(folder: Path) -> Path:
    return _tiff(folder, _grey(1, 4_000_000, 1, b"", pieces=4_000_000))


def _claimed_strips(folder: Path) -> Path:
    tags = _grey(10, 10, 10, b"")
    return _tiff(folder, tags | {273: (4, 2**31, struct.pack("<I", 8)), 279: (4, 2**31, struct.pack("<I", 8))})


def _looping_tiff(folder: Path) -> Path:
    return _tiff(folder, _grey(10, 10, 10, b""), loops=True)


def _many_directories(folder: Path) -> Path:
    count = 100_000
    data = bytearray(b"II*\0\x08\0\0\0")
    for k in range(count):
        entry = struct.pack("<HHHII", 1, 256, 4, 1, 10)
        following = 0 if k == count - 1 else len(data) + len(entry) + 4
        data += entry + struct.pack("<I", following)
    (folder / "many.tif").write_bytes(data)
    return folder / "many.tif"


def _described_tiff(folder: Path, text: str, **more: object) -> Path:
    path = folder / "described.ome.tif"
    tifffile.imwrite(path, np.zeros((20, 30), np.uint8), description=text, metadata=None, **more)  # type: ignore[arg-type]
    return path


PLANE = "ID='Pixels:0' DimensionOrder='XYCZT' Type='uint8' SizeX='30' SizeY='20'"
OME = '<?xml version="1.0"?>{}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'


def _laughing_ome(folder: Path) -> Path:
    entities = '<!ENTITY a0 "aaaaaaaaaa">' + "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))
    return _described_tiff(folder, OME.format(f"<!DOCTYPE OME [{entities}]>", "<Image ID='Image:0' Name='&a9;'/>"))


def _deep_ome(folder: Path) -> Path:
    return _described_tiff(folder, OME.format("", "<a>" * DEEP + "</a>" * DEEP))


def _outside_ome(folder: Path) -> Path:
    entity = '<!DOCTYPE OME [<!ENTITY file SYSTEM "file:///etc/passwd">]>'
    return _described_tiff(folder, OME.format(entity, "<Image ID='Image:0' Name='&file;'/>"))


def _huge_ome(folder: Path) -> Path:
    pixels = f"<Pixels {PLANE} SizeC='1000000' SizeZ='1000000' SizeT='1000000'/>"
    return _described_tiff(folder, OME.format("", f"<Image ID='Image:0'>{pixels}</Image>"))


def _many_channels_ome(folder: Path) -> Path:
    channels = "".join(f"<Channel ID='Channel:0:{k}' Name='c'/>" for k in range(30_000))
    pixels = f"<Pixels {PLANE} SizeC='1' SizeZ='1' SizeT='1'>{channels}<TiffData/></Pixels>"
    return _described_tiff(folder, OME.format("", f"<Image ID='Image:0'>{pixels}</Image>"))


def _long_ome(folder: Path) -> Path:
    return _described_tiff(folder, OME.format("", " " * 35_000_000))


def _zarr(folder: Path, **changed: object) -> Path:
    path = folder / "bomb.zarr"
    zarr.save_array(str(path), np.zeros((20, 30), np.uint8))
    file = path / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    return path


def _long_attributes(folder: Path) -> Path:
    return _zarr(folder, attributes={"x": "a" * 40_000_000})


def _deep_attributes(folder: Path) -> Path:
    path = _zarr(folder)
    file = path / "zarr.json"
    file.write_text(
        file.read_text().replace('"attributes": {}', '"attributes": {"x": ' + "[" * DEEP + "]" * DEEP + "}")
    )
    return path


def _huge_shape(folder: Path) -> Path:
    return _zarr(folder, shape=[10**18, 10**18])


def _huge_chunk(folder: Path) -> Path:
    side = 100_000
    grid = {"name": "regular", "configuration": {"chunk_shape": [side, side]}}
    return _zarr(folder, shape=[side, side], chunk_grid=grid)


def _packed_chunk(folder: Path) -> Path:
    """A chunk of 400 MB of zeros, which zstd makes small."""
    side = 20_000
    path = folder / "packed.zarr"
    zarr.create_array(
        str(path), shape=(side, side), chunks=(side, side), dtype="u1", compressors=zarr.codecs.GzipCodec()
    )
    packer = zlib.compressobj(9, wbits=31)
    data = b"".join(packer.compress(bytes(side)) for _ in range(side)) + packer.flush()
    (path / "c" / "0").mkdir(parents=True)
    (path / "c" / "0" / "0").write_bytes(data)
    return path


def _many_levels(folder: Path) -> Path:
    path = folder / "levels.zarr"
    group = zarr.create_group(str(path), zarr_format=3)
    group.create_array("0", shape=(20, 30), chunks=(20, 30), dtype="u1")
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}] * 20_000
    axes = [{"name": a, "type": "space"} for a in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


IMAGES: Mapping[str, Callable[[Path], Path]] = {
    "a PNG of 169 megapixels of zeros": _zeros_png,
    "a PNG that claims 2**60 pixels": _claimed_png,
    "a picture that is a program": _postscript,
    "a TIFF that claims 2**62 pixels": _huge_tiff,
    "a TIFF of one strip of 450 MB": _one_strip,
    "a TIFF of four million strips": _many_strips,
    "a TIFF that claims two billion strips": _claimed_strips,
    "a TIFF whose directories go in a ring": _looping_tiff,
    "a TIFF of a hundred thousand directories": _many_directories,
    "OME-XML of 35 MB": _long_ome,
    "zarr attributes of 40 MB": _long_attributes,
    "zarr attributes of lists in lists": _deep_attributes,
    "a zarr chunk of 400 MB of zeros": _packed_chunk,
    "an OME-Zarr of twenty thousand levels": _many_levels,
}


HARMLESS: Mapping[str, Callable[[Path], Path]] = {
    "OME-XML of a billion laughs": _laughing_ome,
    "OME-XML of elements in elements": _deep_ome,
    "OME-XML that names another file": _outside_ome,
    "OME-XML of 10**18 planes": _huge_ome,
    "OME-XML of thirty thousand channels": _many_channels_ome,
    "a zarr array of 10**36 pixels": _huge_shape,
    "a zarr chunk of 10 GB that is not there": _huge_chunk,
}
"""Images that claim much and are read for the pixels that they have, at the cost of what is read."""


def _geojson(folder: Path, content: str) -> Path:
    (folder / "outlines.geojson").write_text(content)
    return folder / "outlines.geojson"


def _deep_geojson(folder: Path) -> Path:
    return _geojson(folder, "[" * DEEP + "]" * DEEP)


def _nested_geojson(folder: Path) -> Path:
    depth = 900
    return _geojson(folder, '{"type": "FeatureCollection", "features": [' * depth + "]}" * depth)


OUTLINES: Mapping[str, Callable[[Path], Path]] = {
    "GeoJSON of lists in lists": _deep_geojson,
    "GeoJSON of collections in collections": _nested_geojson,
}
