"""What a run says of its health in words: the posterior has collapsed, or recovered."""

from typing import Any

from vaejax import tally
from vaejax.watched import SMALL_RATE

NUM_STEPS = 200  # in a row, after any warm-up, before anything is said
NEW: dict[str, Any] = {  # notes of a run that has taken no step
    "row": 0,  # collapsed steps up to here
    "well": 0,  # steps of whole segments up to here that had none
    "said": False,  # that it has collapsed, and not that it recovered
}
ADVICE = (
    "Try a lower --beta, a warm-up of it (--schedule linear --num-warmup-steps 2000), "
    "--objective free_bits, or a decoder that cannot do without the code: a smaller "
    "one, or one that does not see the image"
)


def after(
    told: dict[str, Any], notes: dict[str, Any], step: int
) -> tuple[dict[str, Any], str | None]:
    """The notes after a segment, and what to say if something has changed.

    Args:
      told: of the segment, as `train_epoch` returns it, of a `watched` objective.
      notes: after the segment before it; `NEW` at the end of any warm-up.
      step: the last of the segment.
    """
    if tally.LONGEST_ROW not in told:  # a code without a prior cannot collapse onto it
        return notes, None
    first, longest, last = (told[name] for name in tally.ROWS)
    num = told["taken"] + told["skipped"]
    row = last + (notes["row"] if last == num else 0)
    most = max(longest, notes["row"] + first)
    well = 0 if longest else notes["well"] + num
    said, text = notes["said"], None
    if not said and most >= NUM_STEPS:
        said, text = True, _collapsed(told, step, row, most)
    elif said and well >= NUM_STEPS:
        said, text = False, f"step {step}: the posterior is in use again{_now(told)}."
    return {"row": row, "well": well, "said": said}, text


def _collapsed(told: dict[str, Any], step: int, row: int, most: int) -> str:
    when = f"in each of {most} steps in a row"
    if row == most:  # the usual case: it goes on
        when = f"in every step since step {step - row + 1}"
    return (
        f"step {step}: the posterior has collapsed: {when} the KL was below "
        f"{SMALL_RATE} nats or no unit was active{_now(told)}. The code tells next to "
        f"nothing of the image. {ADVICE}."
    )


def _now(told: dict[str, Any]) -> str:
    """The numbers of a segment, in parentheses."""
    text = f"KL {told['rate']:.3g} nats"
    if "active_units" in told:
        text += f", {told['active_units']:.3g} active units"
    return f" (now {text})"
