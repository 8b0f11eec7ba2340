"""Makes the picture of docs/cells.md from a real run on the sample slide: docs/images/nuclei-he.png.

python docs/make_cells_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage.segmentation import find_boundaries

import napari_seamless as ns
from napari_seamless.io.readers import sample_slide

REGION = ns.Region.of((2300, 2700), (1250, 1850))
ENLARGED = 2
OUTLINE = (0, 255, 90)


def main() -> None:
    """Run, and draw the outlines of objects on the tissue."""
    slide = ns.open_image(sample_slide())
    labels = np.asarray(ns.run("nuclei-he", slide, region=REGION))
    tissue = np.moveaxis(slide.read(REGION, 0), 0, -1)
    large = [picture.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1) for picture in (tissue, labels)]
    large[0][find_boundaries(large[1], mode="inner")] = OUTLINE
    path = Path(__file__).parent / "images" / "nuclei-he.png"
    Image.fromarray(large[0]).quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
