"""How the StarDist folders beside this file were made: by StarDist's own code, on pictures that it makes up.

    pip install stardist tensorflow-cpu
    python make_stardist.py

`stardist` is trained for a minute, where it is not there, to find two kinds of discs; `stardist-random` keeps random
weights and has what the other one has not: two channels, batch norm, kernels of even size, another activation at the
end. `stardist.npz` has the pictures and what StarDist itself gives for them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from csbdeep.utils import normalize
from scipy import ndimage
from stardist.models import Config2D, StarDist2D

HERE = Path(__file__).parent
EVERY = 4
"""Of the trained network's output every fourth cell is kept."""


def picture(seed: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, dict[int, int]]:
    """A picture (uint16), its labels, and which of them is small (1) or large (2)."""
    random = np.random.default_rng(seed)
    y, x = np.indices(shape)
    labels, kinds = np.zeros(shape, np.int32), {}
    for number in range(1, 40):
        kind = int(random.integers(1, 3))
        cy, cx, radius = random.uniform(0, shape[0]), random.uniform(0, shape[1]), random.uniform(3, 4.5) * kind
        disc = (y - cy) ** 2 + ((x - cx) * random.uniform(0.8, 1.2)) ** 2 < radius**2
        if disc.sum() > 12 and not labels[disc].any():
            labels[disc] = number
            kinds[number] = kind
    light = ndimage.gaussian_filter((labels > 0) * random.uniform(0.7, 1), 0.8)
    pixels = 400 + 3000 * light + random.normal(0, 60, shape)
    return pixels.astype(np.uint16), labels, kinds


def trained() -> StarDist2D:
    if (HERE / "stardist" / "weights_best.h5").is_file():
        return StarDist2D(None, "stardist", str(HERE))
    config = Config2D(
        n_rays=16, grid=(2, 2), n_classes=2, unet_n_depth=2, unet_n_filter_base=4, net_conv_after_unet=12,
        train_patch_size=(64, 64), train_batch_size=8, train_epochs=25, train_steps_per_epoch=60,
        train_learning_rate=2e-3, train_tensorboard=False,
    )  # fmt: skip
    model = StarDist2D(config, "stardist", str(HERE))
    pixels, labels, kinds = zip(*(picture(seed, (128, 128)) for seed in range(40)), strict=True)
    scaled = [normalize(one, 1, 99.8) for one in pixels]
    held_out = (scaled[32:], labels[32:], kinds[32:])
    model.train(scaled[:32], labels[:32], validation_data=held_out, classes=kinds[:32], seed=0)
    model.optimize_thresholds(scaled[32:], labels[32:])
    for file in ("weights_last.h5", "weights_now.h5"):
        (model.logdir / file).unlink(missing_ok=True)
    return model


def random() -> StarDist2D:
    config = Config2D(
        n_channel_in=2, n_rays=5, grid=(1, 1), unet_n_depth=1, unet_n_filter_base=3, unet_n_conv_per_depth=1,
        unet_kernel_size=(4, 3), unet_batch_norm=True, unet_activation="elu", unet_last_activation="linear",
        unet_prefix="star_", net_conv_after_unet=0,
    )  # fmt: skip
    model = StarDist2D(config, "stardist-random", str(HERE))
    values = np.random.default_rng(0)
    model.keras_model.set_weights([_random(values, w.shape) for w in model.keras_model.get_weights()])
    model.keras_model.save_weights(str(model.logdir / "weights_best.h5"))
    return model


def _random(values: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that let a signal through; those of variances are positive."""
    if len(shape) > 1:
        return values.normal(0, 1.2 / np.sqrt(np.prod(shape[:-1])), shape)
    return values.uniform(0.2, 1, shape)


def main() -> None:
    model, other = trained(), random()
    pixels, *_ = picture(1002, (120, 144))  # on which no overlap is nearly the limit
    labels, details = model.predict_instances(normalize(pixels, 1, 99.8), sparse=False)
    output = np.concatenate([np.atleast_3d(part) for part in model.predict(normalize(pixels, 1, 99.8))], axis=2)
    channels = np.stack([picture(2, (23, 34))[0], picture(3, (23, 34))[0]], axis=2)
    scaled = normalize(channels, 1, 99.8, axis=(0, 1))
    np.savez_compressed(
        HERE / "stardist.npz",
        pixels=pixels,
        output=output[::EVERY, ::EVERY],
        labels=labels.astype(np.uint8),
        points=details["points"],
        prob=details["prob"],
        classes=details["class_id"],
        channels=channels,
        channels_output=np.concatenate([np.atleast_3d(part) for part in other.predict(scaled)], axis=2),
    )


if __name__ == "__main__":
    main()
