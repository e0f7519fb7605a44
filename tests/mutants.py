"""Takes each numbered rule of the design's part 3 out, in a copy of the sources, and shows the test that fails then.

Run by hand from the repository's root: ``python tests/mutants.py [rule …]``. It takes a few minutes, and ends with 1
if a test passes without its rule, or a rule is no longer where it is looked for.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
ENGINE: Final = Path("tui/keydeck/engine")
SEALING: Final = "        self._append(Record(header.at, header.writer, 0, Sealed(next=following)))"
RETURNING: Final = "                return\n            # Behind a seal"
PROTOCOL: Final = "tests/engine/test_protocol.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule, how it is taken out, and the test that must fail then."""

    rule: str
    what: str
    test: str
    changes: tuple[tuple[str, str, str], ...]
    """Module, what stands there once, what stands there instead."""


def mutant(rule: str, what: str, test: str, *changes: tuple[str, str, str]) -> Mutant:
    """Return a mutant; a test without a file is one of the protocol's."""
    return Mutant(rule, what, test if "/" in test else f"{PROTOCOL}::{test}", changes)


MUTANTS: Final = (
    mutant(
        "1",
        "an append is not looked for in the journal",
        "test_rule_1_what_is_appended_behind_a_seal_is_told_again",
        ("books", "return record.seq <= last", "return True"),
    ),
    mutant(
        "1",
        "an append goes on behind what others told before it",
        "test_rule_1_what_others_told_before_the_own_record_is_folded_with_it",
        ("journal", "status.st_size != start + length or not status.st_nlink", "not status.st_nlink"),
    ),
    mutant(
        "2",
        "readers go to the highest number",
        "test_rule_2_a_reader_follows_seals_and_not_numbers",
        (
            "books",
            "next((number for number in self.journal.segments() if number >= segment), None)",
            "max(self.journal.segments(), default=None)",
        ),
    ),
    mutant(
        "2",
        "the seal comes before the next segment",
        "test_rule_2_the_next_segment_is_there_before_the_seal",
        (
            "journal",
            f"        self._make(following, header)\n{SEALING}",
            f"{SEALING}\n        self._make(following, header)",
        ),
    ),
    mutant(
        "3",
        "a line is read before it is whole",
        "test_rule_3_torn_lines_holes_and_unknown_ones_are_passed_over",
        ("journal", 'end = data.rfind(b"\\n") + 1', "end = len(data)"),
    ),
    mutant(
        "3",
        "a missing segment is passed over in silence",
        "test_rule_3_a_missing_segment_leaves_the_state_exact_and_the_history_with_a_gap",
        ("journal", "            self.gap = True\n", ""),
    ),
    mutant(
        "3",
        "the parsed file is not kept open",
        "test_rule_3_the_parsed_file_is_kept_open_so_that_no_other_gets_its_inode",
        ("file_store", "self._file.read(hold=True)", "self._file.read()"),
    ),
    mutant(
        "4",
        "a record that landed before counts again",
        "test_rule_4_uses_that_did_not_land_are_told_again_and_once",
        ("ledger", "if record.seq <= last:", "if False:"),
    ),
    mutant(
        "4",
        "what a new base proves lost is not given back",
        "test_rule_4_what_a_new_base_proves_lost_is_told_again",
        ("books", "self._queue.extendleft(reversed(lost))", "pass"),
    ),
    mutant(
        "5",
        "a failure is told with the next batch",
        "test_rule_5_a_kill_loses_no_acknowledged_failure_and_a_tenth_of_a_second_of_uses",
        (
            "file_store",
            "self._books.tell([event])\n            self._standing.absorb()\n        self._arrears.owe_health()",
            "self._books._enqueue(event)\n            self._standing.absorb()\n        self._arrears.owe_health()",
        ),
    ),
    mutant(
        "6",
        "a writer captures what it knew before it took the lock",
        "test_rule_6_a_checkpoint_never_forgets_what_a_later_one_knew",
        ("standing", "        elif self.books.has_news():\n            self.books.catch_up()\n", ""),
        ("writer", "            self._books.catch_up()\n", ""),
    ),
    mutant(
        "7",
        "a checkpoint is not announced",
        "test_rule_7_an_announced_file_is_not_parsed_again",
        ("writer", "says_nothing_new = not (is_act or work.renews)", "says_nothing_new = False"),
    ),
    mutant(
        "8",
        "every row counts as written by who had seen our last",
        "test_rule_8_a_stale_rewrite_is_healed_once_and_told_once",
        ("strangers", "return bool(present == self.stamped)", "return True"),
    ),
    mutant(
        "8",
        "no row does",
        "test_rule_8_who_had_seen_our_last_writing_is_obeyed",
        ("strangers", "return bool(present == self.stamped)", "return False"),
    ),
    mutant(
        "8",
        "a stale writer's newer facts are not taken",
        "test_rule_8_a_stale_writers_newer_facts_are_taken",
        ("strangers", "is_newer = (seen.status.at or 0.0) > before.told_at", "is_newer = False"),
    ),
    mutant(
        "8",
        "rows without a stamp are out of date",
        "test_rule_8_rows_that_cannot_carry_a_stamp_are_judged_by_their_counts",
        ("strangers", "return seen_of(row.raw).used >= before.used", "return True"),
    ),
    mutant(
        "8",
        "an older key is taken",
        "test_rule_8_an_old_key_that_comes_back_is_replaced_by_the_newer",
        ("strangers", "if keys is None or mark in (None, keys.present):", "if True:"),
    ),
    mutant(
        "8",
        "an older key is told again and again",
        "test_rule_8_an_old_key_that_nobody_can_replace_is_named_once",
        ("strangers", "elif mark != keys.lies:", "else:"),
    ),
    mutant(
        "8",
        "a key that came back on purpose is replaced",
        "test_rule_8_an_old_key_that_somebody_put_back_on_purpose_stays",
        ("strangers", "(is_login(row.raw) or not current)", "True"),
    ),
    mutant(
        "8",
        "a renewed login counts as an old one",
        "test_rule_8_a_login_that_hermes_renewed_is_never_renewed_backwards",
        ("strangers", "if mark == keys.lies or (mark in keys.past and", "if mark == keys.lies or (True and"),
    ),
    mutant(
        "9",
        "a removed row that comes back stays",
        "test_rule_9_a_removed_row_that_comes_back_is_removed_again",
        (
            "projection",
            "buried = [row for row in raw_rows(document) if row.id in ledger.tombs]",
            "buried = []",
        ),
    ),
    mutant(
        "9",
        "a removed row is shown until it is summed up",
        "test_rule_9_a_removed_row_that_comes_back_is_removed_again",
        ("auth_document", "if row.id not in hidden) if hidden", "if True) if hidden"),
    ),
    mutant(
        "9",
        "a tombstone holds whatever the secret is",
        "test_rule_9_another_secret_under_a_removed_id_is_another_key",
        ("strangers", "if put_back or (key and tomb.key and key != tomb.key):", "if put_back:"),
    ),
    mutant(
        "9",
        "a restored copy is a stale writer's",
        "test_rule_9_a_restored_copy_of_the_file_lifts_the_tombstones_made_since",
        ("strangers", "is_old_copy=filed.gen < proj", "is_old_copy=False"),
    ),
    mutant(
        "9",
        "A is not read where C stands as far",
        "test_rule_9_a_removal_whose_writer_was_killed_before_it_told_holds",
        ("checkpoint", "if filed and filed.store == told", "if filed is told and filed.store == told"),
    ),
    mutant(
        "9",
        "new ids may be those of removed rows",
        "test_rule_9_a_new_row_never_takes_the_id_of_a_removed_one",
        ("acts", " | stored.retired", ""),
    ),
    mutant(
        "10",
        "a round of hermes is the operator's wish",
        "test_rule_10_the_operators_order_survives_hermes_round_robin",
        (
            "rounds",
            "return self._pools is None or str(pool_key).strip().lower() in self._pools",
            "return False",
        ),
    ),
    mutant(
        "10",
        "our order is written back at every checkpoint",
        "test_rule_10_the_operators_order_survives_hermes_round_robin",
        ("writer", "if 0 <= now - work.left.ordered_at < ORDER_EVERY_S:", "if False:"),
    ),
    mutant(
        "10",
        "an order set by hand is put back",
        "test_rule_10_an_order_that_somebody_set_by_hand_is_obeyed",
        (
            "rounds",
            "return self._pools is None or str(pool_key).strip().lower() in self._pools",
            "return True",
        ),
    ),
    mutant(
        "10",
        "what a round left is forgotten",
        "test_rule_10_what_a_round_left_is_no_wish_once_the_strategy_is_another",
        ("strangers", "return self.left.order.get(row.id, before.priority)", "return before.priority"),
    ),
    mutant(
        "11",
        "a bench is measured anew whenever the rows are read",
        "test_rule_11_a_clock_that_is_set_moves_no_bench",
        ("ready", "if known != which:", "if True:"),
    ),
    mutant(
        "11",
        "a bench lasts until its end on the wall clock",
        "test_rule_11_a_bench_learned_of_after_the_clock_went_back_lasts_no_longer_than_was_meant",
        (
            "ready",
            "left = until - now if since is None else min(until - now, until - since)",
            "left = until - now",
        ),
    ),
    mutant(
        "12",
        "a forked child goes on as its parent",
        "test_rule_12_a_forked_child_tells_only_its_own",
        ("flusher", "os.register_at_fork(after_in_child=_after_fork)", ""),
    ),
    mutant(
        "12",
        "a child of multiprocessing does not finish",
        "test_rule_12_children_of_multiprocessing_tell_what_they_have_before_they_end",
        ("flusher", "util.Finalize(None, _finish, exitpriority=100)", "util.debug(str(_finish))"),
    ),
    mutant(
        "12",
        "the thread starts with the store",
        "test_rule_12_the_thread_starts_with_the_first_use_and_tells_it",
        (
            "file_store",
            "        flusher.follow_forks(self)",
            "        flusher.follow_forks(self)\n        self._wake()",
        ),
    ),
    mutant(
        "13",
        "what a checkpoint could not tell at once is told later all the same",
        "test_rule_13_what_a_checkpoint_could_not_tell_at_once_counts_once",
        ("books", "if is_sum(record.writer) and self._is_late(record):", "if False:"),
    ),
    mutant(
        "13",
        "what cannot be told is dropped",
        "test_rule_13_selection_and_failures_go_on_in_memory_and_are_told_later",
        (
            "books",
            f"self.trouble = error\n{RETURNING}",
            f"self.trouble = error; self._queue.clear()\n{RETURNING}",
        ),
    ),
    mutant(
        "13",
        "a journal that was deleted is not begun again",
        "test_rule_13_a_journal_that_is_deleted_begins_again_from_memory",
        ("writer", "if self._books.journal.is_lost() and not work.is_newers:", "if False:"),
    ),
    mutant(
        "13",
        "what is told into a journal without a name is left there",
        "test_rule_13_what_is_told_into_a_journal_that_was_taken_away_is_told_in_the_new_one",
        ("journal", " or not status.st_nlink", ""),
    ),
    mutant(
        "13",
        "a journal that is no longer under its name counts as there",
        "test_rule_13_a_journal_that_is_replaced_by_its_copy_begins_again",
        ("journal", "return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)", "return False"),
    ),
    mutant(
        "13",
        "the number of a lost segment is used again",
        "test_rule_13_a_section_without_a_journal_is_enough",
        (
            "books",
            "self.begin_segment(self.ledger.position[0] + 1)",
            "self.begin_segment(1)",
        ),
    ),
    mutant(
        "13",
        "an auth.json from another home is ours",
        "test_rule_13_the_journal_of_another_store_is_not_folded_over_these_rows",
        ("standing", "return None in (filed.store, self.books.ledger.store) or", "return True or"),
    ),
    mutant(
        "13",
        "another store's journal is folded",
        "test_rule_13_a_journal_that_is_not_this_sections_is_begun_at_its_end",
        ("books", "self.journal.store_of() not in (None, base.store)", "False"),
    ),
    mutant(
        "13",
        "each of two first writers names the store",
        "test_rule_13_whoever_is_first_names_the_store_for_all",
        ("books", "if self.ledger.store is None:", "if False:"),
    ),
    mutant(
        "9",
        "a file that is replaced while it is read is a restored copy",
        "test_rule_9_a_file_that_was_replaced_while_it_was_read_is_no_restored_copy",
        ("file_store", "if not self._standing.is_old_copy or", "if True or"),
    ),
    mutant(
        "13",
        "no trouble is told",
        "tests/scenarios/test_trouble.py",
        ("standing", "            self._journal_trouble(),\n", ""),
    ),
    mutant(
        "14",
        "who is older sums up",
        "test_rule_14_who_is_older_than_the_journal_folds_what_it_knows_and_sums_up_nothing",
        ("writer", "work.is_newers = self._is_newers(work)", "work.is_newers = False"),
    ),
    mutant(
        "14",
        "an act of who is older writes A and C",
        "test_rule_14_an_act_of_an_older_version_takes_and_destroys_nothing",
        ("writer", "                if work.is_newers:\n", "                if False:\n"),
    ),
    mutant(
        "14",
        "a form that only a newer version knows is written over",
        "test_rule_14_what_a_newer_version_wrote_in_a_form_of_its_own_stays",
        ("writer", "is_too_new(work.document, self._disk, self._folder)", "False"),
    ),
    mutant(
        "15",
        "a checkpoint waits for the lock",
        "test_rule_15_a_pick_waits_for_nobody_who_holds_the_lock",
        (
            "writer",
            "self._file.locked(timeout_s=timeout_s, on_wait=ignore_wait)",
            "self._file.locked(timeout_s=3, on_wait=ignore_wait)",
        ),
    ),
    mutant(
        "15",
        "the process's lock is held while the file's is",
        "test_rule_15_inside_a_transaction_other_threads_pick",
        (
            "writer",
            "        with self._file.locked(timeout_s=timeout_s, on_wait=on_wait):\n",
            "        with self._standing.guard, self._file.locked(timeout_s=timeout_s, on_wait=on_wait):\n",
        ),
    ),
    mutant(
        "15",
        "a linked file is locked beside its name alone",
        "tests/engine/test_locks.py::test_a_lock_through_a_symlink_locks_both_places",
        (
            "locks",
            "return [beside_name] if same else [beside_name, beside_target]",
            "return [beside_name]",
        ),
    ),
    mutant(
        "15",
        "a soft lock is as good",
        "tests/engine/test_locks.py::test_a_file_system_without_locks_is_read_only",
        ("locks", "fallback_to_soft=False", "fallback_to_soft=True"),
    ),
    mutant(
        "16",
        "what a profile makes of the root's rows is the profile's",
        "tests/engine/test_pool.py::test_an_inherited_row_is_benched_in_the_roots_journal",
        (
            "snapshot",
            "return self._root if self._root and any(row.inherited for row in rows) else self.store",
            "return self.store",
        ),
    ),
)


def main(rules: list[str]) -> int:
    """Try the mutants of these rules, or all; print a table and return the exit code."""
    chosen = [each for each in MUTANTS if not rules or each.rule in rules]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("tui", "tests", "styles"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        tests = sorted({each.test for each in chosen})
        if failing(copy, *tests):
            print("these tests fail with every rule in place:", *tests, sep="\n  ")
            return 1
        print("| rule | taken out | the test that fails |\n| --- | --- | --- |")
        survivors = sum(not line_of(copy, each) for each in chosen)
    print(f"\n{len(chosen) - survivors} of {len(chosen)} are noticed")
    return 1 if survivors else 0


def line_of(copy: Path, each: Mutant) -> bool:
    """Try one, print its line, and tell whether its test noticed."""
    try:
        patched = dict(patches(copy, each))
    except LookupError as error:
        print(f"| {each.rule} | {each.what} | NOT FOUND: {error} |", flush=True)
        return False
    kept = {path: path.read_text() for path in patched}
    try:
        for path, text in patched.items():
            path.write_text(text)
        noticed = failing(copy, each.test)
    finally:
        for path, text in kept.items():
            path.write_text(text)
    name = each.test.rpartition("::")[2]
    print(f"| {each.rule} | {each.what} | {name if noticed else f'NONE: {name} passes'} |", flush=True)
    return noticed


def patches(copy: Path, each: Mutant) -> Iterator[tuple[Path, str]]:
    """Yield each file that changes with its new text.

    Raises:
        LookupError: what should be replaced is not there once.
    """
    for module, old, new in each.changes:
        path = copy / ENGINE / f"{module}.py"
        text = path.read_text()
        if text.count(old) != 1:
            raise LookupError(f"{text.count(old)} times in {module}: {old.strip()}")
        yield path, text.replace(old, new)


def failing(copy: Path, *tests: str) -> bool:
    """Tell whether any of these tests fails in the copy."""
    command = [
        sys.executable,
        "-B",
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
    ]
    done = subprocess.run(
        [*command, "--timeout=60", *tests], cwd=copy, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
