"""Networks, and how a part of a model uses one.

A network is a flax.linen module, or any pair `(init, apply)` of pure functions with
`init(key, x) -> params` and `apply(params, x) -> features`. It sees one leading batch
axis, `[N, ...]`, always: particles and other leading axes are mapped over outside it.
An `Architecture` is an encoder with the decoder of its kind, and serves as both.

Dropout and batch normalisation have no place here, since `encode(params, x)` is a pure
function of one example: no key, no train or test mode, no other rows. Use weight decay
or `objectives.denoising` against overfitting, LayerNorm or GroupNorm for conditioning.
"""

from vaejax.networks.conv import conv as conv
from vaejax.networks.heads import Architecture as Architecture
from vaejax.networks.heads import Network as Network
from vaejax.networks.heads import decoded as decoded
from vaejax.networks.heads import headed as headed
from vaejax.networks.mlp import mlp as mlp
from vaejax.networks.residual import residual as residual
