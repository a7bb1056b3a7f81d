"""The likelihood of pythae, at its default batch, with the same parameters."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch.nn.functional import relu

from experiments.peers.vaejax_vae import on_device, parts
from experiments.peers.worker import LATENT, NUM_PARTICLES, serve


class Affine(torch.nn.Linear):
    """A layer with the weights of one of flax."""

    def __init__(self, layer: dict[str, Any]) -> None:
        super().__init__(*layer["kernel"].shape)
        with torch.no_grad():
            self.weight.copy_(torch.tensor(np.asarray(layer["kernel"]).T))
            self.bias.copy_(torch.tensor(np.asarray(layer["bias"])))


class Encoder(BaseEncoder):
    """Loc and log variance, of which this library bounds the second."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__()
        self.hidden = Affine(params["network"]["params"]["dense_0"])
        self.head = Affine(params["head"])

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """For a batch `[B, D]`."""
        loc, raw = self.head(relu(self.hidden(x))).chunk(2, dim=-1)
        return ModelOutput(embedding=loc, log_covariance=14 * torch.tanh(raw / 14))


class Decoder(BaseDecoder):
    """Probabilities of white."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__()
        self.hidden = Affine(params["network"]["params"]["dense_0"])
        self.head = Affine(params["head"])

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """For codes `[B, D]`."""
        return ModelOutput(
            reconstruction=torch.sigmoid(self.head(relu(self.hidden(z))))
        )


def build(images: np.ndarray, seed: int) -> Callable[[], float]:
    """What it calls the negative log-likelihood, which is the mean log-likelihood."""
    model, _, _ = parts(images)
    params = model.init(jax.random.key(seed), on_device(images[:1]))
    torch.manual_seed(seed)
    config = VAEConfig((images.shape[1],), LATENT, reconstruction_loss="bce")
    peer = VAE(config, Encoder(params["posterior"]), Decoder(params["likelihood"]))
    x = torch.tensor(images, dtype=torch.float32)

    def run() -> float:
        with torch.no_grad():
            return float(peer.eval().get_nll(x, n_samples=NUM_PARTICLES))

    return run


if __name__ == "__main__":
    serve(build)
