"""Checkpoints of whole train states: the only file that knows orbax."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from vaejax.base import Params
from vaejax.train import TrainState


class Checkpoints:
    """The checkpoints of one run, written in the background; newest and best are kept.

    A context manager: leaving it waits for the background writes and raises what went
    wrong in them. A checkpoint holds the step, parameters, optimizer and key, so a run
    resumed from it is bit-identical to one that never stopped; it knows no devices and
    is restored to those of the state it is restored into.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        num_newest: int = 2,
        best: str | None = None,
        num_best: int = 1,
        read_only: bool = False,
    ) -> None:
        """Opens a folder of checkpoints, and creates it if needed.

        Args:
          folder: where they lie, a numbered folder for each step.
          num_newest: how many of the newest are kept, at least 1.
          best: the name of a note given to `save`; the checkpoints where it is largest
            are kept beside the newest. A checkpoint without it is never the best.
            Default: the newest alone.
          num_best: how many of the best are kept.
          read_only: leave the folder as it is, for a look at a run that another
            process may be writing.

        Raises:
          ValueError: if a count is less than 1, or `read_only` and there is no folder.
        """
        if min(num_newest, num_best) < 1:
            raise ValueError(
                "num_newest and num_best must be at least 1, got "
                f"{num_newest} and {num_best}."
            )
        if read_only and not Path(folder).is_dir():
            raise ValueError(f"There is no folder of checkpoints at {folder}.")
        kept: list[Any] = [policies.LatestN(num_newest)]
        if best is not None:
            kept.append(
                policies.BestN(
                    get_metric_fn=lambda metrics: metrics[best],
                    n=num_best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._best_of = best
        self._manager = ocp.CheckpointManager(
            Path(folder).absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(kept),
                best_fn=None if best is None else lambda metrics: metrics[best],
                cleanup_tmp_directories=not read_only,
                read_only=read_only,
                create=not read_only,
            ),
            item_handlers={
                "state": ocp.PyTreeCheckpointHandler(),
                "notes": ocp.JsonCheckpointHandler(),
            },
        )

    def save(self, state: TrainState, notes: Mapping[str, Any] | None = None) -> None:
        """Starts writing a state; it may be donated or changed as soon as this returns.

        Args:
          state: the whole state; its step names the checkpoint.
          notes: anything JSON can hold, kept beside the state.

        Raises:
          ValueError: if the folder holds this step or a later one.
        """
        notes = dict(notes or {})
        score = None if self._best_of is None else notes.get(self._best_of)
        step = int(state.step)
        own = jax.tree.map(jnp.copy, _storable(state))  # what the next step donates
        saved = self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(own), notes=ocp.args.JsonSave(notes)
            ),
            metrics=None if score is None else {self._best_of: score},
        )
        if not saved:
            raise ValueError(
                f"Step {step} was not saved: {self._manager.directory} holds step "
                f"{self._manager.latest_step()}. Resume from it, or use a new folder."
            )

    def restore(
        self, state: TrainState, step: int | None = None
    ) -> tuple[TrainState, dict[str, Any]]:
        """The newest state, with its notes; the given one and {} if there is none.

        Args:
          state: gives structure, shapes, types and devices, as `init_state` makes it.
          step: which checkpoint, one of `steps`. Default: the newest.

        Raises:
          ValueError: if there is no such step, or its parameters are of another
            structure, shape or type (the message names the first that differs), or
            it is damaged.
        """
        step = self._manager.latest_step() if step is None else step
        if step is None:
            return state, {}
        if step not in self.steps():
            raise ValueError(
                f"{self._manager.directory} holds no step {step}, only {self.steps()}."
            )
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, _storable(state))
        into = ocp.checkpoint_utils.construct_restore_args(target)
        self._check(step, target)
        try:
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeRestore(target, restore_args=into),
                    notes=ocp.args.JsonRestore(),
                ),
            )
        except Exception as error:  # orbax and tensorstore raise all kinds
            raise self._damaged(step, error) from error
        stored = restored["state"]
        key = jax.random.wrap_key_data(stored.key, impl=jax.random.key_impl(state.key))
        return stored._replace(key=key), dict(restored["notes"])

    def steps(self) -> list[int]:
        """The steps that can be restored, in order."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """The step where the note named `best` is largest, if there is one."""
        return self._manager.best_step() if self._best_of is not None else None

    def wait(self) -> None:
        """Waits for the background writes; raises what went wrong in them."""
        self._manager.wait_until_finished()
        self._manager.check_for_errors()

    def close(self) -> None:
        """Waits, and lets the folder go."""
        self.wait()
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _damaged(self, step: int, error: Exception) -> ValueError:
        reason = (str(error).splitlines() or [""])[0][:200]
        return ValueError(
            f"Checkpoint {step} in {self._manager.directory} cannot be read "
            f"({type(error).__name__}: {reason}). Delete its folder to go on from an "
            "older one, if there is one."
        )

    def _check(self, step: int, target: Any) -> None:
        """Compares what was saved with what is wanted, leaf by leaf."""
        try:
            saved = self._manager.item_metadata(step)["state"]
            have = {_path(p): (m.shape, m.dtype) for p, m in _leaves(saved.tree)}
        except Exception as error:
            raise self._damaged(step, error) from error
        want = {_path(p): (t.shape, t.dtype) for p, t in _leaves(target)}
        for name in sorted(have.keys() | want.keys()):
            if have.get(name) != want.get(name):
                raise ValueError(
                    f"Checkpoint {step} in {self._manager.directory} does not fit: "
                    f"{name} is {have.get(name, 'absent')} there and "
                    f"{want.get(name, 'absent')} here. Build the model, objective and "
                    "optimizer that were saved, or use a new folder."
                )


def params_sha256(params: Params) -> str:
    """SHA-256 of parameters, equal exactly if every bit of them is.

    Over the leaves in JAX's order (dictionaries by sorted key): the path with slashes,
    the dtype, the shape, and the bytes in C order, little-endian.
    """
    digest = hashlib.sha256()
    for path, leaf in _leaves(params):
        array = np.ascontiguousarray(leaf)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{_path(path)} {array.dtype.name} {array.shape}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def _storable(state: TrainState) -> TrainState:
    """The state with its typed key as plain numbers."""
    return state._replace(key=jax.random.key_data(state.key))


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _path(path: Any) -> str:
    return "/".join(
        str(getattr(p, "name", getattr(p, "key", getattr(p, "idx", p)))) for p in path
    )
