"""A likelihood that cannot have made the data is refused before any work."""

import numpy as np
import pytest

from experiments import cli

GREY = np.arange(200, dtype=np.uint8).reshape(50, 4)
COUNTS = np.arange(200, dtype=np.int32).reshape(50, 4)


@pytest.mark.parametrize(
    ("image", "flags", "message"),
    [
        (GREY, "discretized_logistic --num-levels 17", "Set num_levels to 256"),
        (GREY, "categorical --num-categories 17", "num_categories to 256"),
        (GREY, "beta_binomial --total-count 16", "total_count to 255"),
        (COUNTS, "categorical --tokens --num-categories 100", "categories to 200"),
        (COUNTS, "discretized_logistic", "Rescale the data"),
        (GREY, "discretized_logistic_mixture --coupling", "coupling is for images"),
    ],
)
def test_the_error_names_what_to_set(capsys, tmp_path, image, flags, message):
    np.savez(tmp_path / "x.npz", image=image)
    argv = ["train", "vae", "--dataset", f"npz:{tmp_path}/x.npz", "--batch-size", "8"]
    argv += ["--workdir", str(tmp_path / "run"), "--likelihood", *flags.split()]
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
