"""What the results say: a table for the terminal, and docs/performance.md.

python -m benchmarks.report            write the page from the newest results that are kept
python -m benchmarks.report FILE       print the tables of a file
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Row, Target
from benchmarks.results import FOLDER, Results, Scenario, load, newest


def number(value: float) -> str:
    """With three digits that say something, and no more before the point than there are."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def said(target: Target, unit: str) -> str:
    if target.beside is None:
        return f"{target.factor} {number(target.limit)} {unit}"
    return f"{target.factor} {number(target.limit)} × {target.beside}"


def table(name: str, scenario: Scenario) -> str:
    """For the terminal."""
    lines = [f"\n== {name}: {scenario.title}"]
    for row in scenario.rows:
        lines.append(f"  {row.what}")
        for case in row.runs:
            ratio = "" if case == row.ours() else f"   {row.ratio(case):6.2f} × that is ours"
            lines.append(f"    {case:36} {number(row.median(case)):>9} {row.unit}{ratio}")
        missed = row.missed()
        lines += [f"      {'MISSED' if t in missed else 'reached'}: {said(t, row.unit)}" for t in row.targets]
    return "\n".join([*lines, *map(_account, scenario.accounts)])


def _account(line: list[str]) -> str:
    first, *others = (cell.replace("*", "").replace("`", "") for cell in line)
    return f"    {first:80}" + "".join(f"{cell:>20}" for cell in others)


_HEAD = """\
# Performance

<!-- Written by `python -m docs.generate` from {source}; `make bench` measures anew. -->

What everything that a user waits for takes, beside what they would use instead. All of it is measured by `make bench`,
which installs the others, runs every comparison interleaved (A B A B …), and keeps each run's figures in
`benchmarks/results/`. These are the medians of `{source}`, and how many times another one's
median ours is.

Absolute figures drift from machine to machine and from hour to hour; the ratios are what is compared.

{machine}
"""

_TAIL = """\
## What guards it

Times on shared machines prove nothing, so no test looks at a clock. `make bench-check` counts instructions instead
(valgrind's callgrind, on fixed work in one thread with a fixed hash seed), and fails where something takes over 10 %
more than `benchmarks/counts.json` says. The counts depend on the build of Python: with another one than the recorded it
says so and compares nothing. How they are written anew is at the top of `benchmarks/check.py`.
"""


def document(results: Results, source: str) -> str:
    """The text of docs/performance.md."""
    parts = [_HEAD.format(source=source, machine=_machine(results)), _verdict(results)]
    for name, scenario in results.scenarios.items():
        about = [scenario.title, *([f"Measured anew on {scenario.later}."] if scenario.later else [])]
        parts.append("\n".join([f"## {name.capitalize()}", "", " ".join(about), "", *_rows(scenario.rows)]) + "\n")
        if scenario.accounts:
            parts.append("Where the time goes:\n\n" + "\n".join(_accounts(scenario.accounts)) + "\n")
    return "\n".join([*parts, _TAIL])


def _machine(results: Results) -> str:
    on, used = results.machine, results.versions
    versions = ", ".join(f"{name} {version}" for name, version in used.items())
    return (
        f"Measured on {results.date[:10]} on {on['cpu']}, {on['cpus']} processors, {on['memory_gb']} GB,\n"
        f"{on['system']}; load before: {on['load_before']}. Versions:\n{versions}.\n"
        + ("\n**A quick run: too few rounds to be quoted.**\n" if results.quick else "")
    )


def _verdict(results: Results) -> str:
    """What is lost, and what was aimed at and missed: before everything else."""
    slower = [line for scenario in results.scenarios.values() for line in _lost(scenario)]
    missed = [
        f"- {row.what}: {said(target, row.unit)}; it is "
        + (f"{number(row.median(row.ours()))} {row.unit}" if not target.beside else f"{row.ratio(target.beside):.2f} ×")
        for scenario in results.scenarios.values()
        for row in scenario.rows
        for target in row.missed()
    ]
    return (
        "## Where we lose\n\n"
        + ("\n".join(slower) or "Nowhere against the peers, in this run.")
        + "\n\nAimed at, and missed:\n\n"
        + ("\n".join(missed) or "Nothing, in this run.")
        + "\n"
    )


_PEERS = ("dagu", "DBOS", "tee into a file")


def _lost(scenario: Scenario) -> Iterator[str]:
    for row in scenario.rows:
        for case in set(row.runs) & set(_PEERS):
            ratio = row.ratio(case)
            if (ratio < 1) if row.more_is_better else (ratio > 1):
                yield (
                    f"- {row.what}: {number(row.median(row.ours()))} {row.unit}"
                    f" against {case}'s {number(row.median(case))}, {ratio:.2f} ×"
                )


def _rows(rows: list[Row]) -> Iterator[str]:
    yield "| | | | ours is | aim |"
    yield "|---|---|---:|---:|---|"
    for row in rows:
        for case in row.runs:
            first = case == row.ours()
            what = f"{row.what}{f' ({row.note})' if row.note else ''}" if first else ""
            aims = [f"{said(t, row.unit)}{': **missed**' if t in row.missed() else ''}" for t in row.targets]
            ratio = "" if first else f"{row.ratio(case):.2f} ×"
            figure = f"{number(row.median(case))} {row.unit}"
            yield f"| {what} | {case} | {figure} | {ratio} | {'; '.join(aims) if first else ''} |"


def _accounts(lines: list[list[str]]) -> Iterator[str]:
    for line in lines:
        if line[0] == "ms":
            yield from ("", f"| {' | '.join(line)} |", "|---|" + "---:|" * (len(line) - 1))
        else:
            yield f"| {' | '.join(line)} |"


def page() -> str:
    """What docs/performance.md is to say."""
    path = newest()
    assert path is not None
    return document(load(path), str(path.relative_to(FOLDER.parent.parent)))


def main() -> None:
    path = Path(sys.argv[1]) if sys.argv[1:] else newest()
    if path is None:
        sys.exit("there are no results; `make bench` makes some")
    for name, scenario in load(path).scenarios.items():
        print(table(name, scenario))


if __name__ == "__main__":
    main()
