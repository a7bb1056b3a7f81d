"""Checkpoints of whole train states: the only file that knows orbax.

checkpoints/100/            the state after 100 steps, as orbax writes it
checkpoints/100/SHA256SUMS  of every file in it: only what has one counts
checkpoints/damaged-80      what was found to differ from its manifest, set aside
checkpoints/unsealed-90     what a kill left without one, set aside
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import socket
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from vaejax import manifest
from vaejax.base import Params
from vaejax.parallel import barrier
from vaejax.parameter_file import export_params as export_params
from vaejax.parameter_file import import_params as import_params
from vaejax.train import TrainState

LOCK = ".lock"  # held by the process that writes
MAX_RATIO = 100  # of a state's bytes to those of its files, which are compressed
MANY_BYTES = 2**24  # of a state that is small whatever its files hold
MAX_STEP_DIGITS = 10  # of a folder's name; steps are int32


class Checkpoints:
    """The checkpoints of one run, written in the background; newest and best are kept.

    A context manager: leaving it waits for the background writes and raises what went
    wrong in them. A checkpoint holds the step, parameters, optimizer and key, so a run
    resumed from it is bit-identical to one that never stopped; it knows no devices and
    is restored to those of the state it is restored into.

    After a checkpoint is written its files are hashed, still in the background. What
    has no complete manifest, or differs from it in one bit, is never restored: opening
    the folder sets it aside, with a warning that names the file, and the run goes on
    from the newest good one. With `jax.distributed` all processes call all methods, on
    a folder that all of them see.
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
          num_newest: how many of the newest are kept, at least 1; with one, damage to
            it leaves nothing to go back to.
          best: the name of a note given to `save`; the checkpoints where it is largest
            are kept beside the newest. A checkpoint without it, or where it is not
            finite, is never the best. Default: the newest alone.
          num_best: how many of the best are kept.
          read_only: leave the folder as it is, for a look at a run that another
            process may be writing.

        Raises:
          ValueError: if a count is less than 1, `read_only` and there is no folder, or
            another process is writing to it.
        """
        if min(num_newest, num_best) < 1:
            raise ValueError(
                "num_newest and num_best must be at least 1, got "
                f"{num_newest} and {num_best}."
            )
        self._folder = Path(folder).absolute()
        self._best_of = best
        self._read_only = read_only
        self._background = ThreadPoolExecutor(1, "vaejax-checkpoint")
        self._sealed: Future[None] | None = None  # the last save, once it is whole
        self._failed = False
        self._lock: Any = None
        if read_only:
            if not self._folder.is_dir():
                raise ValueError(f"There is no folder of checkpoints at {folder}.")
            return
        if jax.process_index() == 0:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._folder)
            self._set_aside()
        barrier("the checkpoints are checked")
        kept: list[Any] = [policies.LatestN(num_newest)]
        if best is not None:
            kept.append(
                policies.BestN(
                    get_metric_fn=lambda metrics: metrics[best],
                    n=num_best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(kept),
                best_fn=None if best is None else lambda metrics: metrics[best],
                cleanup_tmp_directories=True,
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
          TypeError: if JSON cannot hold the notes.
          ValueError: if the folder holds this step or a later one, or is read-only.
          OSError: if it cannot be written, or the one before could not be, in the
            background.
        """
        if self._read_only:
            raise ValueError(f"{self._folder} was opened to read only.")
        self.wait()
        notes = dict(notes or {})
        json.dumps(notes)  # raises now, not in the background
        score, step = self._score(notes), int(state.step)
        own = jax.tree.map(jnp.copy, _storable(state))  # what the next step donates
        try:
            saved = self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(own), notes=ocp.args.JsonSave(notes)
                ),
                metrics=None if score is None else {self._best_of: score},
            )
        except Exception as error:  # orbax and tensorstore raise all kinds
            raise self._unwritten(step, error) from error
        if not saved:
            raise ValueError(
                f"Step {step} was not saved: {self._folder} holds step "
                f"{self._manager.latest_step()}. Resume from it, or use a new folder."
            )
        self._sealed = self._background.submit(self._seal, step)

    def restore(
        self, state: TrainState, step: int | None = None
    ) -> tuple[TrainState, dict[str, Any]]:
        """The newest good state, with its notes; the given one and {} if none is there.

        Args:
          state: gives structure, shapes, types and devices, as `init_state` makes it,
            or as `jax.eval_shape` of it does, for the first device.
          step: which checkpoint, one of `steps`. Default: the newest.

        Raises:
          ValueError: if there is no such step, or its parameters are of another
            structure, shape or type (the message names the first that differs), or
            it is damaged (the message names the file), or all there are.
        """
        steps = self._sealed_by_all()
        if step is not None and step not in steps:
            raise ValueError(f"{self._folder} holds no step {step}, only {steps}.")
        wanted = sorted(steps, reverse=True) if step is None else [step]
        found: list[str] = []
        for step in wanted:
            wrong = manifest.damage(self._folder / str(step))
            if wrong is None:
                for text in found:
                    warnings.warn(f"{text}; going back to step {step}.", stacklevel=2)
                return self._restore(state, step)
            found.append(f"Checkpoint {step} in {self._folder}: {wrong}")
        found += [str(path) for path in sorted(self._folder.glob("damaged-*"))]
        if found:
            raise ValueError(
                f"There is no good checkpoint, only: {'; '.join(found)}. Bring back a "
                "copy, or delete what is damaged to begin anew."
            )
        return state, {}

    def steps(self) -> list[int]:
        """The steps that can be restored, in order: those with a complete manifest."""
        self.wait()
        return [step for step in _numbered(self._folder) if self._is_sealed(step)]

    def best_step(self) -> int | None:
        """The step where the note named `best` is largest, if there is one.

        Of equal ones the newest.
        """
        scored = []
        for step in self._sealed_by_all():
            with contextlib.suppress(FileNotFoundError):  # deleted by who writes
                if (score := self._score(self._notes(step))) is not None:
                    scored.append((score, step))
        return max(scored)[1] if scored else None

    def wait(self) -> None:
        """Waits for the background writes.

        Raises:
          OSError: if the last checkpoint could not be written.
        """
        sealed, self._sealed = self._sealed, None
        if sealed is not None:
            sealed.result()

    def close(self) -> None:
        """Waits, and lets the folder go; raises as `wait` does."""
        try:
            self.wait()
        finally:
            self._background.shutdown()
            if not self._read_only:
                self._close_manager()
            if self._lock is not None:
                self._lock.close()

    def _close_manager(self) -> None:
        try:
            self._manager.close()
        except Exception:  # orbax says again what `wait` has said
            if not self._failed:
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _sealed_by_all(self) -> list[int]:
        """`steps`, the same in every process: after all have sealed what they wrote."""
        self.wait()
        barrier("the checkpoints are sealed")
        return self.steps()

    def _score(self, notes: Mapping[str, Any]) -> float | None:
        """How good a checkpoint is, by its notes; None if that is no finite number."""
        score = None if self._best_of is None else notes.get(self._best_of)
        finite = isinstance(score, int | float) and math.isfinite(score)
        return score if finite else None

    def _notes(self, step: int) -> dict[str, Any]:
        handler, folder = ocp.JsonCheckpointHandler(), self._folder / str(step)
        return dict(handler.restore(folder / "notes", args=ocp.args.JsonRestore()))

    def _is_sealed(self, step: int) -> bool:
        try:
            return manifest.is_sealed(self._folder / str(step))
        except FileNotFoundError:  # deleted by the process that writes
            return False

    def _seal(self, step: int) -> None:
        """Waits until a step is written, and hashes what this process wrote."""
        folder, process = self._folder / str(step), jax.process_index()
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
            if not folder.is_dir():
                raise FileNotFoundError(f"no folder {folder}")
            own = [p for p in manifest.files(folder) if _writer(p) == process]
            manifest.seal(folder, own, process, jax.process_count())
        except Exception as error:
            raise self._unwritten(step, error) from error

    def _unwritten(self, step: int, error: Exception) -> OSError:
        self._failed = True
        return OSError(
            f"Checkpoint {step} could not be written to {self._folder}: "
            f"{_first_line(error)}. What was saved before is as it was."
        )

    def _set_aside(self) -> None:
        """Gives another name to what is damaged, or was killed before it was sealed."""
        for step in _numbered(self._folder):
            folder = self._folder / str(step)
            if (wrong := manifest.damage(folder)) is None:
                continue
            kind = "damaged" if manifest.is_sealed(folder) else "unsealed"
            aside = self._folder / f"{kind}-{step}"
            while aside.exists():
                aside = aside.with_name(f"{aside.name}-again")
            folder.rename(aside)
            text = f"Checkpoint {step} in {self._folder}: {wrong}; now {aside.name}."
            warnings.warn(text, stacklevel=3)

    def _restore(
        self, state: TrainState, step: int
    ) -> tuple[TrainState, dict[str, Any]]:
        shapes_alone = isinstance(state.key, jax.ShapeDtypeStruct)
        if shapes_alone:
            state = _on_first_device(state)
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, _storable(state))
        into = ocp.checkpoint_utils.construct_restore_args(target)
        folder = self._folder / str(step)
        try:
            states = ocp.PyTreeCheckpointHandler()
            self._check(step, states.metadata(folder / "state").tree, target)
            if shapes_alone:
                self._check_size(step, target)
            stored = states.restore(
                folder / "state",
                args=ocp.args.PyTreeRestore(target, restore_args=into),
            )
            notes = self._notes(step)
        except _MismatchError:
            raise
        except Exception as error:  # orbax and tensorstore raise all kinds
            raise ValueError(
                f"Checkpoint {step} in {self._folder} cannot be read "
                f"({type(error).__name__}: {_first_line(error)}): build the state that "
                "was saved, or delete its folder to go on from an older one."
            ) from error
        key = jax.random.wrap_key_data(stored.key, impl=jax.random.key_impl(state.key))
        return stored._replace(key=key), notes

    def _check(self, step: int, saved: Any, target: Any) -> None:
        """Compares what was saved with what is wanted, leaf by leaf."""
        have = {_path(p): (m.shape, m.dtype) for p, m in _leaves(saved)}
        want = {_path(p): (t.shape, t.dtype) for p, t in _leaves(target)}
        for name in sorted(have.keys() | want.keys()):
            if have.get(name) != want.get(name):
                raise _MismatchError(
                    f"Checkpoint {step} in {self._folder} does not fit: "
                    f"{name} is {have.get(name, 'absent')} there and "
                    f"{want.get(name, 'absent')} here. Build the model, objective and "
                    "optimizer that were saved, or use a new folder."
                )

    def _check_size(self, step: int, target: Any) -> None:
        """Allocates nothing for files that can't hold what they promise."""
        files = manifest.files(self._folder / str(step))
        stored = sum(path.stat().st_size for path in files)
        promised = sum(
            leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(target)
        )
        if promised > MAX_RATIO * stored + MANY_BYTES:
            raise _MismatchError(
                f"Checkpoint {step} in {self._folder} does not fit: it promises "
                f"{promised:,} bytes, and its files have {stored:,}."
            )


class _MismatchError(ValueError):
    """A good checkpoint of something else."""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]


def _locked(folder: Path) -> Any:
    """An open file whose lock says that this process writes; a dead one's is free.

    Raises:
      ValueError: if another process holds it.
    """
    file = (folder / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read(200).strip() or "another process"
        file.close()
        raise ValueError(
            f"{folder} is being written by {holder}: wait for it, stop it, or use "
            "another folder."
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def _numbered(folder: Path) -> list[int]:
    """The steps that have a folder, in order."""
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(
        int(name)
        for name in names
        if name.isascii() and name.isdigit() and len(name) <= MAX_STEP_DIGITS
    )


def _writer(path: Path) -> int:
    """The index of the process that wrote a file: in orbax, 0 where no name tells."""
    named = re.search(r"/ocdbt\.process_(\d+)/", path.as_posix())
    return int(named[1]) if named else 0


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


def _on_first_device(state: TrainState) -> TrainState:
    """Shapes with a place, and a key of the same kind."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def placed(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here)

    key = jnp.zeros(state.key.shape, state.key.dtype)
    return jax.tree.map(placed, state)._replace(key=key)


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _path(path: Any) -> str:
    return "/".join(
        str(getattr(p, "name", getattr(p, "key", getattr(p, "idx", p)))) for p in path
    )
