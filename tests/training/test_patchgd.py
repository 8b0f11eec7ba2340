"""PatchGD: gradients of drawn tiles are those of the whole model, and memory is that of the drawn tiles."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from napari_seamless.errors import BadRequest, InputMismatch, LossNotFinite
from napari_seamless.training.patchgd import PatchGD

TILE = 8


def encoder() -> nn.Module:
    """Tiles (k, 2, 8, 8) to vectors of 5."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(6, 5)).double()


def head(classes: int = 3) -> nn.Module:
    """Z (n, 5, rows, columns) to classes."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    ).double()


def images(count: int = 2, rows: int = 32, columns: int = 24) -> Tensor:
    return torch.rand(count, 2, rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


class Recorder(torch.optim.SGD):
    """Plain gradient descent that keeps the gradients of every change."""

    def __init__(self, *modules: nn.Module, rate: float = 0.1) -> None:
        super().__init__([p for m in modules for p in m.parameters()], lr=rate)
        self.seen: list[list[Tensor]] = []

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.seen.append([p.grad.clone() for g in self.param_groups for p in g["params"]])
        super().step(closure)


def trainer(**options: object) -> tuple[PatchGD, Recorder]:
    parts = encoder(), head()
    optimizer = Recorder(*parts, rate=float(options.pop("rate", 0.1)))  # type: ignore[arg-type]
    return PatchGD(*parts, optimizer, **{"tile": TILE, **options}), optimizer  # type: ignore[arg-type]


def composed(model: PatchGD, batch: Tensor) -> Tensor:
    """Z by autograd through all tiles at once."""
    count, channels, rows, columns = batch.shape
    tiles = batch.unfold(2, TILE, TILE).unfold(3, TILE, TILE).permute(0, 2, 3, 1, 4, 5)
    vectors = model.encoder(tiles.reshape(-1, channels, TILE, TILE))
    return vectors.view(count, rows // TILE, columns // TILE, -1).permute(0, 3, 1, 2)


def test_the_z_block_is_the_encoder_on_each_tile() -> None:
    model, _ = trainer(share=0.2)
    batch = images()
    z = model.fill(batch)
    assert z.shape == (2, 5, 4, 3)
    for row in range(4):
        for column in range(3):
            tile = batch[:, :, row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            torch.testing.assert_close(z[:, :, row, column], model.encoder(tile).detach())
    assert not z.requires_grad


def test_with_every_tile_in_one_step_the_gradient_is_that_of_the_whole_model() -> None:
    model, optimizer = trainer(share=1.0, inner_steps=1)
    batch, targets = images(), torch.tensor([0, 2])
    loss = functional.cross_entropy(model.head(composed(model, batch)), targets)
    expected = torch.autograd.grad(loss, [*model.encoder.parameters(), *model.head.parameters()])
    assert model.step(batch, targets) == pytest.approx(loss.item(), rel=1e-12)
    for found, whole in zip(optimizer.seen[0], expected, strict=True):
        torch.testing.assert_close(found, whole, rtol=1e-10, atol=1e-12)


def test_the_gradients_of_drawn_tiles_add_up_to_that_of_the_whole_model() -> None:
    """Without changes in between, inner steps that draw every tile once have the encoder's gradient in parts."""
    model, optimizer = trainer(share=0.25, inner_steps=4, accumulate=4, rate=0.0)
    batch, targets = images(), torch.tensor([0, 2])
    loss = functional.cross_entropy(model.head(composed(model, batch)), targets)
    expected = torch.autograd.grad(loss, [*model.encoder.parameters()])
    model.step(batch, targets)
    assert len(optimizer.seen) == 1
    for found, whole in zip(optimizer.seen[0], expected, strict=False):
        torch.testing.assert_close(4 * found, whole, rtol=1e-10, atol=1e-12)


def test_vectors_of_tiles_that_are_not_drawn_stay() -> None:
    model, _ = trainer()
    batch = images(1)
    z = torch.zeros(1, 5, 4, 3, dtype=torch.float64)
    fresh = model.refreshed(z, batch, np.array([[1, 10]]))
    expected = torch.zeros_like(z)
    expected[..., 0, 1] = composed(model, batch)[..., 0, 1]
    expected[..., 3, 1] = composed(model, batch)[..., 3, 1]
    torch.testing.assert_close(fresh, expected)


@pytest.mark.parametrize(("accumulate", "changes"), [(1, 6), (2, 3), (3, 2), (None, 1)])
def test_weights_change_after_as_many_inner_steps_as_are_accumulated(accumulate: int | None, changes: int) -> None:
    model, optimizer = trainer(share=0.2, inner_steps=6, accumulate=accumulate)
    model.step(images(), torch.tensor([0, 1]))
    assert len(optimizer.seen) == changes


def test_no_tile_is_drawn_twice_before_all_were_drawn() -> None:
    model, _ = trainer(share=0.25, inner_steps=6)
    drawn = np.concatenate(model._drawn(images()), axis=1)  # (2, 18) of 12 tiles
    for of_image in drawn:
        assert sorted(of_image[:12]) == list(range(12))
        assert len(set(of_image[12:])) == 6
    assert not np.array_equal(drawn[0], drawn[1])


class Widest(nn.Module):
    """An encoder that notes how many tiles it got at once, with gradients and without."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.most = encoder(), 0

    def forward(self, tiles: Tensor) -> Tensor:
        self.most = max(self.most, len(tiles))
        vectors: Tensor = self.inner(tiles)
        return vectors


def kept(side: int) -> tuple[int, int]:
    """Tiles at once and bytes kept for the backward pass, by images of side x side, two tiles drawn."""
    parts, held = (Widest(), head()), [0]
    model = PatchGD(*parts, Recorder(*parts), tile=TILE, share=2 / (side // TILE) ** 2, inner_steps=2)

    def count(tensor: Tensor) -> Tensor:
        held[0] += tensor.numel() * tensor.element_size() * (tensor.dim() == 4 and tensor.shape[2:] == (TILE, TILE))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        model.step(images(1, side, side), torch.tensor([1]))
    return parts[0].most, held[0]


def test_memory_does_not_grow_with_the_image() -> None:
    assert kept(24) == kept(96)
    assert kept(96)[0] == 2


def test_images_are_read_tile_by_tile() -> None:
    pixels = images(1).numpy()
    largest = [0]

    class Slide:
        shape = pixels.shape

        def __getitem__(self, where: object) -> np.ndarray:
            found = pixels[where]
            largest[0] = max(largest[0], found.size)
            return found

    model, _ = trainer()
    torch.testing.assert_close(model.fill(Slide()), model.fill(images(1)))
    assert largest[0] == 2 * TILE * TILE


def test_the_last_tiles_are_filled_up_with_zeros() -> None:
    model, _ = trainer()
    batch = images(1, 20, 11)
    torch.testing.assert_close(model.fill(batch), model.fill(functional.pad(batch, (0, 5, 0, 4))))


def test_the_same_seed_gives_the_same_weights() -> None:
    weights = []
    for _ in range(2):
        model, _ = trainer(share=0.2, seed=4)
        for _ in range(3):
            model.step(images(), torch.tensor([0, 1]))
        weights.append(copy.deepcopy(model.encoder.state_dict()))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_it_learns_where_the_bright_tile_is() -> None:
    torch.manual_seed(0)
    parts = encoder(), nn.Sequential(nn.Flatten(), nn.Linear(5 * 12, 3)).double()
    optimizer = torch.optim.Adam([p for part in parts for p in part.parameters()], lr=0.02)
    model = PatchGD(*parts, optimizer, tile=TILE, share=0.34, inner_steps=3)
    targets = torch.arange(24) % 3
    batch = images(24) * 0.3
    for image, target in zip(batch, targets.tolist(), strict=True):
        image[:, 8:16, 8 * target : 8 * target + 8] += 1.0
    first = model.step(batch, targets)
    for _ in range(30):
        last = model.step(batch, targets)
    assert last < 0.5 * first
    assert (model.predict(batch).argmax(dim=1) == targets).all()


def test_a_loss_that_is_no_number_stops_and_keeps_the_weights() -> None:
    model, optimizer = trainer(share=0.2, inner_steps=2, accumulate=1)
    before = copy.deepcopy(model.encoder.state_dict())
    batch = images()
    batch[:, :, :, :] = torch.nan
    with pytest.raises(LossNotFinite, match="got nan in inner step 1, and the weights were left as they were"):
        model.step(batch, torch.tensor([0, 1]))
    assert optimizer.seen == []
    assert all(torch.equal(before[name], value) for name, value in model.encoder.state_dict().items())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tile": 0}, "got a tile of 0"),
        ({"inner_steps": 0}, "0 inner steps"),
        ({"share": 0.0}, "above 0 and at most 1; got 0.0"),
        ({"share": 1.5}, "above 0 and at most 1; got 1.5"),
        ({"inner_steps": 5, "accumulate": 2}, "got 2 for 5 inner steps"),
    ],
)
def test_parameters_that_cannot_be_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        trainer(**options)


def test_what_is_no_batch_of_images_is_refused() -> None:
    model, _ = trainer()
    with pytest.raises(InputMismatch, match=r"got \(2, 32, 24\)"):
        model.fill(images()[0])


def test_an_encoder_without_one_vector_a_tile_is_refused() -> None:
    parts = nn.Conv2d(2, 5, 3).double(), head()
    model = PatchGD(*parts, Recorder(*parts), tile=TILE)
    with pytest.raises(InputMismatch, match=r"got \(8, 5, 6, 6\) from 8 tiles"):
        model.fill(images())


# --- the benchmark's task -----------------------------------------------------------------


def test_the_sum_is_that_of_the_digits_on_the_canvas() -> None:
    task = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "patchgd.py"))
    ones = np.ones((4, 8, 8), dtype=np.float32)
    for seed in range(20):
        picture, total = task["canvas"](ones, np.full(4, 3), np.random.default_rng(seed))
        _, discs = ndimage.label(picture[0] > 0.9)
        assert total == 3 * discs
    images, sums = next(task["batches"]("test", 4, 0))
    again, _ = next(task["batches"]("test", 4, 0))
    assert images.shape == (4, 1, 256, 256)
    assert sums.max() <= 6
    assert torch.equal(images, again)
    seen = [{a.tobytes() for a in task["digits"](part)[0]} for part in ("training", "selection", "test")]
    assert all(seen)
    assert not (seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2])
