"""A painting's manner on an image of 100 000 x 100 000 pixels, or on as much of it as you have time for.

Norms of a style network take their statistics over the whole picture. The picture here is one slide, mirrored again
and again, so its statistics are those of the slide: they are measured there once, and serve any region of the picture.
To save time a part of the slide stands for it; `--sample 0` measures all of it.

    python examples/style_a_gigapixel_image.py styled.ome.zarr
"""

import argparse
from pathlib import Path

import napari_seamless as ns
from napari_seamless.io.readers import MirrorTiled, sample_slide

REGION = (50_176, 51_200, 49_664, 50_688)
"""First and last row, first and last column: whole chunks of 512, near the middle."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--style", default="style-wave", help="a name, or a file of weights of your own")
    parser.add_argument("--size", type=int, default=100_000, help="side of the large image")
    parser.add_argument("--region", type=int, nargs=4, default=REGION, metavar="PIXEL")
    parser.add_argument("--sample", type=int, default=1024, help="side of the part to measure; 0: the whole slide")
    given = parser.parse_args()

    slide = ns.open_image(sample_slide())
    height, width = slide.info.levels.shape(0)
    top, left = (max((n - given.sample) // 2, 0) if given.sample else 0 for n in (height, width))
    part = slide.read(ns.Region.of((top, height - top), (left, width - left)))
    measured = ns.run(given.style, part, axes="cyx", region=ns.Region.of((0, 64), (0, 64)))

    image = MirrorTiled(slide, (given.size, given.size))
    y0, y1, x0, x1 = given.region
    region = ns.Region.of((y0, y1), (x0, x1))
    result = ns.run(given.style, image, region=region, statistics=measured.moments, output=given.output)
    print(f"{region} of {image.info.levels.shape(0)} painted to {given.output}")
    print(result.report)


if __name__ == "__main__":
    main()
