"""Learning from many images and few labels."""

import math

import jax
import jax.numpy as jnp

from vaejax.base import ConditionalModel, Key, Metrics, Objective, Params, X, split
from vaejax.checks import check_weights, one_by_one
from vaejax.networks.heads import Headed


def m2(objective: Objective, classifier: Headed, *, alpha: float = 1.0) -> Objective:
    r"""Labels are latent where they are missing: batches `(x, y)`, y = -1 if unknown.

    With L(x, y) the given objective at label y plus :math:`-\log p(y)`, y uniform on C
    labels, an example with a label and one without it contribute

    .. math:: L(x, y) - \alpha \log q(y|x) \quad \text{and} \quad
              \sum_y q(y|x) \, (L(x, y) + \log q(y|x))

    bounds on :math:`-\log p(x, y)` and :math:`-\log p(x)` at `alpha=0`, where labelled
    examples would teach the classifier nothing. Every label is decoded: a step costs C
    times that of the objective.

    Args:
      objective: on x, such as `elbo()`, without terms of the whole batch, which would
        be taken as if all had the same label; the noise is the same for all y.
      classifier: logits of q(y|x), `networks.headed(networks.mlp(), C)`; it is learned
        with the model.
      alpha: weight of the classification of a labelled example; may be traced. The
        paper's 0.1 N for N examples, n of them labelled, is 0.1 N / n here.

    Returns:
      An `Objective` for a `ConditionalModel` with `num_classes`: loss `[B]` in nats,
      NaN at a label that is neither -1 nor a class; the metrics of `objective` averaged
      over q(y|x), or at the label.

    Raises:
      ValueError: if a Python `alpha` is negative or not finite.
      TypeError: at the first loss, for a likelihood that fits a parameter to the batch,
        which would fit it to wrong labels.

    References:
      Kingma et al., 2014, https://arxiv.org/abs/1406.5298, equations 7 and 9.
    """
    check_weights(alpha=alpha)

    def loss(
        key: Key, model: ConditionalModel, params: Params, batch: X
    ) -> tuple[jax.Array, Metrics]:
        x, y = batch
        own = params | {"objective": params["objective"]["objective"]}
        log_q = predict(classifier, params, objective.visible(x))  # [B, C]
        num_classes = log_q.shape[-1]

        def given(label: jax.Array) -> tuple[jax.Array, Metrics]:
            told = model.given(label)
            told = told._replace(decode=one_by_one(told.decode, "m2"))
            return objective.loss(key, told, own, x)

        joint, metrics = jax.vmap(given, out_axes=-1)(jnp.arange(num_classes))  # [B, C]
        joint += math.log(num_classes)
        one_hot = jax.nn.one_hot(y, num_classes)  # 0 at y = -1
        labelled = jnp.sum(one_hot * (joint - alpha * log_q), axis=-1)
        unlabelled = jnp.sum(jnp.exp(log_q) * (joint + log_q), axis=-1)
        weight = jnp.where((y < 0)[:, None], jnp.exp(log_q), one_hot)
        loss = jnp.where(y < 0, unlabelled, labelled)

        def average(value: jax.Array) -> jax.Array:  # [B, ..., C]
            middle = tuple(range(1, value.ndim - 1))
            return jnp.sum(jnp.expand_dims(weight, middle) * value, axis=-1)

        return (
            jnp.where((y >= -1) & (y < num_classes), loss, jnp.nan),
            jax.tree.map(average, metrics),
        )

    def init(key: Key, model: ConditionalModel, params: Params, batch: X) -> Params:
        x, _ = batch
        classifier_key, key = split(key)
        learned = classifier.init(classifier_key, objective.visible(x))
        own = objective.init(key, model.given(jnp.int32(0)), params, x)
        return {"classifier": learned, "objective": own}

    def visible(batch: X) -> X:
        return objective.visible(batch[0]), batch[1]

    return objective._replace(loss=loss, init=init, visible=visible)


def predict(classifier: Headed, params: Params, x: X) -> jax.Array:
    """Gives log q(y|x), `[N, C]`, of parameters that were trained by `m2`.

    Args:
      classifier: as given to `m2`.
      params: of the model and the objective, `state.params`.
      x: `[N, ...]`; of an incomplete example, what the classifier saw of it in
        training: the pair with `fill` for hidden values.
    """
    return jax.nn.log_softmax(classifier.apply(params["objective"]["classifier"], x))
