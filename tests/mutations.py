"""Seeded errors: each must turn a test red. Run as `python tests/mutations.py`.

Every mutation replaces one piece of the library's text, which must occur exactly once,
in a copy of the repository, and runs the smallest test that should notice. The tests
run on the unchanged copy first, so that red means the mutation and nothing else.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
COPIED = ("vaejax", "tests", "pyproject.toml")
OUTPUT = "pytest.txt"
WORKERS = 2
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["jax", "flax.linen", "optax", "chex", "scipy", "pytest"])


class Finished(NamedTuple):
    """What pytest said."""

    returncode: int | None
    stdout: str


class Mutation(NamedTuple):
    """One error that somebody could make."""

    name: str
    file: str  # in `vaejax/`
    old: str
    new: str
    test: str  # in `tests/`, the node that should go red


MUTATIONS = (
    Mutation(
        "the sign of the divergence",
        "distributions/normal.py",
        "return 0.5 * (jnp.expm1(2 * log_scale)",
        "return -0.5 * (jnp.expm1(2 * log_scale)",
        "distributions/test_kl.py::test_it_is_the_integral_of_its_definition_summed_"
        "over_the_event",
    ),
    Mutation(
        "no 1/2 in the divergence",
        "distributions/normal.py",
        "return 0.5 * (jnp.expm1(2 * log_scale)",
        "return 1.0 * (jnp.expm1(2 * log_scale)",
        "distributions/test_kl.py::test_it_is_the_mean_of_log_q_minus_log_p",
    ),
    Mutation(
        "a divergence whose digits cancel",
        "distributions/normal.py",
        "jnp.expm1(2 * log_scale) - 2 * log_scale",
        "jnp.exp(2 * log_scale) - 1 - 2 * log_scale",
        "distributions/test_kl.py::test_it_keeps_its_digits_where_q_is_close_to_p",
    ),
    Mutation(
        "no 1/2 in the normal density",
        "distributions/normal.py",
        "-0.5 * (standardized**2 + math.log(2 * math.pi))",
        "-1.0 * (standardized**2 + math.log(2 * math.pi))",
        "distributions/test_normal.py::test_log_prob_is_scipys_summed_over_the_event_"
        "and_nothing_else",
    ),
    Mutation(
        "the variance for the scale",
        "distributions/normal.py",
        "return self.loc + self.scale * eps",
        "return self.loc + self.scale**2 * eps",
        "distributions/test_normal.py::test_draws_have_the_mean_and_the_variance_of_"
        "the_distribution",
    ),
    Mutation(
        "the mean over the event for its sum",
        "distributions/noise.py",
        "return jnp.sum(terms,",
        "return jnp.mean(terms,",
        "distributions/test_bernoulli.py::test_log_prob_is_scipys_summed_over_the_"
        "event_and_nothing_else",
    ),
    Mutation(
        "one key for all examples",
        "distributions/noise.py",
        "return jax.vmap(lambda key: draw(key, own), out_axes=len(lead))(key)",
        "return jax.vmap(lambda _: draw(key[0], own), out_axes=len(lead))(key)",
        "distributions/test_noise.py::test_the_noise_of_an_example_depends_on_no_other",
    ),
    Mutation(
        "no softplus of large logits",
        "distributions/softplus.py",
        "jnp.maximum(x, 0) + jnp.log1p(",
        "jnp.log1p(",
        "distributions/test_bernoulli.py::test_the_probabilities_of_all_values_sum_"
        "to_1",
    ),
    Mutation(
        "the log-variance for the log-scale",
        "distributions/bounded_scale.py",
        "jnp.tanh(raw / (2 * LOG_BOUND))",
        "jnp.tanh(raw / LOG_BOUND)",
        "posteriors/test_diagonal_normal.py::test_near_0_the_second_half_of_the_head_"
        "is_the_log_variance",
    ),
    Mutation(
        "log q for log q - log p",
        "rates.py",
        "return log_q - p.log_prob(z)",
        "return log_q",
        "objectives/test_elbo.py::test_the_bound_is_tight_at_the_true_posterior_for_"
        "every_draw",
    ),
    Mutation(
        "a path derivative that keeps the score",
        "rates.py",
        "jax.lax.stop_gradient(q).log_prob(z)",
        "q.log_prob(z)",
        "test_rates.py::test_the_gradient_of_the_path_derivative_is_zero_at_the_true_"
        "posterior",
    ),
    Mutation(
        "weights of a mixture that do not sum to 1",
        "distributions/mixture.py",
        "log_weights = jax.nn.log_softmax(self.logits)",
        "log_weights = self.logits",
        "distributions/test_mixture.py::test_equal_components_are_the_component",
    ),
    Mutation(
        "no log-determinant of the factor",
        "distributions/low_rank_normal.py",
        "- 0.5 * (u**2).sum(axis=-1) - log_det",
        "- 0.5 * (u**2).sum(axis=-1)",
        "distributions/test_low_rank_normal.py::test_log_prob_is_scipys",
    ),
    Mutation(
        "no determinant of the Cholesky factor",
        "distributions/full_normal.py",
        "(standardized**2 + math.log(2 * math.pi)) - log_scale",
        "(standardized**2 + math.log(2 * math.pi))",
        "distributions/test_full_normal.py::test_log_prob_is_scipys",
    ),
    Mutation(
        "half of a derivative of the pairwise density",
        "distributions/pairwise.py",
        "weight * dmu - 2 * mu * dweight",
        "weight * dmu - mu * dweight",
        "distributions/test_pairwise.py::test_its_derivatives_are_those_of_the_"
        "broadcast_density",
    ),
    Mutation(
        "pseudo-inputs that the encoder does not hear of",
        "priors/vamp.py",
        'encode(params["pseudo_inputs"])',
        'jax.lax.stop_gradient(encode(params["pseudo_inputs"]))',
        "priors/test_vamp.py::test_the_encoder_and_the_pseudo_inputs_learn_through_"
        "the_prior",
    ),
    Mutation(
        "a change of units without its log-determinant",
        "distributions/rescaled.py",
        "return log_prob - jnp.log(self.scale).sum(axis=-1)",
        "return log_prob",
        "samplers/test_samplers.py::test_rescaling_is_a_change_of_variables",
    ),
    Mutation(
        "beta on the distortion",
        "objectives/elbo.py",
        "return distortion + beta * total,",
        "return beta * distortion + total,",
        "objectives/test_elbo.py::test_the_loss_is_the_distortion_plus_beta_rates",
    ),
    Mutation(
        "no log K",
        "objectives/particles.py",
        " - jnp.log(len(log_weights))",
        "",
        "objectives/test_iwae.py::test_the_bound_is_tight_at_the_true_posterior_for_"
        "every_draw",
    ),
    Mutation(
        "the sign of the rate in the weights",
        "objectives/particles.py",
        "bound(-distortion - total)",
        "bound(-distortion + total)",
        "objectives/test_iwae.py::test_it_is_the_log_of_the_mean_weight",
    ),
    Mutation(
        "the wrong axis",
        "objectives/particles.py",
        "weights = jax.nn.softmax(-distortion - rate, axis=0)",
        "weights = jax.nn.softmax(-distortion - rate, axis=1)",
        "objectives/test_iwae.py::test_it_is_the_log_of_the_mean_weight",
    ),
    Mutation(
        "inverted weights",
        "objectives/particles.py",
        "weights = jax.nn.softmax(log_weights, axis=0)",
        "weights = jax.nn.softmax(-log_weights, axis=0)",
        "objectives/test_particles.py::test_the_estimators_of_iwae_are_unbiased_by_"
        "quadrature",
    ),
    Mutation(
        "weights of DReG that are not squared",
        "objectives/particles.py",
        "return Bound(bound, weights, weights**2)",
        "return Bound(bound, weights, weights)",
        "objectives/test_particles.py::test_the_estimators_of_iwae_are_unbiased_by_"
        "quadrature",
    ),
    Mutation(
        "the score of q left in DReG",
        "objectives/particles.py",
        "- fixed(own.posterior).log_prob(z)",
        "- own.posterior.log_prob(z)",
        "objectives/test_particles.py::test_at_the_true_posterior_every_draw_of_stl_"
        "and_dreg_is_zero",
    ),
    Mutation(
        "a prior without a gradient in DReG",
        "objectives/particles.py",
        "log_joint = own.prior.log_prob(z)",
        "log_joint = fixed(own.prior).log_prob(z)",
        "objectives/test_particles.py::test_model_gradients_are_those_of_pathwise_in_"
        "every_draw",
    ),
    Mutation(
        "the score of q left in STL",
        "objectives/particles.py",
        "functools.partial(_autodiff, rate=path_derivative)",
        "functools.partial(_autodiff, rate=sampled)",
        "objectives/test_particles.py::test_at_the_true_posterior_every_draw_of_stl_"
        "and_dreg_is_zero",
    ),
    Mutation(
        "several bounds summed for their mean",
        "objectives/miwae.py",
        "each.value.mean(axis=0)",
        "each.value.sum(axis=0)",
        "objectives/test_miwae.py::test_it_is_the_mean_of_bounds_over_disjoint_"
        "particles",
    ),
    Mutation(
        "the tight bound for the posterior",
        "objectives/piwae.py",
        'phi = fixed(params) | {"posterior": params["posterior"]}',
        "phi, theta = theta, params",
        "objectives/test_piwae.py::test_its_value_is_iwaes_its_gradients_are_iwaes_"
        "and_miwaes",
    ),
    Mutation(
        "the bounds exchanged",
        "objectives/ciwae.py",
        "beta * a + (1 - beta) * b",
        "beta * b + (1 - beta) * a",
        "objectives/test_ciwae.py::test_beta_goes_from_iwae_at_0_to_the_elbo_at_1_in_"
        "a_line",
    ),
    Mutation(
        "the power inverted",
        "objectives/renyi.py",
        "power = jnp.asarray(1 - alpha,",
        "power = jnp.asarray(alpha - 1,",
        "objectives/test_renyi.py::test_it_is_the_log_of_the_power_mean_of_the_weights",
    ),
    Mutation(
        "the weights of Renyi's DReG exchanged",
        "objectives/renyi.py",
        "alpha * weights + (1 - alpha) * weights**2",
        "(1 - alpha) * weights + alpha * weights**2",
        "objectives/test_particles.py::test_dreg_is_unbiased_for_the_bounds_between",
    ),
    Mutation(
        "a capacity of each device",
        "objectives/capacity.py",
        "over = global_mean(excess.mean())",
        "over = excess.mean()",
        "objectives/test_capacity.py::test_devices_agree_where_the_means_of_their_"
        "shares_lie_on_both_sides",
    ),
    Mutation(
        "free bits of each device",
        "objectives/free_bits.py",
        "mean = global_mean(groups.mean(axis=0))",
        "mean = groups.mean(axis=0)",
        "objectives/test_free_bits.py::test_the_mean_rate_is_that_of_all_devices",
    ),
    Mutation(
        "free bits of each example",
        "objectives/free_bits.py",
        "jnp.where(mean >= free_nats, groups, free_nats)",
        "jnp.maximum(groups, free_nats)",
        "objectives/test_free_bits.py::test_its_mean_and_its_gradient_are_those_of_"
        "the_formula",
    ),
    Mutation(
        "a key used twice",
        "objectives/denoising.py",
        "corruption_key, key = split(key)",
        "corruption_key = key",
        "objectives/test_denoising.py::test_the_corruption_has_a_key_for_each_example_"
        "that_nothing_else_uses",
    ),
    Mutation(
        "the corrupted example as the target",
        "objectives/denoising.py",
        "return objective.loss(key, model._replace(encode=encode), params, x)",
        "return objective.loss(\n"
        "            key, model._replace(encode=encode), params, "
        "corruption(jax.random.clone(corruption_key), x)\n        )",
        "objectives/test_denoising.py::test_the_encoder_sees_the_corrupted_example_and_"
        "the_target_is_clean",
    ),
    Mutation(
        "a mean that forgets the other devices",
        "batch.py",
        "return tree if _index() is None else jax.lax.pmean(tree, AXIS)",
        "return tree",
        "test_parallel.py::test_60_steps_of_the_epoch_are_those_of_one_device"
        "[elbo-pmap-4]",
    ),
    Mutation(
        "an optimal variance of one device",
        "distributions/optimal_normal.py",
        "global_mean(jnp.mean((value - self.loc) ** 2))",
        "jnp.mean((value - self.loc) ** 2)",
        "likelihoods/test_normal.py::test_the_running_variance_is_the_moving_average_"
        "of_the_optimal_one[adam-pmap 4]",
    ),
    Mutation(
        "the index of an example in its device's share",
        "batch.py",
        "first = 0 if index is None else index * num_local",
        "first = 0",
        "test_batch.py::test_every_example_has_a_key_from_its_index_in_the_global_batch",
    ),
    Mutation(
        "the same order in every epoch",
        "epoch.py",
        "jax.random.bits(stream(key, ORDER, epoch), (total,))",
        "jax.random.bits(stream(key, ORDER, 0), (total,))",
        "test_epoch.py::test_an_epoch_sees_each_example_at_most_once_in_another_order_"
        "each_time",
    ),
    Mutation(
        "an epoch that starts again where it crosses its end",
        "epoch.py",
        "rows = jnp.concatenate([this, following])",
        "rows = jnp.concatenate([this, this])",
        "test_epoch.py::test_segments_of_any_lengths_are_the_epochs_bit_for_bit_in_one_"
        "program",
    ),
    Mutation(
        "the same noise at every step",
        "train.py",
        "example_keys(stream(state.key, NOISE, state.step), num_examples(x))",
        "example_keys(stream(state.key, NOISE, 0), num_examples(x))",
        "test_train.py::test_the_noise_changes_from_step_to_step_and_from_seed_to_seed",
    ),
    Mutation(
        "a moving average that the optimizer moves",
        "train.py",
        "updates = moving_average.route(updates, grads)",
        "updates = updates",
        "test_train.py::test_an_objective_learns_and_moving_averages_pass_by_the_"
        "optimizer[clipped adamw]",
    ),
    Mutation(
        "particles beyond the last are counted",
        "evaluate/likelihood.py",
        "log_w = jnp.where(counts, -distortion - rate, -jnp.inf)",
        "log_w = -distortion - rate",
        "evaluate/test_likelihood.py::test_the_chunks_change_nothing[2-7]",
    ),
    Mutation(
        "the error of a sum for that of a mean",
        "evaluate/likelihood.py",
        "variance = (num_particles / ess - 1) / (num_particles - 1 or jnp.nan)",
        "variance = num_particles / ess - 1",
        "evaluate/test_likelihood.py::test_it_is_the_log_of_the_mean_weight_and_its_"
        "terms_are_means",
    ),
    Mutation(
        "a particle that is drawn evenly",
        "objectives/particles.py",
        "jnp.argmax(jnp.log(slope) + gumbel, axis=0, keepdims=True)",
        "jnp.argmax(gumbel, axis=0, keepdims=True)",
        "objectives/test_particles.py::test_one_particle_drawn_again_has_the_gradient_of_"
        "dreg_on_average",
    ),
    Mutation(
        "one drawn particle without the weight of DReG",
        "objectives/particles.py",
        "pick(own.bound.doubly / jnp.maximum(slope, TINY)) * total",
        "total",
        "objectives/test_particles.py::test_one_particle_drawn_again_has_the_gradient_of_"
        "dreg_on_average",
    ),
    Mutation(
        "earlier weights kept in the units of an earlier largest one",
        "evaluate/likelihood.py",
        "before * sums.weights + w.sum()",
        "sums.weights + w.sum()",
        "evaluate/test_likelihood.py::test_the_chunks_change_nothing[2-7]",
    ),
    Mutation(
        "the fourth power of the deviations for their square",
        "evaluate/dimensions.py",
        "variance = (centred**2).mean(axis=0)",
        "variance = (centred**4).mean(axis=0)",
        "evaluate/test_dimensions.py::test_active_units_are_the_variances_of_the_means_"
        "whatever_the_batches",
    ),
    Mutation(
        "posteriors beyond the last are in the mixture",
        "evaluate/decomposition.py",
        "log_q = jnp.where(index < num, log_q, -jnp.inf)",
        "log_q = jnp.where(index >= 0, log_q, -jnp.inf)",
        "evaluate/test_decomposition.py::test_the_chunks_change_nothing[2-5]",
    ),
    Mutation(
        "a mixture that is a sum",
        "evaluate/decomposition.py",
        "return total - jnp.log(num)",
        "return total",
        "evaluate/test_decomposition.py::test_images_whose_codes_never_meet_carry_log_n",
    ),
    Mutation(
        "a degree of freedom too many",
        "evaluate/calibration.py",
        "gammaincc((num_bins - 1) / 2, chi_square / 2)",
        "gammaincc(num_bins / 2, chi_square / 2)",
        "evaluate/test_calibration.py::test_the_statistic_and_its_p_value_are_scipys",
    ),
    Mutation(
        "the gradient of a posterior that is held fixed in the draws too",
        "evaluate/gap.py",
        "log_q = jax.lax.stop_gradient(q).log_prob(z)",
        "log_q = jax.lax.stop_gradient(q.log_prob(z))",
        "evaluate/test_gap.py::test_the_best_diagonal_normal_is_the_mean_field_"
        "solution",
    ),
    Mutation(
        "clusters matched to classes on the codes that are scored",
        "evaluate/structure.py",
        "match = matched(clusters.predict(train), train_label)",
        "match = matched(clusters.predict(test), test_label)",
        "evaluate/test_structure.py::test_clusters_are_matched_to_classes_on_the_"
        "training_codes",
    ),
    Mutation(
        "a corruption of the batch in place of what the encoder is given",
        "objectives/denoising.py",
        "def encode(params: Params, x: X)",
        "def encode(params: Params, _: X)",
        "objectives/test_denoising.py::test_around_or_inside_a_mask_hidden_values_reach_"
        "nothing",
    ),
    Mutation(
        "a label that is no class as a vector of zeros",
        "models.py",
        "jnp.where(known, jax.nn.one_hot(y, num_classes), jnp.nan)",
        "jax.nn.one_hot(y, num_classes)",
        "objectives/test_semi_supervised.py::test_a_label_that_is_no_class_gives_nan",
    ),
    Mutation(
        "a far scale through log1p",
        "distributions/normal.py",
        "log_scale = jnp.log(scale)",
        "log_scale = jnp.log1p(scale - 1)",
        "distributions/test_kl.py::test_it_is_that_of_float64_for_scales_far_apart",
    ),
    Mutation(
        "a decoder that mixes its leading axes",
        "networks/heads.py",
        "return jax.vmap(functools.partial(one, params))(z)",
        "return jax.vmap(functools.partial(one, params))(z)[::-1]",
        "networks/test_heads.py::test_a_decoder_keeps_every_leading_axis",
    ),
    Mutation(
        "a transposed convolution that starts at a quarter of its variance",
        "networks/conv.py",
        "variance_scaling(stride**2,",
        "variance_scaling(1.0,",
        "networks/test_conv.py::test_a_layer_keeps_the_scale_of_what_it_sees",
    ),
    Mutation(
        "others of the batch for all others of the data set",
        "objectives/beta_tc.py",
        "(num_examples - 1) / (num_examples * max(own.shape[1] - 1, 1))",
        "1 / max(own.shape[1] - 1, 1)",
        "objectives/test_beta_tc.py::test_the_stratified_density_averages_exactly_to_"
        "that_of_the_data_set",
    ),
    Mutation(
        "an example's place on its device for that in the batch",
        "objectives/beta_tc.py",
        "local_rows(jnp.arange(num_batch))",
        "jnp.arange(len(z))",
        "test_parallel.py::test_every_row_trains_on_four_devices_with_the_losses_of_one"
        "[beta tc, stratified-pmap]",
    ),
    Mutation(
        "the marginals' product for the joint density",
        "objectives/beta_tc.py",
        "logsumexp(log_w + terms.sum(axis=-1), axis=1)",
        "logsumexp(log_w[..., None] + terms, axis=1).sum(axis=-1)",
        "objectives/test_beta_tc.py::test_the_total_correlation_of_a_normal_is_the_log_"
        "determinant_of_its_correlation",
    ),
    Mutation(
        "the covariance of the locs for that of the codes",
        "objectives/dip.py",
        " + jnp.diag(variance.mean(axis=0))",
        "",
        "objectives/test_dip.py::test_codes_whose_covariance_is_the_identity_cost_"
        "nothing",
    ),
    Mutation(
        "a discrepancy that counts each point and itself",
        "mmd.py",
        "jnp.where(jnp.eye(num, dtype=bool), 0, kernel(x, x) + kernel(y, y))",
        "kernel(x, x) + kernel(y, y)",
        "test_mmd.py::test_the_u_statistic_has_mean_0_under_equal_laws",
    ),
    Mutation(
        "a discrepancy of every device's own codes",
        "objectives/wae_mmd.py",
        "discrepancy(*global_batch((z, draws)))",
        "discrepancy(z, draws)",
        "test_parallel.py::test_every_row_trains_on_four_devices_with_the_losses_of_one"
        "[wae mmd-pmap]",
    ),
    Mutation(
        "the whole weight on the discrepancy, and the rate's too",
        "objectives/info_mmd.py",
        "(alpha + scaling - 1) * distance",
        "scaling * distance",
        "objectives/test_info_mmd.py::test_alpha_0_and_scaling_1_is_the_elbo",
    ),
    Mutation(
        "directions of every device's own",
        "objectives/sliced_wasserstein.py",
        "global_key(direction_key)",
        "direction_key[0]",
        "test_parallel.py::test_every_row_trains_on_four_devices_with_the_losses_of_one"
        "[sliced wasserstein-pmap]",
    ),
    Mutation(
        "projections that are not sorted",
        "objectives/sliced_wasserstein.py",
        "jnp.sort(directions @ y.T)",
        "directions @ y.T",
        "objectives/test_sliced_wasserstein.py::test_of_order_2_no_matching_of_the_"
        "projections_costs_less",
    ),
    Mutation(
        "the gradient of the sum of an image for its Jacobian",
        "objectives/regularized.py",
        "(z,), (signs,))",
        "(z,), (jnp.ones_like(z),))",
        "objectives/test_regularized.py::test_the_gradient_penalty_is_the_squared_norm_"
        "of_the_jacobian_on_average",
    ),
    Mutation(
        "a spectral norm without a gradient",
        "spectral_norm.py",
        "@ matrix @ right",
        "@ fixed @ right",
        "objectives/test_regularized.py::test_the_gradient_of_the_spectral_norm_is_the_"
        "outer_product_of_its_vectors",
    ),
    Mutation(
        "weight decay of what is no weight",
        "objectives/regularized.py",
        'if {"network", "head"} &',
        "if {None} |",
        "objectives/test_regularized.py::test_parameters_that_are_no_weights_of_a_"
        "network_are_not_counted",
    ),
    Mutation(
        "the luminance at every scale",
        "distributions/ms_ssim.py",
        "places = luminance * contrast if last else contrast",
        "places = luminance * contrast",
        "distributions/test_ms_ssim.py::test_it_is_the_product_of_the_scales_of_scipys_"
        "convolutions",
    ),
    Mutation(
        "a power of a similarity below 0",
        "distributions/ms_ssim.py",
        "positive(mean) **",
        "mean **",
        "distributions/test_ms_ssim.py::test_flat_opposite_and_saturated_images_have_"
        "finite_values_and_gradients",
    ),
    Mutation(
        "a coordinate that sees itself",
        "networks/made.py",
        "degrees[-1][:, None] < outputs",
        "degrees[-1][:, None] <= outputs",
        "networks/test_made.py::test_each_coordinates_numbers_see_those_before_it_and_"
        "all_of_the_context",
    ),
    Mutation(
        "the sign of the log-determinant of a draw",
        "flows/transformed.py",
        "return z, log_q - log_det",
        "return z, log_q + log_det",
        "flows/test_transformed.py::test_the_density_of_a_draw_is_the_same_in_one_pass_"
        "and_by_the_scan",
    ),
    Mutation(
        "the sign of the log-determinant of an inverse",
        "flows/transformed.py",
        "return self.base.log_prob(z) + log_det",
        "return self.base.log_prob(z) - log_det",
        "flows/test_transformed.py::test_it_is_the_base_at_the_inverse_and_the_log_"
        "determinant_of_the_inverse",
    ),
    Mutation(
        "an inverse that forgets the order",
        "flows/flow.py",
        "return back(params, z[..., ::-1], context)",
        "return back(params, z, context)",
        "flows/test_flows.py::test_repeat_is_a_chain_with_the_order_reversed_between",
    ),
    Mutation(
        "a planar flow without its constraint",
        "flows/planar.py",
        "slope = positive(wu)",
        "slope = 1 + wu",
        "flows/test_flows.py::test_maps_that_run_forward_only_are_invertible_whatever_"
        "their_parameters[planar]",
    ),
    Mutation(
        "parameters gathered as if they were examples",
        "batch.py",
        "is_leaf=lambda leaf: isinstance(leaf, Shared)",
        "is_leaf=None",
        "test_batch.py::test_what_is_shared_has_no_rows_to_gather",
    ),
    Mutation(
        "the ends of the levels closed",
        "distributions/discretized_logistic.py",
        "jnp.where(level <= 0, below_a, jnp.where(level >= last, above_b, inner))",
        "inner",
        "likelihoods/test_contract_of_likelihoods.py::test_it_sums_to_1_and_mean_and_"
        "mode_are_those_of_the_sum[float64-discretized logistic]",
    ),
    Mutation(
        "a continuous Bernoulli without its normaliser",
        "distributions/continuous_bernoulli.py",
        "self.logits * (value - 0.5) - log_sinh",
        "self.logits * (value - 0.5)",
        "likelihoods/test_contract_of_likelihoods.py::test_it_sums_to_1_and_mean_and_"
        "mode_are_those_of_the_sum[float32-continuous bernoulli]",
    ),
    Mutation(
        "the variance for the scale of a Laplace",
        "distributions/laplace.py",
        "self.loc) / self.scale - jnp.log",
        "self.loc) / self.scale**2 - jnp.log",
        "likelihoods/test_contract_of_likelihoods.py::test_it_sums_to_1_and_mean_and_"
        "mode_are_those_of_the_sum[float32-laplace]",
    ),
    Mutation(
        "the dispersion for its inverse",
        "distributions/negative_binomial.py",
        "share = total / (theta + mu)",
        "share = total / (1 / theta + mu)",
        "likelihoods/test_contract_of_likelihoods.py::test_it_sums_to_1_and_mean_and_"
        "mode_are_those_of_the_sum[float64-negative binomial]",
    ),
    Mutation(
        "a lost count that is no count of 0",
        "distributions/zero_inflated_negative_binomial.py",
        "jnp.logaddexp(log_drop, kept)",
        "log_drop",
        "likelihoods/test_contract_of_likelihoods.py::test_it_sums_to_1_and_mean_and_"
        "mode_are_those_of_the_sum[float64-zero-inflated]",
    ),
    Mutation(
        "colours coupled from black, not from grey",
        "distributions/coupled_logistic_mixture.py",
        "* (x - 0.5)",
        "* x",
        "distributions/test_coupled_logistic_mixture.py::test_log_prob_is_that_of_pixel_"
        "cnn_and_all_colours_sum_to_1",
    ),
    Mutation(
        "an urn without the ball put back",
        "distributions/beta_binomial.py",
        "(self.a + self.b + i) < self.a + state[1]",
        "(self.a + self.b) < self.a",
        "likelihoods/test_contract_of_likelihoods.py::test_draws_are_in_the_support_and_"
        "have_its_mean_and_variance[beta-binomial]",
    ),
    Mutation(
        "a wrong number of levels accepted",
        "data/support.py",
        "num_levels == own + 1 or is_binary(x, scale)",
        "True",
        "data/test_support.py::test_levels_are_those_of_the_data",
    ),
    Mutation(
        "a manifest that is believed whatever happened to it",
        "manifest.py",
        'if last != f"# {digest}\\n".encode():',
        "if not last:",
        "test_manifest.py::test_every_bit_of_the_manifest_itself_matters",
    ),
    Mutation(
        "damage that is found and restored all the same",
        "checkpoint.py",
        "if (wrong := manifest.damage(folder)) is None:",
        "if (wrong := None) is None:",
        "test_checkpoint.py::test_after_falling_back_the_same_step_is_saved_again",
    ),
    Mutation(
        "a lock that two can hold",
        "checkpoint.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "test_checkpoint.py::test_a_second_writer_is_refused_and_named",
    ),
    Mutation(
        "files that may promise any number of bytes",
        "checkpoint.py",
        "if promised > MAX_RATIO * stored + MANY_BYTES:",
        "if promised < 0:",
        "test_checkpoint.py::"
        "test_what_small_files_promise_is_not_allocated_for_shapes_alone",
    ),
    Mutation(
        "the tally of the last chunk in place of all of them",
        "streamed.py",
        "told = merged(told, metrics)",
        "told = metrics",
        "test_streamed.py::test_the_losses_are_those_of_data_on_the_device",
    ),
    Mutation(
        "offsets of a file that are not its own",
        "parameter_file.py",
        "if (begin, stop) != (end, end + num):",
        "if stop - begin != num:",
        "test_parameter_file.py::test_a_file_made_to_harm_is_refused[overlap]",
    ),
    Mutation(
        "another type of number accepted",
        "parameter_file.py",
        'entry["dtype"] != NAMES.get(dtype) or ',
        "",
        "test_parameter_file.py::test_other_parameters_are_refused_by_the_path_of_the_"
        "leaf",
    ),
    Mutation(
        "parameters exported as constants",
        "export.py",
        "flat[name] for name in names",
        "dict(named_leaves(params))[name] for name in names",
        "test_export.py::test_parameters_are_an_argument_not_part_of_the_program",
    ),
    Mutation(
        "every process reads the first share of a batch",
        "data/stream.py",
        "first = place * batch_size + process_index * num_local",
        "first = place * batch_size",
        "test_streamed.py::test_the_shares_of_all_processes_are_the_global_batch_in_"
        "order",
    ),
    Mutation(
        "a resumed stream that starts from its first batch",
        "streamed.py",
        'iterator.get_state() | {"next_index": step}',
        "iterator.get_state()",
        "test_streamed.py::test_a_run_of_fifty_steps_that_was_resumed_is_bit_identical"
        "[some steps]",
    ),
    Mutation(
        "a picture whose size nobody checks before it is decoded",
        "data/pictures.py",
        "width * height > MAX_PIXELS",
        "False",
        "data/test_pictures.py::test_a_picture_that_cannot_be_used_is_named"
        "[medium-: size: expected at most 16777216 pixels]",
    ),
    Mutation(
        "a gradient that nobody looks at",
        "train.py",
        'jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)',
        'jnp.isfinite(metrics["loss"])',
        "test_train.py::test_a_step_that_is_not_finite_changes_nothing_and_names_the_"
        "term[3]",
    ),
    Mutation(
        "a row of skipped steps that a good one does not end",
        "train.py",
        "jnp.where(finite, 0, state.skipped + 1)",
        "jnp.where(finite, state.skipped, state.skipped + 1)",
        "test_train.py::test_a_step_that_is_not_finite_changes_nothing_and_names_the_"
        "term[1]",
    ),
    Mutation(
        "steps on trial that are not taken back",
        "trial.py",
        "lambda: (old.params, old.opt_state)",
        "lambda: (new.params, new.opt_state)",
        "test_trial.py::test_how_many_are_on_trial_changes_no_bit_and_no_count",
    ),
    Mutation(
        "the tally of steps that were taken back",
        "trial.py",
        "jnp.where(stands, new, old), told, sums",
        "new, told, sums",
        "test_trial.py::test_how_many_are_on_trial_changes_no_bit_and_no_count",
    ),
    Mutation(
        "steps taken back are not taken again",
        "trial.py",
        "done + jnp.where(stands, num, 0)",
        "done + num",
        "test_trial.py::test_how_many_are_on_trial_changes_no_bit_and_no_count",
    ),
    Mutation(
        "one step of a trial forgives the one before",
        "trial.py",
        "skipped=state.skipped | (skipped > 0)",
        "skipped=skipped > 0",
        "test_trial.py::test_a_step_with_a_guard_of_its_own_is_believed",
    ),
    Mutation(
        "a trial forgets the skipped steps before it",
        "trial.py",
        "jnp.where(new.skipped, before + 1, 0)",
        "jnp.where(new.skipped, 1, 0)",
        "test_trial.py::test_a_row_of_skipped_steps_goes_on_from_before_the_trial",
    ),
    Mutation(
        "means over all steps, the skipped ones too",
        "tally.py",
        "return known / xp.maximum(taken, 1)",
        "return known / xp.maximum(taken + skipped, 1)",
        "test_trial.py::test_the_means_of_many_steps_are_those_of_the_steps_taken",
    ),
    Mutation(
        "micro-batches that are added up, not averaged",
        "microbatches.py",
        "lambda total: total / num_microbatches",
        "lambda total: total",
        "test_microbatches.py::test_twenty_steps_have_the_losses_of_the_whole_batch"
        "[elbo-None]",
    ),
    Mutation(
        "a part of the batch for the whole",
        "batch.py",
        "if _in_part.get():",
        "if False:",
        "test_microbatches.py::test_what_looks_at_the_whole_batch_is_refused"
        "[free bits]",
    ),
    Mutation(
        "micro-batches that the compiler divides, with a sum for each",
        "microbatches.py",
        "return on_each_device(own)(params, keys, x)",
        "return own(params, keys, x)",
        "test_microbatches.py::test_a_step_has_one_sum_over_devices",
    ),
    Mutation(
        "an average that remembers the first parameters",
        "averaged.py",
        "share = (1 - decay) / (1 - decay ** num_steps.astype(float))",
        "share = 1 - decay",
        "test_averaged.py::test_it_is_the_closed_form_and_training_goes_on_as_without_"
        "it[0.99]",
    ),
    Mutation(
        "a moving average that is averaged again",
        "averaged.py",
        "own = _is_masked(average) or moving_average.is_one(path)",
        "own = _is_masked(average)",
        "test_averaged.py::test_a_moving_average_is_not_averaged_again",
    ),
    Mutation(
        "large gradients skipped for ever",
        "large_gradients.py",
        "skip = large & (state.skipped < num_in_a_row)",
        "skip = large",
        "test_large_gradients.py::test_with_every_gradient_above_the_threshold_the_"
        "model_learns_and_without_end_not",
    ),
    Mutation(
        "features that a network widens again",
        "networks/precision.py",
        "return x if x.dtype == jnp.bfloat16 else x.astype(float)",
        "return x.astype(float)",
        "networks/test_precision.py::test_all_products_are_in_bfloat16_and_nothing_else_"
        "is_seen_of_it[float32-mlp]",
    ),
    Mutation(
        "a head that adds up in bfloat16",
        "networks/precision.py",
        "jnp.matmul(h, kernel, preferred_element_type=float)",
        "jnp.matmul(h, kernel).astype(float)",
        "networks/test_precision.py::test_features_times_weights_are_added_in_float32",
    ),
    Mutation(
        "a gap to the least code, not to the second",
        "evaluate/disentanglement/score.py",
        "ordered[-1] - ordered[-2]",
        "ordered[-1] - ordered[0]",
        "evaluate/test_disentanglement.py::test_copies_of_codes_have_the_score_that_is_"
        "documented",
    ),
    Mutation(
        "halves and groups of examples that are the same",
        "evaluate/disentanglement/dci.py",
        "half = shuffled(len(z)) < len(z) // 2",
        "half = shuffled(len(z)) % 2 == 0",
        "evaluate/test_disentanglement.py::test_random_codes_score_by_chance_as_in_the_"
        "second_implementation",
    ),
    Mutation(
        "one value of the held factor for all rows",
        "evaluate/disentanglement/interventions.py",
        "jnp.where(holds, free[:, :1], free)",
        "jnp.where(holds, free[:1, :1], free)",
        "evaluate/test_disentanglement_interventions.py::test_a_row_shares_the_factor_"
        "that_is_held_and_no_other",
    ),
    Mutation(
        "a vote by variance that is not normalised",
        "evaluate/disentanglement/factor_vae_score.py",
        "np.where(alive, free.var(axis=0), 1)",
        "np.where(alive, 1, 1)",
        "evaluate/test_disentanglement_interventions.py::test_mixed_codes_score_as_in_a_"
        "second_implementation",
    ),
    Mutation(
        "a penalty on the wrong side of the gradient",
        "evaluate/disentanglement/logistic_regression.py",
        "gradient = x.T @ (p - target) + ridge * weight",
        "gradient = x.T @ (p - target) - ridge * weight",
        "evaluate/test_disentanglement_explicitness.py::test_the_regression_is_that_of_"
        "scikit_learn",
    ),
    Mutation(
        "shapes that turn clockwise",
        "data/sprites.py",
        "cos * right + sin * up, cos * up - sin * right",
        "cos * right - sin * up, cos * up + sin * right",
        "data/test_sprites.py::test_an_orientation_is_counter_clockwise_x_goes_right_and_"
        "y_down",
    ),
    Mutation(
        "chains back to the prior that weigh before they move",
        "evaluate/annealed.py",
        "return (z, log_w - (betas[t + 1] - betas[t]) * density.likelihood(z)), None",
        "return (z, log_w - (betas[t + 1] - betas[t]) * density.likelihood(carry[0])), "
        "None",
        "evaluate/test_annealed.py::test_weights_are_unbiased",
    ),
    Mutation(
        "half a step too many in a Hamiltonian move",
        "evaluate/annealed.py",
        "last = last - size / 2 * slope(new)",
        "last = last - 0 * slope(new)",
        "evaluate/test_annealed.py::test_a_move_leaves_the_tempered_posterior_as_it_is",
    ),
    Mutation(
        "every move accepted",
        "evaluate/annealed.py",
        "gain = log_joint(new, last) - log_joint(z, momentum)  # [C]",
        "gain = 1 + 0 * log_joint(new, last)  # [C]",
        "evaluate/test_annealed.py::test_a_move_leaves_the_tempered_posterior_as_it_is",
    ),
    Mutation(
        "weights in place of what exceeds the threshold",
        "evaluate/pareto.py",
        "x = (w[:-1] - w[-1])[::-1]",
        "x = w[:-1][::-1]",
        "evaluate/test_pareto.py::test_it_is_the_estimate_of_the_paper",
    ),
    Mutation(
        "the tail of the last chunks in place of that of all",
        "evaluate/likelihood.py",
        "jax.lax.top_k(jnp.append(sums.tail, log_w), num_tail + 1)[0],",
        "jax.lax.top_k(jnp.append(sums.tail - jnp.inf, log_w), num_tail + 1)[0],",
        "evaluate/test_pareto.py::test_it_is_that_of_all_weights_at_once_whatever_the_"
        "chunks",
    ),
    Mutation(
        "scaled bytes that are cheaper than bytes",
        "evaluate/bits.py",
        "* math.log(2)) + math.log2(num_levels)",
        "* math.log(2)) - math.log2(num_levels)",
        "evaluate/test_bits.py::test_a_density_of_scaled_bytes_is_that_of_the_bytes",
    ),
    Mutation(
        "a Fréchet distance without the factor 2",
        "evaluate/frechet.py",
        "a.trace + b.trace - 2 * overlap",
        "a.trace + b.trace - overlap",
        "evaluate/test_frechet.py::test_a_set_is_at_distance_zero_from_itself_whatever_"
        "its_rank",
    ),
    Mutation(
        "a jackknife as if its parts were independent",
        "evaluate/frechet.py",
        "variance = (num_groups - 1) * (",
        "variance = 1 / num_groups * (",
        "evaluate/test_frechet.py::test_the_standard_error_is_the_spread_over_repeated_"
        "draws",
    ),
    Mutation(
        "the spread of the blocks for the error of their mean",
        "evaluate/kernel_distance.py",
        "values.std(ddof=1) / math.sqrt(num_blocks)",
        "values.std(ddof=1)",
        "evaluate/test_kernel_distance.py::test_it_is_the_mean_of_the_statistics_of_"
        "disjoint_blocks",
    ),
    Mutation(
        "a point that is its own neighbor",
        "evaluate/coverage.py",
        "_squared(x, x[i]).at[i].set(jnp.inf)",
        "_squared(x, x[i])",
        "evaluate/test_coverage.py::test_of_equal_laws_density_and_coverage_have_their_"
        "closed_forms",
    ),
    Mutation(
        "coverage in the balls of the generated",
        "evaluate/coverage.py",
        "over_real(nearest <= balls[:, :1]",
        "over_real(recalled",
        "evaluate/test_coverage.py::test_all_four_and_their_jackknife_are_those_of_"
        "whole_matrices[43-31-3]",
    ),
    Mutation(
        "a p-value that may be 0",
        "evaluate/two_sample.py",
        "(1 + exceed.sum()) / (1 + num_permutations)",
        "exceed.sum() / num_permutations",
        "evaluate/test_two_sample.py::test_p_values_are_uniform_where_the_laws_are_"
        "equal",
    ),
    Mutation(
        "one permutation for all",
        "evaluate/two_sample.py",
        "jax.random.permutation(key, given)",
        "jax.random.permutation(jax.random.key(0), given)",
        "evaluate/test_two_sample.py::test_the_p_value_is_that_of_all_divisions",
    ),
    Mutation(
        "neighbors by the product alone",
        "evaluate/neighbors.py",
        'precision="highest") - half_norms',
        'precision="highest")',
        "evaluate/test_neighbors.py::test_they_are_those_of_the_whole_matrix_of_"
        "distances",
    ),
    Mutation(
        "an accuracy of the training images",
        "evaluate/features.py",
        "_labelled(dataset, held_out,",
        "_labelled(dataset, dataset.train,",
        "evaluate/test_features.py::test_the_accuracy_is_that_of_the_held_out_images_"
        "whose_label_is_known",
    ),
    Mutation(
        "distances in any features are compared",
        "evaluate/measurement.py",
        "if self.sha256 != sha256:",
        "if False:",
        "evaluate/test_frechet.py::test_distances_in_different_features_cannot_be_"
        "compared",
    ),
    Mutation(
        "bits for nats in the length of a code",
        "evaluate/anomaly.py",
        "8 * math.log(2) * num_bytes(image)",
        "8 * num_bytes(image)",
        "evaluate/test_anomaly.py::test_noise_costs_its_entropy_in_nats_and_flat_or_"
        "striped_images_next_to_nothing",
    ),
    Mutation(
        "a tie that counts in full",
        "evaluate/auroc.py",
        'below = np.searchsorted(ordered, scores, "left")',
        'below = np.searchsorted(ordered, scores, "right")',
        "evaluate/test_auroc.py::test_it_is_sklearns_with_ties_and_without",
    ),
    Mutation(
        "a tally that forgets the row before it",
        "tally.py",
        "across = a[LAST] + b[FIRST]",
        "across = b[FIRST]",
        "test_watched.py::test_rows_are_counted_in_the_program_and_across_segments",
    ),
    Mutation(
        "a row that ends in any step counts on",
        "tally.py",
        "xp.where(through_b, a[LAST], 0)",
        "a[LAST]",
        "test_watched.py::test_rows_are_counted_in_the_program_and_across_segments",
    ),
    Mutation(
        "steps not taken do not lengthen a segment",
        "tally.py",
        't[FIRST] == t["taken"] + t["skipped"]',
        't[FIRST] == t["taken"]',
        "test_watched.py::test_rows_are_counted_in_the_program_and_across_segments",
    ),
    Mutation(
        "a vector is finite if a part of it is",
        "tally.py",
        "(~jnp.isfinite(value)).any()",
        "(~jnp.isfinite(value)).all()",
        "test_watched.py::test_a_vector_with_one_number_that_is_not_finite_counts_once",
    ),
    Mutation(
        "a square for a variance",
        "watched.py",
        "means[SQUARE] - means[LOC] ** 2",
        "means[SQUARE]",
        "test_watched.py::test_a_step_has_collapsed_with_little_rate_or_no_active_unit",
    ),
    Mutation(
        "one silent unit is a collapse",
        "watched.py",
        "silent.all()",
        "silent.any()",
        "test_watched.py::test_a_step_has_collapsed_with_little_rate_or_no_active_unit",
    ),
    Mutation(
        "the threshold of a standard deviation",
        "watched.py",
        "SMALL_VARIANCE = 0.01",
        "SMALL_VARIANCE = 0.1",
        "test_watched.py::test_a_step_has_collapsed_with_little_rate_or_no_active_unit",
    ),
    Mutation(
        "a rate in bits",
        "watched.py",
        "SMALL_RATE = 0.05",
        "SMALL_RATE = 0.035",
        "test_watched.py::test_a_step_has_collapsed_with_little_rate_or_no_active_unit",
    ),
    Mutation(
        "the mean over the dimensions too",
        "train.py",
        "jnp.mean(m, axis=0)",
        "jnp.mean(m)",
        "test_watched.py::test_it_tells_what_evaluation_tells_of_the_batch",
    ),
    Mutation(
        "the mean over the dimensions of parts of a batch",
        "microbatches.py",
        "jnp.mean(metric, axis=0)",
        "jnp.mean(metric)",
        "test_watched.py::test_on_many_devices_it_is_that_of_the_global_batch_after_on"
        "e_sum",
    ),
    Mutation(
        "no summary of a step",
        "train.py",
        "objective.summary(metrics)",
        "metrics",
        "test_watched.py::test_it_tells_what_evaluation_tells_of_the_batch",
    ),
    Mutation(
        "a conditional objective without its summary",
        "objectives/conditional.py",
        "objective._replace(loss=loss, init=init, visible=visible)",
        "Objective(loss, init, visible)",
        "test_watched.py::test_what_is_around_it_keeps_what_it_tells",
    ),
    Mutation(
        "a warm-up that ends at its start",
        "schedules.py",
        "jnp.argmin(gaps)",
        "jnp.argmax(gaps)",
        "test_schedules.py::test_a_warmup_ends_where_the_factor_is_full_or_with_the_ru"
        "n",
    ),
    Mutation(
        "a single example of a device for that of all",
        "batch.py",
        "batch_size(x) * num_devices == 1 and",
        "batch_size(x) == 1 and",
        "test_watched.py::test_of_one_example_nothing_varies_so_that_it_is_judged_by_"
        "its_rate",
    ),
    Mutation(
        "the gap of the family for the regret of the encoder",
        "evaluate/anomaly.py",
        'name = "amortization_gap"',
        'name = "approximation_gap"',
        "evaluate/test_anomaly.py::test_the_regret_of_a_linear_gaussian_model_is_the_"
        "divergence_of_q_from_the_best",
    ),
    Mutation(
        "the regret with its sign turned",
        "evaluate/anomaly.py",
        "LikelihoodRegret(gap.estimate[name]",
        "LikelihoodRegret(-gap.estimate[name]",
        "evaluate/test_anomaly.py::test_the_regret_of_a_linear_gaussian_model_is_the_"
        "divergence_of_q_from_the_best",
    ),
    Mutation(
        "factors of sprites in another order than the images",
        "data/sprites.py",
        "values = np.asarray(factor_values(factors, indices))",
        "values = np.asarray(factor_values(factors, indices[::-1]))",
        "data/test_sprites.py::test_the_factors_of_the_splits_are_those_of_their_"
        "images",
    ),
    Mutation(
        "features that forget their parameters",
        "evaluate/features.py",
        "sha256, accuracy, error, params)",
        "sha256, accuracy, error)",
        "evaluate/test_features.py::test_the_hash_is_that_of_the_parameters_it_carries",
    ),
    Mutation(
        "no result is written over an operand",
        "evaluate/memory.py",
        "sum(made.values()) - reused",
        "sum(made.values())",
        "evaluate/test_memory.py::test_it_is_the_most_that_is_alive_at_one_time",
    ),
    Mutation(
        "the memory inside of a loop or call is forgotten",
        "evaluate/memory.py",
        "inside = max(map(_peak, jaxprs_in_params(equation.params)), default=0)",
        "inside = 0",
        "evaluate/test_memory.py::test_it_is_the_most_that_is_alive_at_one_time",
    ),
    Mutation(
        "the last rows are left out",
        "evaluate/memory.py",
        "-(-total // max(size, 1))",
        "total // max(size, 1)",
        "evaluate/test_memory.py::test_rows_in_parts_are_the_rows",
    ),
    Mutation(
        "memory for a quarter of the particles that it holds",
        "evaluate/likelihood.py",
        "share = 1.0  # of what is free",
        "share = 0.25",
        "evaluate/test_likelihood.py::test_the_program_needs_no_more_memory_than_it_is_"
        "given",
    ),
    Mutation(
        "a program that needs more is taken",
        "evaluate/likelihood.py",
        "if used <= memory:",
        "if used:",
        "evaluate/test_likelihood.py::test_where_the_estimate_is_too_low_the_compiled_"
        "program_is_asked",
    ),
    Mutation(
        "a score of NaN is the best",
        "checkpoint.py",
        "isinstance(score, int | float) and math.isfinite(score)",
        "isinstance(score, int | float)",
        "test_checkpoint.py::test_a_score_that_is_no_finite_number_is_never_the_best",
    ),
    Mutation(
        "features of NaN are of two laws",
        "evaluate/two_sample.py",
        "jnp.where(jnp.isfinite(statistic), p_value, jnp.nan)",
        "p_value",
        "evaluate/test_two_sample.py::test_of_what_is_not_finite_there_is_no_p_value",
    ),
    Mutation(
        "a flow that diverged is drawn from",
        "samplers/codes.py",
        "state.skipped > 0",
        "state.skipped < 0",
        "samplers/test_samplers.py::test_a_fit_that_diverges_is_an_error",
    ),
    Mutation(
        "m2 forgets what becomes of the means",
        "objectives/semi_supervised.py",
        "objective._replace(loss=loss, init=init, visible=visible)",
        "Objective(loss, init, visible)",
        "test_watched.py::test_what_is_around_it_keeps_what_it_tells",
    ),
    Mutation(
        "a unit of NaN is active",
        "watched.py",
        "jnp.where(jnp.isnan(variance), variance, ~silent)",
        "~silent",
        "test_watched.py::test_a_step_has_collapsed_with_little_rate_or_no_active_unit",
    ),
    Mutation(
        "a class alone has a silhouette of 0",
        "evaluate/structure.py",
        "return np.nan",
        "return 0.0",
        "evaluate/test_structure.py::test_the_silhouette_of_rare_classes_has_an_error_"
        "where_it_can_be_estimated",
    ),
)


class Outcome(NamedTuple):
    """What the tests made of one mutation."""

    mutation: Mutation
    red: str  # the test that failed; empty if the mutation survived
    seconds: float


def copy(folder: pathlib.Path) -> None:
    """Copies what the tests need into an empty folder."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)


def seed(mutation: Mutation, folder: pathlib.Path) -> None:
    """Makes the error in the copy at `folder`.

    Raises:
      ValueError: if its text does not occur exactly once.
    """
    path = folder / "vaejax" / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(
            f"{mutation.name}: expected the text once in vaejax/{mutation.file}, found "
            f"it {text.count(mutation.old)} times: {mutation.old!r}"
        )
    path.write_text(text.replace(mutation.old, mutation.new))


def run_tests(folder: pathlib.Path, tests: list[str]) -> Finished:
    """Runs some tests on the copy at `folder`, in a process of their own.

    It is forked from one that has imported what the tests do but not the library: most
    of these tests take less time than that.
    """
    run = FORKS.Process(target=in_child, args=(folder, tests))
    run.start()
    run.join()
    output = folder / OUTPUT
    text = output.read_text() if output.exists() else "The process died at its start."
    code = re.search(r"^exit (\d)$", text, re.MULTILINE)  # of any thread's child
    return Finished(int(code[1]) if code else None, text)


def in_child(folder: pathlib.Path, tests: list[str]) -> None:
    """What the process of `run_tests` does: all it says goes to a file."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    options = ["-x", "-p", "no:cacheprovider", "--tb=no", "-q", "-rfE", "--color=no"]
    with (
        (folder / OUTPUT).open("w") as output,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        import pytest

        import vaejax

        assert folder in pathlib.Path(vaejax.__file__).parents
        code = pytest.main([*options, *(f"tests/{t}" for t in tests)])
        print(f"exit {int(code)}")


def unchanged(tests: list[str]) -> str:
    """What pytest says about the tests without any mutation, or nothing if green."""
    with tempfile.TemporaryDirectory() as name:
        copy(pathlib.Path(name))
        done = run_tests(pathlib.Path(name), tests)
    return "" if done.returncode == 0 else done.stdout


def judge(mutation: Mutation) -> Outcome:
    """Runs the test of one mutation."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        copy(pathlib.Path(name))
        seed(mutation, pathlib.Path(name))
        done = run_tests(pathlib.Path(name), [mutation.test])
    failed = re.search(r"^FAILED \S*?::(.+?)( - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) or (done.returncode == 1 and failed is None):
        raise RuntimeError(
            f"{mutation.name}: pytest ran no test of its own:\n{done.stdout}"
        )
    red = failed[1] if failed else ""
    return Outcome(mutation, red, time.perf_counter() - begin)


def main() -> int:
    """Prints the table of mutations; 1 if any survived."""
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")  # before JAX is imported
    with tempfile.TemporaryDirectory() as name:  # all match, before anything is run
        for i, mutation in enumerate(MUTATIONS):
            folder = pathlib.Path(name) / str(i) / "vaejax" / mutation.file
            folder.parent.mkdir(parents=True)
            shutil.copy(ROOT / "vaejax" / mutation.file, folder)
            seed(mutation, pathlib.Path(name) / str(i))
    tests = sorted({mutation.test for mutation in MUTATIONS})
    halves = [tests[i::WORKERS] for i in range(WORKERS)]
    survived = 0
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        if complaint := "".join(pool.map(unchanged, halves)):
            print(f"The tests fail without any mutation:\n{complaint}")
            return 1
        print(f"{'mutation':54} {'file':25} {'seconds':>7}  test that went red")
        for outcome in pool.map(judge, MUTATIONS):
            name, file = outcome.mutation.name, outcome.mutation.file
            survived += not outcome.red
            red = outcome.red or "NONE: SURVIVED"
            print(f"{name:54} {file:25} {outcome.seconds:7.1f}  {red}", flush=True)
    print(f"{len(MUTATIONS) - survived} of {len(MUTATIONS)} mutations were caught.")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
