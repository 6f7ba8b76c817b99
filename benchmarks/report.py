"""The results as tables of text, and as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks.bars import BARS, Bar, Verdict
from benchmarks.contestant import KINDS, SCALING, Contestant
from benchmarks.figures import CPU, LOADED, MEMORY, P50, P95, P99, RATE, WORKER_CPU
from benchmarks.results import Figure, Middle, Results
from benchmarks.runner import Plan

_COLUMNS: Final = (RATE, P50, P95, P99, LOADED + P50, LOADED + P95, CPU, WORKER_CPU, MEMORY)
_EXPLANATION: Final = (
    "Medians of all rounds; ± is half of the way from the least to the greatest, of the median. p50 to p99 are of\n"
    "sagas one at a time, from start to finish; 'loaded' is with all that are in flight. CPU is for each saga, of all\n"
    "Python processes. Ratios are computed round by round."
)


def text(results: Results, contestants: Sequence[Contestant], plan: Plan) -> str:
    """All tables."""
    known = {contestant.name: contestant for contestant in contestants}
    parts = [_machine(plan), _EXPLANATION, *_tables(results, known), _bars(results), _settings(results, known)]
    if results.failures:
        parts.append("Failed:\n" + "\n".join(results.failures))
    return "\n\n".join(parts) + "\n"


def as_json(results: Results, contestants: Sequence[Contestant], plan: Plan) -> str:
    """Everything, for other programs."""
    measured = {name for name, _ in results.pairs()}
    return json.dumps(
        {
            "machine": _machine(plan),
            "contestants": {
                one.name: {"kind": one.kind, "what": one.what, "settings": one.settings}
                for one in contestants
                if one.name in measured
            },
            "measurements": [one._asdict() for one in results.measurements],
            "bars": [_bar_as_data(bar, results) for bar in BARS],
            "failures": results.failures,
        },
        indent=1,
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they must be; all but the first are flush right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in enumerate(cells))
        for line in lines
        for cells in (list(zip(line, widths, strict=True)),)
    )


def number(value: float) -> str:
    """With as many digits as say something."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _machine(plan: Plan) -> str:
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}, "
        f"load {load}; {plan.rounds} rounds of {plan.seconds:g} s"
    )


def _tables(results: Results, known: dict[str, Contestant]) -> Iterable[str]:
    pairs = [pair for pair in results.pairs() if pair[0] in known]
    for kind in KINDS:
        of_kind = [pair for pair in pairs if known[pair[0]].kind == kind]
        if not of_kind:
            continue
        if kind == SCALING:
            yield _scaling(results, of_kind)
            continue
        rows = [
            [f"{name}, {workload}", *(_cell(results.middle(Figure(name, workload, column))) for column in _COLUMNS)]
            for name, workload in of_kind
        ]
        yield table([kind, *_COLUMNS], rows)


def _cell(middle: Middle | None) -> str:
    if middle is None:
        return ""
    return f"{number(middle.median)} ±{middle.spread / 2:.0%}" if middle.spread else number(middle.median)


def _scaling(results: Results, pairs: Iterable[tuple[str, str]]) -> str:
    rows = [
        [f"{name}: {figure}", _cell(results.middle(Figure(name, workload, figure)))]
        for name, workload in pairs
        for figure in results.names(name, workload)
    ]
    return table(["scaling", "figure"], rows)


def _bars(results: Results) -> str:
    rows = []
    for bar in BARS:
        seen = bar.seen(results)
        bound = f"{'≤' if bar.at_most else '≥'} {number(bar.bound)} {bar.unit}".strip()
        rows.append([bar.what, bound, number(seen.median) if seen else "-", bar.verdict(results).value])
    verdicts = Counter(bar.verdict(results) for bar in BARS)
    summary = ", ".join(f"{verdict.value}: {verdicts[verdict]}" for verdict in Verdict)
    return f"{table(['bar', 'must be', 'is', ''], rows)}\n\n{summary}"


def _bar_as_data(bar: Bar, results: Results) -> dict[str, Any]:
    seen = bar.seen(results)
    return {
        "what": bar.what,
        "bound": bar.bound,
        "at_most": bar.at_most,
        "unit": bar.unit,
        "seen": seen._asdict() if seen else None,
        "verdict": bar.verdict(results).value,
    }


def _settings(results: Results, known: dict[str, Contestant]) -> str:
    measured = dict.fromkeys(name for name, _ in results.pairs() if name in known)
    return "Settings\n" + "\n".join(f"  {name}: {known[name].what}\n    {known[name].settings}" for name in measured)
