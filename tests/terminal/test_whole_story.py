from __future__ import annotations

import html
import json
import re
import stat
from pathlib import Path

import pytest

import story
from fakes import a_key, a_login, benched, in_another_process, load
from keydeck.engine.clock import wall_clock
from story import Story
from tmux import Terminal

pytestmark = pytest.mark.terminal

SIZES = [(80, 24), (120, 40)]
OTHER_SECRETS = ("oauth-access-log001", "oauth-refresh-log001", "sk-test-o0o001-secret", "nous-planted-token")

READ = """
import json, sys
from pathlib import Path
import yaml
home = Path(sys.argv[1])
print(json.dumps([json.loads((home / "auth.json").read_text()), yaml.safe_load((home / "config.yaml").read_text())]))
"""


def write_the_home(home: Path) -> None:
    """Write the home of the story with much in it that is none of the story's business."""
    now = wall_clock()
    out = benched(402, last_status_at=now - 60, until=now + story.HOUR)
    others = {
        "anthropic": [
            a_login("log001", "team", expires_at_ms=int((now + story.HOUR) * 1000), x_note={"deep": [1]}),
            a_key("o0o001", "spare", priority=1, x_number=1.0, **out),
        ],
        "of-another-tool": [a_key("o0o002", "foreign")],
    }
    login = {"access_token": "nous-planted-token", "x": None}
    story.write_home(home, now, others, x_tool={"of": "somebody"}, providers={"nous": login})
    document = load(home)
    document["credential_pool"][story.TURNING][1]["x_owner"] = "billing"
    document["credential_pool"][story.TURNING][5]["x_owner"] = ["ops"]
    (home / "auth.json").write_text(json.dumps(document, indent=2))


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_a_day_of_acts_from_start_to_end(
    terminal: Terminal, home: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    """After add, rename, first, strategy, resets, removal, undo, filter and picture the files say just that."""
    write_the_home(home)
    before, state = load(home), tmp_path / "state"
    told = Story(terminal, home)
    terminal.start(
        story.command(home), size, XDG_STATE_HOME=str(state), XDG_CONFIG_HOME=str(tmp_path / "conf")
    )
    terminal.sees(story.STEADY, "● live")
    told.tell()
    assert told.quit() == 0
    store, config = json.loads(in_another_process(READ, home))
    assert story.by_id(store) == story.after_the_story(before, told.new_id)
    assert list(store["credential_pool"]) == list(before["credential_pool"])
    assert config["credential_pool_strategies"] == {story.STEADY: "fill_first", story.TURNING: story.STRATEGY}
    assert (home / "config.yaml").read_text() == story.CONFIG_AFTER
    assert {path.name for path in home.iterdir()} == {"auth.json", "auth.lock", "config.yaml", "keydeck"}
    assert not list((tmp_path / "conf").rglob("*"))
    the_picture_is_private_and_masked(state)
    no_secret_is_in(terminal.stream, *(path.read_bytes() for path in state.rglob("*") if path.is_file()))


def the_picture_is_private_and_masked(state: Path) -> None:
    """Check the only file that the story leaves in the state folder."""
    files = [path for path in state.rglob("*") if path.is_file()]
    assert [path.parent.relative_to(state).as_posix() for path in files] == ["keydeck/screenshots"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    drawn = html.unescape(files[0].read_text().partition("</style>")[2])
    text = "".join(re.findall(r">([^<>]+)<", drawn))
    assert files[0].suffix == ".svg" and "masked" in text and "openrouter" in text
    shown = [label for label in (*story.LABELS, "team", "spare", "foreign") if label in drawn]
    assert not shown


def no_secret_is_in(*written: bytes) -> None:
    """Check that nothing planted is in any of these."""
    assert len(written) > 1 and all(written)
    secrets = (*story.SECRETS, *OTHER_SECRETS)
    assert not [secret for secret in secrets for one in written if secret[3:].encode() in one]
