"""The list of what needs attention, worst first, one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keydeck.engine.credential import Row, VanishedRow
from keydeck.engine.snapshot import HomeSnapshot
from keydeck.engine.state import row_state
from keydeck.live.problems import Problem, ProblemKind
from keydeck.present.activity import key_name
from keydeck.present.rows import Context, label_text, said_text, shown_name, why_text
from keydeck.present.spans import Line, Role, Span, fit_line
from keydeck.present.text import clock_time, duration, width

_WORDS_LEAST: Final = 16
# Beyond this nobody waits: a file that says so is wrong.
_LONGEST_WAIT_S: Final = 1e9

_Key = tuple[str, str]


def attention_lines(
    found: Sequence[Problem], snapshot: HomeSnapshot, now: float, cells: int, context: Context
) -> tuple[Line, ...]:
    """Return a line for each problem, exactly `cells` wide; one that says so where there is none."""
    if not found:
        said = "every pool can serve" if snapshot.pools else "there is no pool yet"
        return (fit_line((Span(f"nothing: {said}", Role.MUTED),), cells, context.glyphs.ellipsis),)
    view = _View(snapshot, now, context, _places(found, snapshot))
    return tuple(_line(problem, view, cells) for problem in found)


@dataclass(frozen=True, slots=True)
class _View:
    """What the lines of one list share."""

    snapshot: HomeSnapshot
    now: float
    context: Context
    places: Mapping[_Key, tuple[int, Row]]
    """(provider, id) → 1-based place and row, for the pools in which a key is named."""

    def text(self, stored: str) -> str:
        """Return text of the store as it may be shown."""
        return label_text(stored, self.context.scrubber)

    def key(self, provider: str, row_id: str) -> str:
        """Return what a key is called."""
        if (provider, row_id) not in self.places:
            return "key" if self.context.masked else self.text(row_id)
        place, row = self.places[provider, row_id]
        return shown_name(row_state(row, self.now), place, self.context)

    def why(self, provider: str | None, row_id: str | None) -> str:
        """Return why a key is out."""
        found = self.places.get((provider or "", row_id or ""))
        return why_text(row_state(found[1], self.now), self.context) if found else ""

    def wait(self, until: float | None) -> str:
        """Return the time left; nothing where none is known."""
        if until is None or not 0 <= until - self.now < _LONGEST_WAIT_S:
            return ""
        return duration(until - self.now)


def _places(found: Sequence[Problem], snapshot: HomeSnapshot) -> dict[_Key, tuple[int, Row]]:
    named = [(problem.provider, problem.row_id) for problem in found]
    named += [(problem.other or "", problem.other_row) for problem in found]
    wanted = {provider for provider, row_id in named if row_id is not None}
    return {
        (pool.provider, row.id): (place, row)
        for pool in snapshot.pools
        if pool.provider in wanted
        for place, row in enumerate(pool.rows, 1)
    }


def _line(problem: Problem, view: _View, cells: int) -> Line:
    mark = view.context.glyphs.ellipsis
    sign = Span("! ", _sign_role(problem)) if problem.rank < 3 else Span("  ")
    forms = _SAYS[problem.kind](problem, view)
    room = cells - 4
    name = _name(problem, view, max(room - min(width(forms[-1]), _WORDS_LEAST), 0))
    words = next((form for form in forms if width(form) <= room - width(name)), forms[-1])
    return fit_line((sign, Span(name), Span("  "), Span(words, Role.MUTED)), cells, mark)


def _sign_role(problem: Problem) -> Role:
    """Return how alarming it is: what time heals is less so than what waits for somebody."""
    heals = problem.kind in (ProblemKind.POOL_OUT, ProblemKind.TOGETHER) and problem.until is not None
    return Role.COOLING if heals else Role.DEAD


_TITLES: Final = {
    ProblemKind.NOTHING_SERVES: "nothing can serve",
    ProblemKind.STORE: "auth.json",
    ProblemKind.CONFIG: "config.yaml",
}


def _name(problem: Problem, view: _View, cells: int) -> str:
    title = _TITLES.get(problem.kind)
    label = "" if problem.row_id is None else view.key(problem.provider, problem.row_id)
    return key_name(title or view.text(problem.provider), label, cells, view.context.glyphs.ellipsis)


# --- words, the longest form first --------------------------------------------------------------------------


def _nothing_serves(problem: Problem, view: _View) -> tuple[str, ...]:
    if problem.is_tried:
        return (f"{view.text(problem.provider)} is being tried", "being tried")
    if wait := view.wait(problem.until):
        return (f"next {view.text(problem.provider)} in {wait}", f"back in {wait}")
    return ("log in again or press a to add a key", "press a to add a key")


def _store(problem: Problem, view: _View) -> tuple[str, ...]:
    trouble = view.snapshot.trouble
    reason = _reason(str(getattr(trouble, "reason", trouble)), view)
    if problem.since is None:
        return (reason,)
    return (f"{reason}, shown as of {clock_time(problem.since, view.now)}", reason)


def _config(_problem: Problem, view: _View) -> tuple[str, ...]:
    trouble = view.snapshot.config_trouble
    return (_reason(trouble.reason if trouble else "", view),)


def _bad_pool(problem: Problem, view: _View) -> tuple[str, ...]:
    reason = _reason(view.snapshot.bad_pools.get(problem.provider, ""), view)
    return (f"cannot be shown: {reason}", "cannot be shown")


def _reason(text: str, view: _View) -> str:
    return said_text(text, view.context.scrubber)


def _pool_out(problem: Problem, view: _View) -> tuple[str, ...]:
    wait = view.wait(problem.until)
    back = [f"back in {wait}"] if wait else []
    code = [] if problem.code is None else [str(problem.code)]
    serves, steps_in = _serves(problem, view)
    if problem.is_tried:
        tried = "being tried"
        full = ", ".join(["no key ready", *code, tried, *(f"{each} at most" for each in back)])
        return (full + serves, full + steps_in, tried + steps_in, tried)
    full, short = ", ".join(["no key ready", *code, *back]), ", ".join([*code, *back]) or "no key ready"
    return (full + serves, full + steps_in, short + steps_in, back[0] if back else "no key ready")


def _all_paused(problem: Problem, view: _View) -> tuple[str, ...]:
    wait = view.wait(problem.until)
    serves, steps_in = _serves(problem, view)
    said = f"paused, back in {wait}" if wait else "every key is paused: space resumes"
    return (said + serves, said + steps_in, said, "paused")


def _renewing(problem: Problem, view: _View) -> tuple[str, ...]:
    serves, steps_in = _serves(problem, view)
    said = "token ended, hermes renews it"
    return (said + serves, said + steps_in, said)


def _serves(problem: Problem, view: _View) -> tuple[str, str]:
    """Return who serves meanwhile, in two lengths."""
    if problem.other is None:
        return "", ""
    arrow = f" {view.context.glyphs.arrow} {view.text(problem.other)}"
    return f"{arrow} serves", arrow


def _together(_problem: Problem, _view: _View) -> tuple[str, ...]:
    return ("together: look at the provider, not the keys", "together: look at the provider")


def _needs_login(problem: Problem, view: _View) -> tuple[str, ...]:
    found = view.places.get((problem.provider, problem.row_id or ""))
    if found and isinstance(found[1], VanishedRow):
        return (view.why(problem.provider, problem.row_id), "removed, log in again", "log in again")
    return ("log in again",)


def _token_ends(problem: Problem, view: _View) -> tuple[str, ...]:
    wait = view.wait(problem.until)
    return (f"token ends in {wait}",) if wait else ("token ends",)


def _duplicate(problem: Problem, view: _View) -> tuple[str, ...]:
    if problem.other is None or problem.other_row is None:
        return ("same key twice",)
    name = view.key(problem.other, problem.other_row)
    if problem.other == problem.provider:
        return (f"same key as {name}",)
    return (f"same key as {view.text(problem.other)} / {name}", f"same key as in {view.text(problem.other)}")


def _no_secret(problem: Problem, view: _View) -> tuple[str, ...]:
    why = "" if view.context.masked else view.why(problem.provider, problem.row_id)
    return (f"no secret: {why}", "no secret") if why else ("no secret",)


def _bad_row(problem: Problem, view: _View) -> tuple[str, ...]:
    why = view.why(problem.provider, problem.row_id)
    return (f"bad row: {why}", "bad row") if why else ("bad row",)


_SAYS: Final[Mapping[ProblemKind, Callable[[Problem, _View], tuple[str, ...]]]] = {
    ProblemKind.NOTHING_SERVES: _nothing_serves,
    ProblemKind.STORE: _store,
    ProblemKind.CONFIG: _config,
    ProblemKind.BAD_POOL: _bad_pool,
    ProblemKind.POOL_OUT: _pool_out,
    ProblemKind.ALL_PAUSED: _all_paused,
    ProblemKind.TOGETHER: _together,
    ProblemKind.NEEDS_LOGIN: _needs_login,
    ProblemKind.RENEWING: _renewing,
    ProblemKind.TOKEN_ENDS: _token_ends,
    ProblemKind.DUPLICATE: _duplicate,
    ProblemKind.NO_SECRET: _no_secret,
    ProblemKind.BAD_ROW: _bad_row,
}
