"""How drawings look: colours in light and dark, and a sign for each status beside its colour."""

from __future__ import annotations

from typing import Final

from ..core.state import StepStatus

_CHECK: Final = "M-3.6 0.3L-1.1 2.9L3.7-2.6"
_CROSS: Final = "M-2.8-2.8L2.8 2.8M2.8-2.8L-2.8 2.8"
_BACK: Final = "M-0.6-4.2L-3.4-1.6L-0.6 1M-3.2-1.6H1.2A2.6 2.6 0 0 1 1.2 3.6H-1.6"
_PLAY: Final = "M-1.8-3.1L3.2 0L-1.8 3.1Z"
_QUESTION: Final = "M-2-1.9A2.1 2.1 0 1 1 0.6 0.2C0.1 0.6 0 0.9 0 1.5M0 3.6V3.7"
_DASH: Final = "M-3.2 0H3.2"
_DOTS: Final = "M-3.4 0H-3.3M0 0H0.1M3.4 0H3.5"

ICONS: Final = {
    StepStatus.PENDING: _DOTS,
    StepStatus.STARTED: _PLAY,
    StepStatus.COMPLETED: _CHECK,
    StepStatus.FAILED: _CROSS,
    StepStatus.SKIPPED: _DASH,
    StepStatus.UNKNOWN: _QUESTION,
    StepStatus.COMPENSATING: _BACK,
    StepStatus.COMPENSATED: _BACK,
    StepStatus.COMPENSATION_FAILED: _CROSS,
}
"""Lines around the middle of a circle of radius 8."""

_LIGHT: Final = {
    "ink": "#1f2328",
    "muted": "#59636e",
    "edge": "#818b98",
    "line": "#bc4c00",
    "on-dot": "#ffffff",
    "declared": "#ffffff #8c959f",
    "pending": "#f6f8fa #818b98",
    "started": "#ddf4ff #0969da",
    "completed": "#dafbe1 #1a7f37",
    "failed": "#ffebe9 #cf222e",
    "skipped": "#f6f8fa #818b98",
    "unknown": "#fff8c5 #9a6700",
    "compensating": "#fbefff #8250df",
    "compensated": "#f3f0f9 #6e5a9c",
    "compensation_failed": "#ffcecb #a40e26",
}
_DARK: Final = {
    "ink": "#f0f6fc",
    "muted": "#9198a1",
    "edge": "#7d8590",
    "line": "#f0883e",
    "on-dot": "#0d1117",
    "declared": "#161b22 #6e7681",
    "pending": "#161b22 #7d8590",
    "started": "#0f2440 #4493f8",
    "completed": "#10281a #3fb950",
    "failed": "#341a1d #f85149",
    "skipped": "#161b22 #7d8590",
    "unknown": "#2e2410 #d29922",
    "compensating": "#271a3d #ab7df8",
    "compensated": "#1f1b2b #a396c9",
    "compensation_failed": "#4c1519 #ff7b72",
}


def _variables(colours: dict[str, str]) -> str:
    found: list[str] = []
    for name, value in colours.items():
        fill, _, stroke = value.partition(" ")
        found.append(f"--sf-{name}:{fill};" + (f"--sf-{name}-line:{stroke};" if stroke else ""))
    return "".join(found)


def _statuses() -> str:
    names = ["declared", *StepStatus]
    return "".join(f".sf-{name}{{--sf-fill:var(--sf-{name});--sf-stroke:var(--sf-{name}-line)}}" for name in names)


STYLE: Final = (
    # A page that sets these variables itself wins, and so does its own switch between light and dark.
    f":where(.sf-graph){{{_variables(_LIGHT)}}}"
    f"@media (prefers-color-scheme:dark){{:where(.sf-graph){{{_variables(_DARK)}}}}}"
    f':where([data-theme="light"] .sf-graph){{{_variables(_LIGHT)}}}'
    f':where([data-theme="dark"] .sf-graph){{{_variables(_DARK)}}}'
    ".sf-graph{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;max-width:100%;"
    "height:auto}" + _statuses() + ".sf-box{fill:var(--sf-fill);stroke:var(--sf-stroke);stroke-width:1.5}"
    ".sf-side{fill:none;stroke:var(--sf-stroke);stroke-width:1.5}"
    ".sf-pivot .sf-box{stroke-width:3}"
    ".sf-declared.sf-pivot{--sf-stroke:var(--sf-line)}"
    ".sf-perhaps .sf-box,.sf-skipped .sf-box{stroke-dasharray:6 4}"
    ".sf-skipped .sf-name{text-decoration:line-through}"
    ".sf-name{font-size:14px;font-weight:600;fill:var(--sf-ink)}"
    ".sf-note,.sf-undo{font-size:11.5px;fill:var(--sf-muted)}"
    ".sf-undo{font-style:italic}"
    ".sf-dot{fill:var(--sf-stroke)}"
    ".sf-icon{fill:none;stroke:var(--sf-on-dot);stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}"
    ".sf-edge,.sf-tip{fill:none;stroke:var(--sf-edge);stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}"
    ".sf-line{fill:none;stroke:var(--sf-line);stroke-width:1.5;stroke-dasharray:2 5;stroke-linecap:round}"
)
"""The style sheet of one drawing; every name in it begins with ``sf-``, so that it does no harm to a page."""
