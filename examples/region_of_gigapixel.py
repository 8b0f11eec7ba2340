"""A small region of an image of 100 000 x 100 000 pixels, the same as if all of it had been computed.

The network is traced at the true size, which costs no memory; only the region asked for, and what it needs, is read.

    python examples/region_of_gigapixel.py
"""

import argparse

import numpy as np

import napari_seamless as ns
from napari_seamless.io.readers import MirrorTiled, sample_slide


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=512)
    given = parser.parse_args()

    image = MirrorTiled(ns.open_image(sample_slide()), (given.size, given.size))
    middle = given.size // 2
    region = ns.Region.of((middle, middle + given.rows), (middle, middle + given.rows))
    result = ns.run("stain", image, region=region)
    print(f"{np.asarray(result).shape} out of {image.info.levels.shape(0)}")
    print(result.report)


if __name__ == "__main__":
    main()
