"""A compile cache that others may write to is refused before any work."""

import jax
import pytest

from experiments import cli
from experiments.compile_cache import check_compile_cache
from experiments.errors import UserError


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(folder))
    yield folder
    jax.config.update("jax_compilation_cache_dir", before)


def test_one_of_our_own_or_not_there_yet_is_taken(cache):
    check_compile_cache()
    cache.rmdir()
    check_compile_cache()
    jax.config.update("jax_compilation_cache_dir", "gs://bucket/cache")
    check_compile_cache()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_one_that_others_may_write_to_is_refused(cache, mode, capsys):
    cache.chmod(mode)
    with pytest.raises(UserError, match="can be written by others"):
        check_compile_cache()
    assert cli.main(["train", "vae", "--workdir", "never"]) == 2
    assert "compile cache" in capsys.readouterr().err


def test_one_in_a_folder_that_others_may_exchange_is_refused(cache):
    cache.parent.chmod(0o777)
    with pytest.raises(UserError, match="can be written by others"):
        check_compile_cache()
    cache.parent.chmod(0o1777)  # with the sticky bit they may not
    check_compile_cache()


def test_a_link_does_not_hide_the_place(cache, tmp_path):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    cache.rmdir()
    (open_to_all / "cache").mkdir(mode=0o700)
    cache.symlink_to(open_to_all / "cache")
    check_compile_cache()
    open_to_all.chmod(0o777)
    with pytest.raises(UserError, match="open can be written by others"):
        check_compile_cache()
