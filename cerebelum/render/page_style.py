"""What a page looks like: on a screen that is light or dark, wide or narrow, and on paper."""

from __future__ import annotations

from cerebelum.render.palette import palette

_TONES = ("completed", "failed", "running", "waiting", "interrupted", "skipped", "cancelled", "quiet")

_PAGE = """
* { box-sizing: border-box; }
html { color-scheme: light dark; background: var(--paper); color: var(--text); }
body { margin: 0 auto; max-width: 1180px; padding: 20px; font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
a { color: var(--running); }
nav { margin: .8rem 0; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; }
code, pre, .id { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .87em; }
pre { margin: 0; padding: .7rem .9rem; background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; tab-size: 8; }
.id { overflow-wrap: anywhere; }
.quiet, .note { color: var(--quiet); }
.note { font-size: .92em; }
.status { display: inline-block; padding: .05rem .6rem; border: 1.5px solid currentColor; border-radius: 1rem;
  font-size: 1rem; font-weight: 600; white-space: nowrap; vertical-align: .12em; }
.next { padding: .6rem .9rem; background: var(--panel); border-left: 4px solid var(--running); border-radius: 4px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .8rem 0; }
dt { color: var(--quiet); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.wide { overflow: auto; max-width: 100%; border: 1px solid var(--line); border-radius: 6px; }
.tall { max-height: 85vh; }
.wide:focus-visible, a:focus-visible, summary:focus-visible { outline: 2px solid var(--running); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .93em; }
th, td { text-align: start; vertical-align: top; padding: .35rem .7rem; border-bottom: 1px solid var(--line); }
thead th { color: var(--quiet); font-weight: 600; white-space: nowrap; background: var(--panel); }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { font-weight: 500; min-width: 10rem; }
tbody .group { color: var(--quiet); background: var(--panel); font-weight: 600; }
td.own { overflow-wrap: anywhere; min-width: 11rem; }
td.fact { white-space: nowrap; }
.left-out td { color: var(--quiet); text-align: center; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; }
summary { cursor: pointer; padding: .4rem .8rem; overflow-wrap: anywhere; }
details > pre { border: 0; border-top: 1px solid var(--line); border-radius: 0 0 6px 6px; }
details > pre, details > .wide { max-height: 75vh; overflow: auto; }
details > .wide { border-width: 1px 0 0; border-radius: 0; }
details > .note { padding: 0 .8rem; }
.stderr { color: var(--interrupted); }
.left-out-here { color: var(--quiet); font-style: italic; }
.cerebelum-steps { display: block; margin: 0 auto; }
footer { margin-top: 2.5rem; color: var(--quiet); font-size: .9em; }

.gantt { display: block; width: 100%; min-width: 860px; height: auto; }
.gantt text { font: 12px system-ui, "Segoe UI", Roboto, sans-serif; fill: var(--text); unicode-bidi: isolate; }
.gantt .name { text-anchor: end; font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.gantt .heading { fill: var(--quiet); font-weight: 600; }
.gantt .took { fill: var(--quiet); font-size: 11px; }
.gantt .tick { fill: var(--quiet); font-size: 11px; text-anchor: middle; }
.gantt .mark { text-anchor: middle; fill: var(--quiet); }
.gantt .row, .gantt .grid { stroke: var(--line); stroke-width: .6; }
.gantt .resume { stroke: var(--running); stroke-width: 1.5; stroke-dasharray: 6 3; }
.gantt .span { stroke-width: 1.2; }
.gantt .completed { fill: var(--completed); stroke: var(--completed); }
.gantt .failed { fill: var(--failed); stroke: var(--failed); }
.gantt .interrupted { fill: var(--paper); stroke: var(--interrupted); stroke-width: 2; }
.gantt .running { fill: var(--running); stroke: var(--running); }
.gantt .retrying { fill: none; stroke: var(--waiting); stroke-dasharray: 2 2; }
.gantt .sleeping { fill: var(--line); stroke: var(--edge); }
.gantt .waiting_for_worker { fill: none; stroke: var(--waiting); }
.gantt .waiting_for_approval { fill: var(--waiting); stroke: var(--waiting); }
.gantt .band { fill: var(--panel); }
.gantt .cut { stroke: var(--line); stroke-dasharray: 1 3; }
.gantt .rest { stroke: var(--edge); stroke-width: 1; fill-opacity: .75; }
.gantt .paused { stroke-dasharray: 7 3; }
.gantt .undriven { stroke-dasharray: 2 2; stroke: var(--interrupted); }

@media (min-width: 960px) {
  dl { grid-template-columns: max-content 1fr max-content 1fr; }
}
@media (max-width: 640px) {
  body { padding: 12px; font-size: 14px; }
  dl { gap: .1rem .8rem; }
  th, td { padding: .3rem .45rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  nav { display: none; }
  .wide, details > .wide, details > pre { overflow: visible; border: 0; max-height: none; }
  .wide > svg { max-width: 100%; min-width: 0; height: auto; }
  details::details-content { display: block; content-visibility: visible; block-size: auto; }
  tr, svg { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  th, td { padding: .25rem .4rem; }
  tbody th, td.own { min-width: 5.5rem; }
}
"""


def style() -> str:
    """The style sheet."""
    tones = "".join(f".{name} {{ --tone: var(--{name}); }}\n" for name in _TONES)
    return f"\n{palette(':root')}\n{tones}.status, .state {{ color: var(--tone); }}\n{_PAGE}"
