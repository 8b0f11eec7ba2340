"""Whether a network can be trained on images at all, found out before the first step."""

from __future__ import annotations

from napari_seamless.errors import InputMismatch
from napari_seamless.training.data.examples import Example
from napari_seamless.training.gradients.streamed_gradient import StreamedGradient
from napari_seamless.training.loop.settings import TrainingSettings
from napari_seamless.training.losses.objective import Objective
from napari_seamless.training.losses.output_grid import origin_of


def require_trainable(
    stream: StreamedGradient, example: Example, settings: TrainingSettings, objective: Objective, classes: int
) -> None:
    """Refuse a network that cannot be trained on these images, naming operators, before the first step."""
    channels, crop = example.image.shape[0], settings.crop
    shape = (channels, *(example.shape if crop is None else (crop,) * len(example.shape)))
    stream.module.train(crop is None)
    program = stream.plan_for(shape).program
    if crop is None:
        stream.edges_for(shape)
    value = program.values[program.output]
    stream.module.train()
    wanted = 1 if objective.kind == "bce" else classes
    if classes and len(value.shape) > 1 and value.shape[1] != wanted:
        raise InputMismatch(
            f"a network gives one channel of scores for each class, {wanted} here; this one gives "
            f"{value.shape[1]}; change its arguments, or the classes"
        )
    if not example.is_labelled_whole and len(value.shape) > 2:
        origin_of(program)
    if example.is_labelled_whole != (len(value.shape) == 2):
        one, other = ("numbers of the image", "a plane") if example.is_labelled_whole else ("a plane", "numbers")
        raise InputMismatch(
            f"labels of whole images are learned by a network that ends in a pooling of the plane, masks by one "
            f"that does not; this one should give {one}, and gives {other}; choose another network"
        )
