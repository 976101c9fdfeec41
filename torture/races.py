"""Two processes started on one run folder at once."""

from __future__ import annotations

from torture.case import AFTER_IMPORTANCE, RUN, Ground, differences, result_of

MOST_TRIES = 4
"""For each race: one may be over before the other has begun, which says nothing."""


def race(ground: Ground, count: int) -> tuple[int, list[str]]:
    """Start the same run twice at once, again and again.

    Args:
        ground: where.
        count: of races.

    Returns:
        How many were run, and what went wrong, a line each.
    """
    folder, faults, races, tries = ground.place / "raced", list[str](), 0, 0
    with ground.progress.task("Races", count) as task:
        while races < count and tries < MOST_TRIES * count:
            tries += 1
            run = ground.case.copy(folder, *AFTER_IMPORTANCE)
            both = [ground.nursery.start(folder, RUN) for _ in range(2)]
            codes = [child.wait() for child in both]
            if codes == [0, 0]:
                continue
            races += 1
            if sorted(map(str, codes)) != ["0", "2"]:
                faults.append(f"exit codes {codes}")
                continue
            winner, loser = (both[codes.index(code)] for code in (0, 2))
            said = loser.log.read_text()
            # Between taking the lock and writing its name the winner is nameless.
            if f"process {winner.process}" not in said and "a process just started" not in said:
                faults.append(f"the other said: {said}")
            faults += [
                f"{part} differs" for part in differences(result_of(run), ground.case.result)
            ]
            task.advance(faults=len(faults))
    return races, faults
