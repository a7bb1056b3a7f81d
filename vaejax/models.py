"""Assembly: three conditional distributions make a `Model`."""

from vaejax.base import Distribution, Family, Key, Model, Params, X, Z, split


def latent_variable_model(
    posterior: Family, prior: Family, likelihood: Family
) -> Model:
    """The model p(x|z) p(z) with the approximate posterior q(z|x).

    Args:
      posterior: q(z|x), such as `posteriors.diagonal_normal(encoder, latent_dim)`; its
        `make` receives x `[B, ...]`.
      prior: p(z), such as `priors.standard_normal(latent_dim)`; its `make` receives
        the function `encode`, for priors that are made of posteriors.
      likelihood: p(x|z), such as `likelihoods.bernoulli(decoder, event_shape)`; its
        `make` receives z `[..., D]`.

    Returns:
      A `Model`; its parameters are `{"posterior": .., "prior": .., "likelihood": ..}`.

    References:
      Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114.
    """

    def init(key: Key, x: X) -> Params:
        posterior_key, prior_key, likelihood_key, z_key = split(key, 4)
        posterior_params = posterior.init(posterior_key, x)
        z = posterior.make(posterior_params, x).sample(z_key)
        return {
            "posterior": posterior_params,
            "prior": prior.init(prior_key, x),
            "likelihood": likelihood.init(likelihood_key, z),
        }

    def encode(params: Params, x: X) -> Distribution:
        return posterior.make(params["posterior"], x)

    def decode(params: Params, z: Z) -> Distribution:
        return likelihood.make(params["likelihood"], z)

    def prior_of(params: Params) -> Distribution:
        return prior.make(params["prior"], lambda x: encode(params, x))

    return Model(init, encode, decode, prior_of)
