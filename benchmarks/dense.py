"""How much quicker a dense network is than the classifier it was made of, run at every pixel.

Both label the same region of noise in one process, the classifier in batches of crops; one thread unless --threads.

    python benchmarks/dense.py --size 128 --crop 65
    python benchmarks/dense.py --size 48 --network sk    # that of Tschopp 2015, whose figure is 54 on AMD GPUs
"""

from __future__ import annotations

import argparse
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_seamless.models.networks.dense_classifier import dense
from napari_seamless.models.networks.tschopp import sw_crop, sw_net


def classifier(crop: int) -> nn.Sequential:
    """Three times convolution and pooling, then two linear layers."""
    layers: list[nn.Module] = []
    channels, size = 3, crop
    for width in (24, 36, 48):
        layers += [nn.Conv2d(channels, width, 4), nn.ReLU(), nn.MaxPool2d(2)]
        channels, size = width, (size - 3) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size**2, 128), nn.ReLU(), nn.Linear(128, 3)).eval()


def sliding(network: nn.Module, image: Tensor, crop: int, batch: int = 256) -> Tensor:
    """The classifier at every pixel, in batches."""
    half, (rows, columns) = crop // 2, image.shape[2:]
    padded = F.pad(image, (half, crop - 1 - half, half, crop - 1 - half), mode="reflect")
    crops = padded.unfold(2, crop, 1).unfold(3, crop, 1)[0].permute(1, 2, 0, 3, 4)
    answers = [
        network(crops[k // columns, k % columns : k % columns + batch])
        for row in range(rows)
        for k in range(row * columns, (row + 1) * columns, batch)
    ]
    return torch.cat(answers).reshape(rows, columns, -1).permute(2, 0, 1)[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the region, in pixels")
    parser.add_argument("--crop", type=int, default=65, help="side of the classifier's crop")
    parser.add_argument("--network", choices=["small", "sk"], default="small")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    is_sk = given.network == "sk"
    crop = sw_crop() if is_sk else given.crop
    network, image = (sw_net().eval() if is_sk else classifier(crop)), torch.rand(1, 3, given.size, given.size)
    quick = dense(network, crop)
    with torch.inference_mode():
        begin = perf_counter()
        found = quick(image)
        middle = perf_counter()
        expected = sliding(network, image, crop, 256 if not is_sk else 32)
        end = perf_counter()
    print(f"region {given.size} x {given.size}, crop {crop} x {crop}")
    print(f"at every pixel   {end - middle:8.2f} s")
    print(f"dense            {middle - begin:8.2f} s   {(end - middle) / (middle - begin):.0f} times quicker")
    print(f"largest difference {(found - expected).abs().max() / expected.std():.1e} standard deviations")


if __name__ == "__main__":
    main()
