"""The table of parts: rows on the same images, paired, and read back."""

import json

import numpy as np
import pytest

from experiments import cli, table

TINY = (
    "--hidden", 8, "--latent-dim", 2, "--batch-size", 32, "--max-cpu-seconds", 1e-3,
    "--num-images", 40, "--num-particles", 20, "--num-validation-particles", 2,
)  # fmt: skip


def make(folder, *flags):
    argv = ["table", "--train", "digits", "--validation", "digits", *TINY, *flags]
    assert cli.main([*map(str, argv), "--workdir", str(folder)]) == 0
    return json.loads((folder / "table.json").read_text())["rows"]


def test_a_row_is_compared_with_the_first_image_by_image():
    rng = np.random.default_rng(0)
    first, other = (
        {
            "log_likelihood": rng.normal(-90, 5, 40).astype(np.float32),
            "elbo": rng.normal(-95, 5, 40).astype(np.float32),
            "monte_carlo_error": np.full(40, 0.1, np.float32),
        }
        for _ in range(2)
    )
    result = {"seconds": 9.0, "cpu_seconds": 17.0, "num_steps": 1234, "step": 1000}
    lines = [
        table._line(table.ROWS[i], result, values, first)
        for i, values in enumerate((first, other))
    ]
    assert lines[0]["difference"] is None
    paired = first["log_likelihood"].astype(float) - other["log_likelihood"]
    np.testing.assert_allclose(lines[1]["difference"], paired.mean())
    np.testing.assert_allclose(
        lines[1]["difference_error"], paired.std(ddof=1) / np.sqrt(40), rtol=1e-6
    )
    np.testing.assert_allclose(
        lines[1]["difference"], lines[1]["nll"] - lines[0]["nll"], rtol=1e-6
    )
    text = table._markdown(lines).splitlines()
    assert text[2].startswith(f"| VAE | {lines[0]['nll']:.2f} ± ")
    assert f"{lines[1]['difference']:+.2f} ± " in text[3]
    assert text[3].endswith("| 1,234 (1,000) | 9 | 17 |")


def test_rows_differ_in_their_own_flags_alone(tmp_path):
    arguments = {"train": "digits", "hidden": (8, 8), "seed": 3}
    arguments |= dict.fromkeys(table.SHARED, 1)
    for row in table.ROWS:
        words = table._words(row._replace(flags="", seed=0), tmp_path, arguments)
        own = table._words(row, tmp_path, arguments)
        words[words.index("--seed") + 1] = "4" if row.name == "vae-seed" else "3"
        assert own == [*words, *row.flags.split()]


@pytest.mark.slow
def test_every_row_trains_once(tmp_path):
    rows = make(tmp_path)
    assert [row["name"] for row in rows] == [row.name for row in table.ROWS]
    assert all(np.isfinite(row["nll"]) and row["nll"] < 60 for row in rows)
    assert all(row["num_steps"] >= 10 for row in rows)
    kept = [path.stat().st_mtime_ns for path in tmp_path.glob("*/scores.npz")]
    assert make(tmp_path, "--rows", "vae") == rows
    assert [path.stat().st_mtime_ns for path in tmp_path.glob("*/scores.npz")] == kept
