"""What `import vaejax` costs and loads."""

import statistics
import subprocess
import sys
import time

import pytest

import vaejax

HEAVY = ("orbax", "tensorflow_datasets", "tensorflow", "sklearn", "matplotlib", "tyro")
HEAVY += ("rich", "torch", "grain", "PIL", "scipy.stats", "array_record", "experiments")
CORE = "import jax, flax.linen, optax, chex"


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout


def test_importing_the_library_loads_nothing_heavy_beyond_its_four_dependencies():
    loaded = "import sys; print(*sys.modules)"
    core, ours = (
        set(python(f"{code}; {loaded}").split())
        for code in (CORE, f"import vaejax; {CORE}")
    )
    extra = {name for name in ours - core if not name.startswith("vaejax")}
    assert not {name for name in extra if name.startswith(HEAVY)}
    assert len(extra) < 5, sorted(extra)
    assert "vaejax.train" in ours
    assert not {"vaejax.checkpoint", "vaejax.data"} & ours


def test_the_heavy_modules_are_there_when_they_are_asked_for():
    assert {"checkpoint", "data", "export", "parameter_file"} <= set(dir(vaejax))
    with pytest.raises(AttributeError, match=r"vaejax.*'nonsense'"):
        vaejax.nonsense  # noqa: B018


@pytest.mark.slow
def test_importing_the_library_takes_at_most_a_third_longer_than_what_it_needs():
    def seconds(code: str) -> float:
        begin = time.perf_counter()
        python(code)
        return time.perf_counter() - begin

    pairs = [(seconds("import vaejax"), seconds(CORE)) for _ in range(7)]
    ours, core = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"import vaejax {ours:.2f} s, its dependencies {core:.2f} s")
    assert ours < 1.3 * core
