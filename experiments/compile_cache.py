"""A compile cache holds programs, which JAX runs unseen: whose they are is checked."""

import os
import stat
from pathlib import Path

import jax

from experiments.errors import UserError


def check_compile_cache() -> None:
    """Looks at the folder of JAX's compile cache, if one is set.

    Raises:
      UserError: if somebody else owns it, or may write to it or to a folder above it.
    """
    name = jax.config.values["jax_compilation_cache_dir"]
    if not name or "://" in name:  # a bucket has rights of its own
        return
    folder = Path(name).absolute()
    for place in (folder, *folder.resolve().parents, *folder.parents):
        if not place.exists():
            continue
        found = place.stat()
        strange = found.st_uid not in (os.getuid(), 0)
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if place != folder and found.st_mode & stat.S_ISVTX:
            shared = 0  # as in /tmp: others may add, not exchange, what lies there
        if strange or shared:
            raise UserError(
                f"the compile cache {folder} is refused, since programs in it would be "
                f"run: {place} {'belongs to' if strange else 'can be written by'} "
                "others. Make it yours alone (chmod -R go-w), or set "
                "JAX_COMPILATION_CACHE_DIR to another folder."
            )
