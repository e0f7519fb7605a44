"""Why a key is taken or not, in words: one sentence a key, and what would change it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from keydeck.engine.explanation import Act, Explanation, Outcome, Reason, Remedy, RowReason
from keydeck.engine.snapshot import PoolSnapshot
from keydeck.engine.state import Health, HealthKind, PoolState, RowState
from keydeck.present.detail import Fact
from keydeck.present.evidence import evidence_text, flight_text, scope_text, streak_text
from keydeck.present.rows import Context, label_text, said_text, shown_name, why_text
from keydeck.present.spans import Role, Span
from keydeck.present.text import clock_time, duration, fit, grouped, width

_NAME_MOST: Final = 36
_ID_CELLS: Final = 8


@dataclass(frozen=True, slots=True)
class Told:
    """An explanation, with what is needed to write it out."""

    answer: Explanation
    states: Mapping[str, RowState]
    context: Context

    @property
    def now(self) -> float:
        """The moment it was asked for, in epoch seconds."""
        return self.answer.at

    def name(self, row_id: str | None) -> str:
        """Return what a key is called."""
        why = self.answer.row(row_id)
        return shown_name(self.states[why.id], why.place, self.context) if why else "another key"

    def text(self, stored: str) -> str:
        """Return a name of the store as it may be shown."""
        return label_text(stored, self.context.scrubber)

    def wait(self, until: float) -> str:
        """Return a moment to come, and how long that is."""
        return f"{clock_time(until, self.now)} ({duration(until - self.now)} left)"


def told(
    pool: PoolSnapshot,
    state: PoolState,
    now: float,
    context: Context,
    *,
    session: str | None = None,
    model: str | None = None,
    lease: bool = False,
    at_most: int | None = None,
) -> Told:
    """Return what the next request of whoever starts now would get, ready to be written out.

    Args:
        pool: whose rows.
        state: the rows at that moment.
        now: the moment, in epoch seconds.
        context: how they are written out.
        session: as in `PoolSnapshot.explain`, like the others.
        model: the model that is asked for.
        lease: whether it takes the row for work in flight.
        at_most: how many leases a row may have.
    """
    answer = pool.explain(state, now, session=session, model=model, lease=lease, at_most=at_most)
    return Told(answer, {found.id: found for found in state.rows}, context)


# --- the pool ----------------------------------------------------------------------------------------------


def outcome_text(said: Told) -> str:
    """Return what the next request gets."""
    answer = said.answer
    if answer.outcome is Outcome.PICK:
        return f"the next request goes to {said.name(answer.pick)}"
    if answer.outcome is Outcome.CHANCE:
        return f"the next request goes to any of {len(answer.among)}"
    if answer.outcome is Outcome.NOT_CONFIGURED:
        return "no credential that can be read"
    back = answer.soonest
    if back is None or back.ready_at is None:
        return "every key is out, and waiting brings none back"
    return f"every key is out; {said.name(back.id)} is back first, {said.wait(back.ready_at)}"


def explain_lines(said: Told) -> list[str]:
    """Return what ``keydeck auth explain`` prints: a line for the pool, and one for each key."""
    answer = said.answer
    names = {why.id: said.name(why.id) for why in answer.rows}
    widest = min(max(map(width, names.values()), default=0), _NAME_MOST)
    mark = said.context.glyphs.ellipsis
    lines = [_headline(said)]
    for why in answer.rows:
        sign = "->" if why.is_pick else " ~" if why.reason is Reason.CHANCE else "  "
        shown_id = fit(said.text(why.id), _ID_CELLS, mark=mark)
        name = fit(names[why.id], widest, mark=mark)
        helps = remedies_text(why, said, COMMANDS)
        line = f"  {sign} {why.place:>2}  {shown_id}  {name}  {reason_text(why, said)}"
        lines.append(f"{line}; {helps}" if helps else line)
    return lines


def _headline(said: Told) -> str:
    answer = said.answer
    scrubber = said.context.scrubber
    asked = [f"session {said_text(answer.session, scrubber)}"] if answer.session is not None else []
    asked += [f"model {said_text(answer.model, scrubber)}"] if answer.model is not None else []
    parts = (said.text(answer.provider), answer.strategy, *asked, outcome_text(said))
    return "  ".join(parts)


# --- a key -------------------------------------------------------------------------------------------------


def reason_text(why: RowReason, said: Told) -> str:
    """Return why a key is taken or not, and what else is known that bears on it."""
    parts = [_SAYS[why.reason](why, said)]
    if why.is_probe and why.reason not in (Reason.PROBING, Reason.OWN_PROBE, Reason.MODEL_LIMIT):
        parts.append("tried by one request at a time")
    if why.in_flight and why.reason not in _OF_LEASES:
        parts.append(flight_text(why.in_flight) + _cap(said))
    asked = said.answer.model
    for model, bench in why.limits if why.reason is not Reason.MODEL_LIMIT else ():
        if model != asked:
            until = "" if bench.until is None else f" until {clock_time(bench.until, said.now)}"
            parts.append(f"not for {said.text(model)}{until}")
    return ", ".join(parts)


_OF_LEASES: Final = (Reason.AT_CAP, Reason.BUSIER)


def _cap(said: Told) -> str:
    return "" if said.answer.at_most is None else f" of {said.answer.at_most}"


def _strategy(text: str) -> Callable[[RowReason, Told], str]:
    """Return what says this, and by which strategy."""
    return lambda _why, said: f"{text} ({said.answer.strategy})"


def _turn(why: RowReason, said: Told) -> str:
    after = f"after {said.name(why.rival)}" if why.rival else "first"
    return f"its turn is {after} ({said.answer.strategy})"


def _fewest(why: RowReason, said: Told) -> str:
    return f"used least, {_against(why, said)} of {said.name(why.rival)} ({said.answer.strategy})"


def _against(why: RowReason, said: Told) -> str:
    rival = said.answer.row(why.rival)
    return f"{grouped(why.uses)} against {grouped(rival.uses if rival else 0)}"


def _chance(_why: RowReason, said: Told) -> str:
    return f"ready, one of {len(said.answer.among)} by chance ({said.answer.strategy})"


def _behind(why: RowReason, said: Told) -> str:
    return f"ready, but {said.name(why.rival)} comes first ({said.answer.strategy})"


def _same(why: RowReason, said: Told) -> str:
    rival = f"{said.name(why.rival)}, which comes first"
    return f"ready, used {grouped(why.uses)} like {rival} ({said.answer.strategy})"


def _busier(why: RowReason, said: Told) -> str:
    rival = said.answer.row(why.rival)
    return f"ready, {why.in_flight} in flight against {rival.in_flight if rival else 0}"


def _at_cap(why: RowReason, said: Told) -> str:
    return f"{why.in_flight} in flight{_cap(said)}, no more at once"


def _cooling(why: RowReason, said: Told) -> str:
    until = f" until {said.wait(why.until)}" if why.until is not None else ""
    state = said.states[why.id]
    return f"cooling{until}: {_failure(why_text(state, said.context), state.health, said)}"


def _probing(why: RowReason, said: Told) -> str:
    until = f" until {said.wait(why.until)} at most" if why.until is not None else ""
    return f"probing: another request tries it{until}"


def _model_limit(why: RowReason, said: Told) -> str:
    state = said.states[why.id]
    held = state.limits(said.now)[said.answer.model or ""]
    health = Health(HealthKind.COOLING, since=why.since, until=held.until, standing=held)
    until = f" until {said.wait(held.until)}" if held.until is not None else ""
    words = str(health.code) if health.code else ""
    return f"not for {said.text(said.answer.model or '')}{until}: {_failure(words, health, said)}"


def _failure(words: str, health: Health, said: Told) -> str:
    """Return the provider's words for a failure, how manieth it was, what it concerns, whose word its end is."""
    parts = (words, streak_text(health.streak), scope_text(health.scope), evidence_text(health, said.now))
    return ", ".join(part for part in parts if part)


def _paused(why: RowReason, said: Told) -> str:
    if why.until is None:
        return "paused until it is resumed"
    text = f"paused until {said.wait(why.until)}"
    if why.ready_at is None:
        return f"{text}, and out behind that"
    return text if why.ready_at == why.until else f"{text}, and out until {said.wait(why.ready_at)}"


def _login(why: RowReason, said: Told) -> str:
    return f"log in again: {why_text(said.states[why.id], said.context)}"


def _state(why: RowReason, said: Told) -> str:
    return why_text(said.states[why.id], said.context)


def _no_secret(why: RowReason, said: Told) -> str:
    return f"no secret: {_state(why, said)}"


_SAYS: Final[Mapping[Reason, Callable[[RowReason, Told], str]]] = {
    Reason.ONLY_READY: lambda _why, _said: "the only ready key",
    Reason.FIRST: _strategy("the first ready key"),
    Reason.ITS_TURN: _turn,
    Reason.FEWEST_USES: _fewest,
    Reason.ITS_SESSION: _strategy("this session's key"),
    Reason.USED_LAST: _strategy("used last, requests without a session stay with it"),
    Reason.CHANCE: _chance,
    Reason.OWN_PROBE: lambda _why, _said: "tried by this agent, which goes on with it",
    Reason.BEHIND: _behind,
    Reason.LATER_TURN: lambda why, said: f"ready, {_turn(why, said)}",
    Reason.MORE_USES: lambda why, said: f"ready, used {_against(why, said)} ({said.answer.strategy})",
    Reason.SAME_USES: _same,
    Reason.OTHER_SESSIONS: _strategy("ready, for other sessions"),
    Reason.BUSIER: _busier,
    Reason.AT_CAP: _at_cap,
    Reason.PROBING: _probing,
    Reason.MODEL_LIMIT: _model_limit,
    Reason.COOLING: _cooling,
    Reason.PAUSED: _paused,
    Reason.NEEDS_LOGIN: _login,
    Reason.TOKEN_ENDED: _state,
    Reason.NO_SECRET: _no_secret,
    Reason.BAD_ROW: _state,
    Reason.VANISHED: _state,
}


def turn_facts(why: RowReason, said: Told) -> list[Fact]:
    """Return who is taken next, and of a key that could be why it is or is not."""
    following = "the next request goes here" if why.is_pick else outcome_text(said)
    facts: list[Fact] = [("next", (Span(following, Role.READY if why.is_pick else Role.PLAIN),))]
    return facts if why.reason.is_out else [*facts, _this_key(why, said)]


def why_facts(why: RowReason, said: Told) -> list[Fact]:
    """Return who is taken next, why this key is or is not, and what changes that, as the dashboard does it."""
    facts = turn_facts(why, said)
    if why.reason.is_out:
        facts.append(_this_key(why, said))
    if helps := remedies_text(why, said, KEYS):
        facts.append(("changes it", (Span(helps, Role.MUTED),)))
    return facts


def _this_key(why: RowReason, said: Told) -> Fact:
    return "this key", (Span(reason_text(why, said)),)


# --- what would change it ----------------------------------------------------------------------------------

_Says = Callable[[Remedy, RowReason, Told], str]


def _wait(remedy: Remedy, _why: RowReason, said: Told) -> str:
    return f"wait {duration((remedy.at or said.now) - said.now)}"


def _variable(remedy: Remedy, _why: RowReason, said: Told) -> str:
    name = "its variable" if said.context.masked else said.text(remedy.name or "")
    return f"set {name} where the agent runs"


def _command(words: str, more: str = "") -> _Says:
    """Return what names a command for a key."""

    def says(_remedy: Remedy, why: RowReason, said: Told) -> str:
        where = f"{shlex.quote(said.text(said.answer.provider))} {shlex.quote(said.text(why.id))}"
        return f"keydeck auth {words} {where}{more}"

    return says


def _pool_command(words: str, more: str = "") -> _Says:
    return lambda _remedy, _why, said: f"{words} {shlex.quote(said.text(said.answer.provider))}{more}"


def _words(text: str) -> _Says:
    return lambda _remedy, _why, _said: text


Dialect = Mapping[Act, _Says]
"""How an act is told."""

_EVERYWHERE: Final[Dialect] = {
    Act.WAIT: _wait,
    Act.TOP_UP: _words("top up, then"),
    Act.LOG_IN: _pool_command("hermes auth add"),
    Act.RENEWAL: _words("hermes renews it"),
    Act.SET_VARIABLE: _variable,
    Act.MEND_ROW: _words("mend this row in auth.json by hand"),
    Act.OTHER_MODEL: _words("ask for another model"),
    Act.GIVE_BACK: _words("end what is in flight"),
    Act.RAISE_CAP: _words("raise credential_pool.leases.at_most in config.yaml"),
}
COMMANDS: Final[Dialect] = {
    **_EVERYWHERE,
    Act.RESET: _command("reset"),
    Act.RESUME: _command("resume"),
    Act.NEW_KEY: _pool_command("keydeck auth add"),
    Act.DISMISS: _command("remove"),
    Act.MAKE_FIRST: _command("move", " first"),
    Act.SET_STRATEGY: _pool_command("keydeck auth strategy", " NAME"),
}
KEYS: Final[Dialect] = {
    **_EVERYWHERE,
    Act.RESET: _words("press r"),
    Act.RESUME: _words("press space"),
    Act.NEW_KEY: _words("press a for a new key"),
    Act.DISMISS: _words("press d to take this line away"),
    Act.MAKE_FIRST: _words("press n"),
    Act.SET_STRATEGY: _words("press s"),
}


def remedies_text(why: RowReason, said: Told, dialect: Dialect) -> str:
    """Return what would change it, the least drastic first; empty where nothing has to."""
    text = ""
    for remedy in why.remedies:
        one = dialect[remedy.act](remedy, why, said)
        glue = "" if not text else " " if text.endswith("then") else ", or "
        text += f"{glue}{one}"
    is_act = any(remedy.act is not Act.WAIT for remedy in why.remedies)
    return f"{text}, with --profile default" if why.inherited and is_act else text
