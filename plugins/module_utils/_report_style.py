# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the report looks (private to the collection). One column, light and dark, from a phone to a wide screen."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f7f7f4; --card: #ffffff; --ink: #1c2126; --soft: #5f6972; --line: #dcdfe1; --faint: #eceeee;
  --source: #64748b; --node: #0f7b83; --held: #c4551b; --held-band: #c4551b1f; --good: #2b7a4b; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #13161a; --card: #1a1e23; --ink: #e7e9eb; --soft: #9aa4ad; --line: #30363d; --faint: #242a30;
    --source: #93a4ba; --node: #4db6bd; --held: #f0874a; --held-band: #f0874a26; --good: #63c48c; --bad: #f2857c;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .35rem; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 0 0 .25rem; font-weight: 650; }
p { margin: .25rem 0 0; }
.soft, figcaption, .note { color: var(--soft); font-size: .875rem; }
.verdict { font-size: 1.125rem; margin: .9rem 0 0; max-width: 46rem; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.25rem;
  margin-top: 1.25rem; }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1px; padding: 0;
  background: var(--line); overflow: hidden; }
.tile { background: var(--card); padding: 1rem 1.25rem; }
.tile b { display: block; font-size: 1.75rem; line-height: 1.15; font-weight: 650; letter-spacing: -.02em;
  white-space: nowrap; }
.tile b small { font-size: .95rem; font-weight: 500; color: var(--soft); letter-spacing: 0; margin-left: .2em; }
.tile span { color: var(--soft); font-size: .8125rem; display: block; margin-top: .2rem; line-height: 1.35; }

figure { margin: 1rem 0 0; }
figcaption { margin-top: .75rem; }
.chart { display: grid; grid-template-columns: max-content minmax(0, 1fr) max-content; column-gap: .75rem;
  position: relative; }
.chart .name, .chart .value { font-size: .8125rem; line-height: 1.5rem; white-space: nowrap; }
.chart .name { color: var(--soft); max-width: 10rem; overflow: hidden; text-overflow: ellipsis; }
.chart .value { text-align: right; }
.chart .held-name { color: var(--held); }
.lane { position: relative; height: 1.5rem; border-bottom: 1px solid var(--faint); overflow: hidden; }
.lane.tall { height: 5rem; } .lane.middle { height: 2.75rem; }
.lane svg { position: absolute; left: 0; bottom: 0; width: 100%; height: calc(100% - 1.15rem); display: block; }
.lane .bar { position: absolute; top: .4rem; height: .7rem; min-width: 2px; border-radius: 2px;
  background: var(--source); }
.lane .bar.held { background: var(--held); } .lane .bar.bad { background: var(--bad); }
.lane .bar.node { background: var(--node); }
.lane .most { position: absolute; left: .15rem; top: 0; font-size: .6875rem; color: var(--soft); }
.over { position: relative; grid-column: 2; pointer-events: none; }
.over i { position: absolute; top: 0; bottom: 0; border-left: 1px solid var(--line); opacity: .6; }
.over .band { background: var(--held-band); border-left: 1px solid var(--held);
  border-right: 1px solid var(--held); opacity: 1; }
.over em { position: absolute; top: 2rem; transform: translateX(-50%); font-style: normal; font-size: .8125rem;
  font-weight: 600; line-height: 1.35; white-space: nowrap;
  color: var(--held); background: var(--card); border-radius: 4px; padding: 0 .35rem; }
.axis { position: relative; height: 1.35rem; font-size: .6875rem; color: var(--soft); }
.axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; line-height: 1.35rem; }
.axis span.left { transform: none; } .axis span.right { transform: translateX(-100%); }
.fill { fill: var(--source); } .fill.node { fill: var(--node); }
.stroke { fill: none; stroke: var(--node); stroke-width: 1.5; vector-effect: non-scaling-stroke; }

.pairs { display: grid; grid-template-columns: max-content minmax(0, 1fr) max-content; gap: .1rem .75rem;
  align-items: center; }
.pairs .name { grid-row: span 2; font-size: .875rem; color: var(--soft); }
.pairs .track { height: .85rem; } .pairs .track i { display: block; height: 100%; border-radius: 2px;
  background: var(--source); min-width: 2px; }
.pairs .track i.node { background: var(--node); }
.pairs .value { font-size: .8125rem; text-align: right; line-height: 1.35; }
.pairs .rule { grid-column: 1 / -1; border-top: 1px solid var(--faint); margin: .45rem 0; }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin: 0 .3em 0 .9em;
  background: var(--source); }
.key:first-child { margin-left: 0; } .key.node { background: var(--node); } .key.held { background: var(--held); }

.scroll { overflow-x: auto; margin-top: .75rem; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--faint);
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; font-size: .8125rem; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .92em; }
details { margin-top: .75rem; } summary { cursor: pointer; color: var(--soft); font-size: .875rem; }
footer { color: var(--soft); font-size: .8125rem; margin-top: 1.5rem; }
@media (max-width: 34rem) {
  main { padding: 1.5rem .75rem 3rem; } section { padding: 1rem .85rem; } .tiles { padding: 0;
  grid-template-columns: 1fr 1fr; }
  .tile { padding: .8rem .85rem; } .tile b { font-size: 1.4rem; } h1 { font-size: 1.4rem; }
  .verdict { font-size: 1rem; }
  .chart, .pairs { column-gap: .5rem; } .chart .name { max-width: 6.2rem; font-size: .75rem; }
  .chart .value { font-size: .75rem; }
  code { overflow-wrap: anywhere; }
  .axis span:nth-last-child(even), .over em span { display: none; }
}
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
