"""The same act on several rows: each by id and in a transaction of its own, told and undone as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keydeck.engine.acting import Done, Undo
from keydeck.engine.acts import Operator
from keydeck.engine.errors import KeydeckError, StoreError

Act = Callable[[Operator], Done]


def each(operator: Operator, acts: Sequence[Act], what: str) -> Done:
    """Run the acts in turn; one that fails does not keep the others from being done, a busy or broken store does.

    Args:
        operator: who acts.
        acts: at least one.
        what: what was done, in the past: ``reset``, ``removed``.

    Raises:
        KeydeckError: the first failure, where not one of the acts succeeded.
    """
    done: list[Done] = []
    failed: list[KeydeckError] = []
    for act in acts:
        try:
            done.append(act(operator))
        except StoreError as error:
            failed.append(error)
            break  # the others would wait for the same lock, or fail at the same file
        except KeydeckError as error:
            failed.append(error)
    if not done:
        raise failed[0]
    idle = [one.text for one in done if one.credential_id is None]
    notes = tuple(dict.fromkeys((*map(str, failed), *idle, *(note for one in done for note in one.notes))))
    undos = [one.undo for one in done if one.undo is not None]
    return Done(_told(len(done) - len(idle), len(acts), what), notes, undo=_together(undos, what))


def _told(changed: int, total: int, what: str) -> str:
    if not changed:
        return f"{what} none of {total} keys"
    return f"{what} {total} keys" if changed == total else f"{what} {changed} of {total} keys"


def _together(undos: Sequence[Undo], what: str) -> Undo | None:
    """Return one inverse of several acts, the last first."""
    if not undos:
        return None
    backwards = [undo.run for undo in reversed(undos)]
    return Undo(
        f"what was {what}",
        lambda operator: each(operator, backwards, "put back"),
        holds_secret=any(undo.holds_secret for undo in undos),
    )
