"""Runs inside hermes' own interpreter: the real `AIAgent` with a pool of Keydeck's; prints what came of it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import keydeck


def main(provider: str) -> dict[str, Any]:
    """Send one message, as a run of hermes does with its own pool."""
    from run_agent import AIAgent  # type: ignore[import-not-found]  # hermes'

    with keydeck.load_pool(provider) as pool:
        first = pool.select()
        assert first
        agent = AIAgent(
            provider=provider,
            model="a-model",
            api_key=first.runtime_api_key,
            base_url=first.runtime_base_url,
            credential_pool=pool,
            quiet_mode=True,
            enabled_toolsets=[],
            skip_context_files=True,
            skip_memory=True,
            max_iterations=3,
        )
        done = agent.run_conversation("hi")
        current = pool.current()
        return {
            "kept": agent._credential_pool is pool,
            "said": done["final_response"],
            "current": current.id if current else None,
        }


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what hermes prints
    answers.write(json.dumps(main(sys.argv[1])))
    answers.flush()
