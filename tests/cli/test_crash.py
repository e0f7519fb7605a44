from __future__ import annotations

from pathlib import Path

import pytest

import keydeck.cli
from keydeck.cli import main

PLANTED = "sk-proj-Zx81kQ0v7Tb2Lm93RfYw64Nc"


def test_a_fault_outside_the_screen_is_reported_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code is 1; the report is scrubbed, on standard error in short and in a file for the user only."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def fail(**_: object) -> None:
        held = f"a local {PLANTED}"
        raise RuntimeError(f"cannot go on with {PLANTED}" if held else "")

    monkeypatch.setattr(keydeck.cli, "keydeck", fail)
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    (kept,) = (tmp_path / "keydeck" / "crashes").iterdir()
    assert left.value.code == 1
    assert "RuntimeError: cannot go on with ***" in said and str(kept) in said.replace("\n", "")
    assert PLANTED[8:] not in said + kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
