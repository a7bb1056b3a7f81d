"""A VAE in plain PyTorch, written as its users write it, without needless work."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812, the name everyone uses

from experiments.peers.worker import (
    BATCH,
    CHANNELS,
    HIDDEN,
    LATENT,
    LEARNING_RATE,
    serve,
)


class VAE(nn.Module):
    """D-400-20-400-D with ReLU, a normal posterior and Bernoulli pixels."""

    def __init__(self, num_pixels: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(num_pixels, HIDDEN)
        self.posterior = nn.Linear(HIDDEN, 2 * LATENT)
        self.decoder = nn.Linear(LATENT, HIDDEN)
        self.likelihood = nn.Linear(HIDDEN, num_pixels)
        for layer in self.children():  # as in vaejax, so that the losses compare
            variance = 0.1 if layer in (self.encoder, self.decoder) else 1.0
            nn.init.normal_(layer.weight, std=(variance / layer.in_features) ** 0.5)
            nn.init.zeros_(layer.bias)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Loc and log variance of q(z|x), side by side."""
        return self.posterior(F.relu(self.encoder(x)))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Logits of p(x|z)."""
        return self.likelihood(F.relu(self.decoder(z)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The negative ELBO, summed over the batch, with the KL in closed form."""
        loc, log_variance = self.encode(x).chunk(2, dim=-1)
        scale = torch.exp(0.5 * log_variance)
        z = loc + scale * torch.randn_like(scale)
        logits = self.decode(z)
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        rate = 0.5 * (loc**2 + scale**2 - 1 - log_variance).sum()
        return distortion + rate


class ConvVAE(VAE):
    """Two stride-2 convolutions and their mirror image, for 28 x 28."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        few, many = CHANNELS
        self.encoder = nn.Sequential(
            nn.Conv2d(1, few, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(few, many, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(7 * 7 * many, 2 * LATENT),
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, 7 * 7 * many),
            nn.ReLU(),
            nn.Unflatten(1, (many, 7, 7)),
            nn.ConvTranspose2d(many, few, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(few, few, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(few, 1, 1),
        )
        self.to(memory_format=torch.channels_last)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Loc and log variance of q(z|x), side by side."""
        return self.encoder(x)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Logits of p(x|z)."""
        return self.decoder(z)


def build(images: np.ndarray, seed: int) -> Callable[[], float]:
    """One epoch of Adam: a loop over slices of a permutation, data in one tensor."""
    torch.manual_seed(seed)
    data = torch.from_numpy(images).float()
    if data.ndim == 2:
        model = VAE(data.shape[1])
    else:
        data = data[:, None].contiguous(memory_format=torch.channels_last)
        model = ConvVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    num_used = len(data) // BATCH * BATCH

    def run() -> float:
        total = torch.zeros(())
        for rows in torch.randperm(len(data))[:num_used].split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss = model(data[rows])
            (loss / BATCH).backward()
            optimizer.step()
            total += loss.detach()
        return total.item() / num_used

    return run


if __name__ == "__main__":
    serve(build)
