"""How `cellpose` and `cellpose.npz` beside this file were made: by Cellpose's own code, with random weights.

    pip install cellpose==3.1.1.1
    python make_cellpose.py

`cellpose.npz` has pictures and what Cellpose makes of them when it sees them as a whole, in one tile: scaled by its
percentiles, resized for objects of 36 pixels, padded, and brought back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from cellpose.resnet_torch import CPnet
from cellpose.transforms import convert_image, get_pad_yx, normalize_img, resize_image

HERE = Path(__file__).parent
DIAMETER = 36.0


def network() -> CPnet:
    torch.manual_seed(0)
    made = CPnet([2, 4, 6, 8], 3, 3).eval()
    made.diam_labels.data[:] = DIAMETER
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return made


def given(net: CPnet, image: np.ndarray, **channels: object) -> np.ndarray:
    """What CellposeModel.eval has before it makes masks, (3, y, x), of an image (y, x[, c]) of one tile.

    As cellpose.core.run_net, which wants a style of 256 numbers.
    """
    pixels = resize_image(normalize_img(convert_image(image, nchan=2, **channels)), rsz=30 / DIAMETER)
    top, bottom, left, right = get_pad_yx(*pixels.shape[:2])
    padded = np.pad(pixels.transpose(2, 0, 1), [(0, 0), (top, bottom), (left, right)])
    with torch.inference_mode():
        found = net(torch.from_numpy(padded)[None])[0][0].numpy()
    return resize_image(found[:, top:-bottom, left:-right].transpose(1, 2, 0), *image.shape[:2]).transpose(2, 0, 1)


def main() -> None:
    net, random = network(), np.random.default_rng(0)
    net.save_model(HERE / "cellpose")
    cells = random.integers(0, 4000, (50, 83)).astype(np.uint16)
    both = random.integers(0, 4000, (2, 34, 40)).astype(np.uint16)
    np.savez_compressed(
        HERE / "cellpose.npz",
        cells=cells,
        cells_output=given(net, cells, channels=[0, 0]),
        both=both,
        both_output=given(net, both.transpose(1, 2, 0), channels=[1, 2], channel_axis=2),
    )


if __name__ == "__main__":
    main()
