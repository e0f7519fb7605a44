"""``keydeck doctor``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from keydeck.cli.common import Place, print_json, store_options, waiting_notice
from keydeck.engine.errors import Refused
from keydeck.present.text import legible

if TYPE_CHECKING:
    from keydeck.engine.doctor import Finding, Mended


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--fix", is_flag=True, help="Do what is safe: close files to others, remove leftovers.")
@store_options
def doctor(place: Place, *, as_json: bool, fix: bool) -> None:
    """Look for what is wrong with a home, and say what to do about it.

    Looking changes nothing, and --fix touches no key. Exit code 0: nothing is wrong (notes are no fault); 1:
    something is, or --fix was refused; 2: wrong usage.
    """
    from keydeck.engine.doctor import Severity, examine, mend

    if fix and place.read_only:
        raise Refused("--read-only: nothing is changed")
    reader = place.reader()
    findings = examine(reader, flags=place.flags)
    done: tuple[Mended, ...] = ()
    if fix:
        done = mend(reader, findings, on_wait=waiting_notice())
        findings = examine(reader, flags=place.flags)

    def shown(text: str) -> str:
        return legible(text, reader.scrubber.scrub_known)

    if as_json:
        fixed = {"fixed": [_mended(each, shown) for each in done]} if fix else {}
        where = {"home": str(reader.home.path), "profile": reader.home.profile}
        print_json({**where, **fixed, "findings": [_finding(each, shown) for each in findings]})
    else:
        lines = [
            *_done_lines(done, shown),
            *_lines(findings, shown),
            shown(_sentence(findings, place, fix=fix)),
        ]
        click.echo("\n".join(lines))
    if any(finding.severity is not Severity.NOTE for finding in findings):
        click.get_current_context().exit(1)


def _finding(finding: Finding, shown: Callable[[str], str]) -> dict[str, Any]:
    return {
        "severity": finding.severity.value,
        "kind": finding.kind.value,
        "subject": shown(finding.subject),
        "what": shown(finding.what),
        "do": shown(finding.todo),
        "safe_to_fix": finding.is_safe_to_fix,
    }


def _mended(mended: Mended, shown: Callable[[str], str]) -> dict[str, Any]:
    return {"path": shown(str(mended.path)), "what": mended.what, "refused": mended.refused}


def _done_lines(done: Sequence[Mended], shown: Callable[[str], str]) -> Iterator[str]:
    for each in done:
        path = shown(str(each.path))
        yield f"not {each.what}: {path}: {each.refused}" if each.refused else f"{each.what}: {path}"


def _lines(findings: Sequence[Finding], shown: Callable[[str], str]) -> Iterator[str]:
    """Yield two lines a finding: what, and what to do."""
    for finding in findings:
        yield f"{finding.severity:<7}  {shown(finding.what)}"
        yield f"{'':<7}  {shown(finding.todo)}"


def _sentence(findings: Sequence[Finding], place: Place, *, fix: bool) -> str:
    if not findings:
        return "nothing is wrong"
    severities = [finding.severity.value for finding in findings]
    counts = {name: severities.count(name) for name in dict.fromkeys(severities)}
    said = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items())
    safe = sum(finding.is_safe_to_fix for finding in findings)
    return f"{said}; keydeck doctor --fix{place.flags} does {safe} of them" if safe and not fix else said
