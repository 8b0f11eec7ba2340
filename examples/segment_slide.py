"""Nuclei of a slide as OME-Zarr: open, load, run, and look at what comes back.

python examples/segment_slide.py IMAGE OUT.ome.zarr
"""

import argparse
from pathlib import Path

import numpy as np

import napari_seamless as ns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rows", type=int, help="only so many rows (and columns) from the top left corner")
    given = parser.parse_args()

    slide = ns.open_image(given.slide)
    region = None if given.rows is None else ns.Region.of((0, given.rows), (0, given.rows))
    result = ns.run(ns.load_model("nuclei"), slide, region=region, output=given.output)

    classes = np.bincount(np.asarray(result).ravel(), minlength=3)
    print(f"{classes[1:].sum() / classes.sum():.1%} of the pixels belong to nuclei")
    print(result.report)


if __name__ == "__main__":
    main()
