"""A VAE in plain PyTorch, written as its users write it, without needless work."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812, the name everyone uses

from experiments.peers.worker import BATCH, HIDDEN, LATENT, LEARNING_RATE, serve


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The negative ELBO, summed over the batch, with the KL in closed form."""
        loc, log_variance = self.posterior(F.relu(self.encoder(x))).chunk(2, dim=-1)
        scale = torch.exp(0.5 * log_variance)
        z = loc + scale * torch.randn_like(scale)
        logits = self.likelihood(F.relu(self.decoder(z)))
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        rate = 0.5 * (loc**2 + scale**2 - 1 - log_variance).sum()
        return distortion + rate


def build(images: np.ndarray, seed: int) -> Callable[[], float]:
    """One epoch of Adam: a loop over slices of a permutation, data in one tensor."""
    torch.manual_seed(seed)
    data = torch.from_numpy(images).float()
    model = VAE(data.shape[1])
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
