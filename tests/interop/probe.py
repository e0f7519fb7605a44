"""Runs inside hermes' own interpreter: takes one JSON command a line on stdin, answers one JSON line a command.

Pool objects are kept by name, so that a test can hold one that was loaded before somebody else wrote.
Only the standard library and hermes are there; nothing of Keydeck is imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.metadata
import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

pools: dict[str, Any] = {}
held = contextlib.ExitStack()


def hermes(module: str) -> Any:
    """Return one of hermes' modules; each is imported when a command first needs it."""
    return importlib.import_module(module)


def engine() -> Any:
    return hermes("agent.credential_pool")


def view(pool: Any) -> dict[str, Any]:
    """Return everything a pool object says of itself, by the calls that `hermes auth list` makes."""
    following = pool.peek()
    return {
        "strategy": pool._strategy,
        "entries": [entry(row) for row in pool.entries()],
        "available": [row.id for row in pool._available_entries()],
        "following": following.id if following else None,
    }


def entry(row: Any) -> dict[str, Any]:
    return {
        **dataclasses.asdict(row),
        "runtime_api_key": row.runtime_api_key,
        "runtime_base_url": row.runtime_base_url,
    }


def name_of(row: Any) -> str | None:
    return row.id if row else None


# --- commands ----------------------------------------------------------------------------------------------


def version() -> str:
    return importlib.metadata.version("hermes-agent")


def clock(now: float) -> None:
    """Stop hermes' clock at a moment, so that both programs judge the same one."""
    time.time = lambda: now


def load(provider: str, name: str | None = None) -> dict[str, Any]:
    """Load a pool afresh and keep the object."""
    pools[name or provider] = engine().load_pool(provider)
    return view(pools[name or provider])


def look(name: str) -> dict[str, Any]:
    return view(pools[name])


def select(name: str, times: int = 1) -> list[str | None]:
    return [name_of(pools[name].select()) for _ in range(times)]


def mark(name: str, code: int | None, key: str | None = None, context: Any = None) -> str | None:
    following = pools[name].mark_exhausted_and_rotate(
        status_code=code, api_key_hint=key, error_context=context
    )
    return name_of(following)


def reset(name: str) -> int:
    return int(pools[name].reset_statuses())


def auth(verb: str, **arguments: Any) -> None:
    """Run what the `hermes auth` command of that name runs, in this process."""
    getattr(hermes("hermes_cli.auth_commands"), f"auth_{verb}_command")(Namespace(**arguments))


def config(key: str, value: str) -> None:
    """Run what `hermes config set` runs, in this process."""
    hermes("hermes_cli.config").set_config_value(key, value)


def settings() -> dict[str, Any]:
    """Return the configuration in effect, defaults and all."""
    return dict(hermes("hermes_cli.config").load_config())


def resolve(name: str, targets: list[str]) -> list[str | None]:
    return [name_of(pools[name].resolve_target(target)[1]) for target in targets]


def times(values: list[Any]) -> list[float | None]:
    return [engine()._parse_absolute_timestamp(value) for value in values]


def waits(messages: list[str]) -> list[float | None]:
    return [engine()._extract_retry_delay_seconds(message) for message in messages]


def stored_forms(provider: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    clean = hermes("agent.credential_persistence").sanitize_borrowed_credential_payload
    return [clean(row, provider) for row in rows]


def roots(homes: list[str]) -> list[list[str]]:
    """Return the home and the root that each value of HERMES_HOME means."""
    here, found = os.environ["HERMES_HOME"], []
    constants = hermes("hermes_constants")
    for home in homes:
        os.environ["HERMES_HOME"] = home
        found.append([str(constants.get_hermes_home()), str(constants.get_default_hermes_root())])
    os.environ["HERMES_HOME"] = here
    return found


def registry() -> dict[str, dict[str, Any]]:
    known = hermes("hermes_cli.auth").PROVIDER_REGISTRY
    return {name: dataclasses.asdict(provider) for name, provider in known.items()}


def logins() -> list[str]:
    """Return the providers to which `hermes auth add` logs in unless told otherwise."""
    return sorted(hermes("hermes_cli.auth_commands")._OAUTH_CAPABLE_PROVIDERS)


def meant(names: list[str]) -> list[str | None]:
    """Return the provider that each name stands for, in `hermes auth` or else at run time."""
    return [_meant(name) for name in names]


def _meant(name: str) -> str | None:
    spoken = hermes("hermes_cli.auth_commands")._normalize_provider(name)
    if spoken in hermes("hermes_cli.auth").PROVIDER_REGISTRY or spoken == "openrouter":
        return str(spoken)
    try:
        return str(hermes("hermes_cli.auth").resolve_provider(name))
    except hermes("hermes_cli.auth").AuthError:
        return None


def dotenv() -> dict[str, str]:
    return dict(hermes("hermes_cli.config").load_env())


def pool_keys(questions: list[list[str | None]]) -> list[str | None]:
    return [engine().get_custom_provider_pool_key(url, name) for url, name in questions]


def custom_pools() -> list[str]:
    return list(engine().list_custom_pool_providers())


def strategies(providers: list[str]) -> list[str]:
    return [engine().get_pool_strategy(provider) for provider in providers]


def reject_refresh(code: str) -> None:
    """Let the provider of Codex logins answer every renewal with this error; nothing is sent."""
    auth = hermes("hermes_cli.auth")

    def refuse(*_: Any, **__: Any) -> None:
        raise auth.AuthError("rejected", provider="openai-codex", code=code, relogin_required=True)

    auth.refresh_codex_oauth_pure = refuse


def codex_token() -> str:
    """Return the key that a run with Codex is given."""
    return str(hermes("hermes_cli.auth").resolve_codex_runtime_credentials()["api_key"])


def hold() -> None:
    """Take the store's lock as hermes takes it, and keep it."""
    held.enter_context(hermes("hermes_cli.auth")._auth_store_lock())


def release() -> None:
    held.close()


COMMANDS: dict[str, Callable[..., Any]] = {
    command.__name__: command
    for command in (
        *(version, clock, load, look, select, mark, reset, auth, config, settings, resolve, times, waits),
        *(
            stored_forms,
            roots,
            registry,
            logins,
            meant,
            dotenv,
            pool_keys,
            custom_pools,
            strategies,
            reject_refresh,
            codex_token,
            hold,
            release,
        ),
    )
}


def main() -> None:
    """Answer until stdin ends. What hermes prints goes to stderr; the answers have stdout for themselves."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"done": COMMANDS[command.pop("do")](**command)}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the test is told, whatever it was
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
