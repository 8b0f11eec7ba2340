"""PatchGD: one label for a very large image, learned from a few of its tiles at a time.

Gupta et al., Patch Gradient Descent (2023, arXiv 2301.13817). The network is an encoder, which makes a vector of each
tile, and a head, which makes an answer of the vectors of all tiles, laid out as the tiles lie::

    image (c, y, x)  --encoder, tile by tile-->  Z (d, rows, columns)  --head-->  answer

1. *Z-filling*: Z is computed for all tiles without gradients, a few tiles at a time.
2. *Inner steps*: a share of the tiles of each image is drawn, encoded again, now with gradients, and put
   into Z in place of their old vectors; all other vectors are constants. The head looks at the whole Z, so the answer
   is of the whole image, and the gradient reaches the encoder through the drawn tiles.
3. After every `accumulate` inner steps the weights change by the mean of those gradients. Z is not filled anew: the
   vectors of tiles that were not drawn stay those of slightly older weights.

Memory is that of the drawn tiles, whatever the size of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_seamless.errors import BadRequest, InputMismatch, LossNotFinite

Loss = Callable[[Tensor, Any], Tensor]


class ImageBatch(Protocol):
    """A batch (n, c, y, x) of images of one size: a tensor, or any array that is read where it is sliced.

    Tiles are brought to the dtype and device of the weights; values stay as they are.
    """

    shape: Any

    def __getitem__(self, where: Any) -> Any: ...


class PatchGD:
    """Trains `encoder` and `head` on batches of images of any size.

    Parameters
    ----------
    encoder
        Tiles (k, c, tile, tile) -> vectors (k, d), or (k, d, 1, 1). Norms over a batch would mix the tiles of different
        images: use group norm.
    head
        Z (n, d, rows, columns) -> answers (n, ...). It must take the number of rows and columns that images have.
    optimizer
        Of the parameters of both.
    tile
        Side of a tile in pixels. Tiles do not overlap; the last of a row or column are filled up with zeros.
    share
        Share of an image's tiles that one inner step draws, rounded up.
    inner_steps
        Inner steps for each batch. Tiles come again only when all of the image were drawn.
    accumulate
        Inner steps whose gradients are averaged for one change of the weights; must divide `inner_steps`. By default
        all of them. loss (answers, targets) -> scalar. seed Decides which tiles are drawn.

    Raises BadRequest for a parameter outside of these.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        tile: int,
        share: float = 0.3,
        inner_steps: int = 3,
        accumulate: int | None = None,
        loss: Loss = functional.cross_entropy,
        seed: int = 0,
    ) -> None:
        self.encoder, self.head, self.optimizer, self.loss = encoder, head, optimizer, loss
        self.tile, self.share, self.inner_steps = tile, share, inner_steps
        self.accumulate = inner_steps if accumulate is None else accumulate
        self._random = np.random.default_rng(seed)
        if tile < 1 or inner_steps < 1:
            raise BadRequest(
                f"tile and inner_steps must be at least 1; got a tile of {tile} and {inner_steps} inner steps; "
                "use a tile of 128 or more and 1 to 10 steps"
            )
        if not 0 < share <= 1:
            raise BadRequest(f"the share of tiles must be above 0 and at most 1; got {share}; use 0.1 to 0.5")
        if self.accumulate < 1 or inner_steps % self.accumulate:
            raise BadRequest(
                f"accumulate must divide inner_steps, or gradients would be lost; got {self.accumulate} for "
                f"{inner_steps} inner steps; use one of its divisors"
            )

    def grid(self, images: ImageBatch) -> tuple[int, int]:
        """Rows and columns of tiles in an image. Raises InputMismatch for anything but (n, c, y, x)."""
        if len(images.shape) != 4 or min(images.shape) < 1:
            raise InputMismatch(
                f"PatchGD takes a batch (n, c, y, x) of images; got {tuple(images.shape)}; add the missing axes"
            )
        return ceil(images.shape[2] / self.tile), ceil(images.shape[3] / self.tile)

    def sampled(self, images: ImageBatch) -> int:
        """Tiles of each image that one inner step draws."""
        rows, columns = self.grid(images)
        return ceil(self.share * rows * columns)

    def fill(self, images: ImageBatch) -> Tensor:
        """Z (n, d, rows, columns) of all tiles, without gradients, as many tiles at a time as an inner step has."""
        rows, columns = self.grid(images)
        count, at_once = images.shape[0], self.sampled(images)
        every = np.arange(rows * columns)
        with torch.no_grad():
            parts = [
                self._encoded(images, np.tile(every[k : k + at_once], (count, 1)))
                for k in range(0, rows * columns, at_once)
            ]
        return torch.cat(parts, dim=1).transpose(1, 2).reshape(count, -1, rows, columns)

    def step(self, images: ImageBatch, targets: Any) -> float:
        """One outer iteration on a batch: fill Z, then all inner steps; gives the mean loss of these.

        `targets` go to the loss as they are. Raises LossNotFinite before the weights are changed by such a loss.
        """
        z = self.fill(images)
        orders = self._drawn(images)
        losses = []
        self.optimizer.zero_grad(set_to_none=True)
        for number in range(self.inner_steps):
            z = self.refreshed(z.detach(), images, orders[number])
            loss = self.loss(self.head(z), targets)
            losses.append(loss.item())
            if not np.isfinite(losses[-1]):
                self.optimizer.zero_grad(set_to_none=True)
                raise LossNotFinite(
                    f"a loss must be a finite number; got {losses[-1]} in inner step {number + 1}, and the weights "
                    "were left as they were before it; lower the learning rate, or look for NaN among the pixels"
                )
            (loss / self.accumulate).backward()  # type: ignore[no-untyped-call]
            if (number + 1) % self.accumulate == 0:
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
        return float(np.mean(losses))

    def refreshed(self, z: Tensor, images: ImageBatch, drawn: np.ndarray) -> Tensor:
        """`z` with the vectors of tiles `drawn` (n, k), numbered row by row, encoded again with gradients."""
        count, depth, rows, columns = z.shape
        places = torch.from_numpy(drawn).to(z.device)[:, None].expand(-1, depth, -1)  # (n, d, k)
        vectors = self._encoded(images, drawn).transpose(1, 2)
        return z.flatten(2).scatter(2, places, vectors).view(count, depth, rows, columns)

    def predict(self, images: ImageBatch) -> Tensor:
        """Answers (n, ...) without gradients: Z-filling, then the head. Set both modules to eval first."""
        with torch.no_grad():
            answers: Tensor = self.head(self.fill(images))
        return answers

    def _drawn(self, images: ImageBatch) -> list[np.ndarray]:
        """For each inner step the tiles (n, k) of each image; none twice before all were drawn."""
        rows, columns = self.grid(images)
        count, k = images.shape[0], self.sampled(images)
        rounds = ceil(self.inner_steps * k / (rows * columns))
        orders = np.stack(
            [np.concatenate([self._random.permutation(rows * columns) for _ in range(rounds)]) for _ in range(count)]
        )
        return [orders[:, step * k : (step + 1) * k] for step in range(self.inner_steps)]

    def _encoded(self, images: ImageBatch, tiles: np.ndarray) -> Tensor:
        """The vectors (n, k, d) of tiles (n, k)."""
        read = torch.stack([self._read(images, image, t) for image, row in enumerate(tiles) for t in row])
        vectors: Tensor = self.encoder(read)
        if vectors.dim() < 2 or vectors.shape[0] != len(read) or vectors.shape[2:].numel() != 1:
            raise InputMismatch(
                f"an encoder must make one vector (k, d) of each tile; got {tuple(vectors.shape)} from {len(read)} "
                "tiles; pool its features over the plane"
            )
        return vectors.view(*tiles.shape, -1)

    def _read(self, images: ImageBatch, image: int, tile: int) -> Tensor:
        top, left = (self.tile * n for n in divmod(int(tile), self.grid(images)[1]))
        found = images[image, :, top : top + self.tile, left : left + self.tile]
        weight: Tensor = self.optimizer.param_groups[0]["params"][0]
        pixels = (found if isinstance(found, Tensor) else torch.from_numpy(np.array(found))).to(weight)
        down, right = self.tile - pixels.shape[1], self.tile - pixels.shape[2]
        return functional.pad(pixels, (0, right, 0, down)) if down or right else pixels
