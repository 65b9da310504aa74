"""The style sheet of the page: light and dark, wide and narrow screens, and paper."""

# Tests: tests/html_report/test_page.py

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f6f7f9; --ink: #1c2128; --faint: #55606d;
  --line: #d5dae0; --grid: #e1e4e8; --accent: #005a9c; --warn: #fff4d6; --warn-line: #b35c00; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1d2127; --ink: #e8eaed; --faint: #aab2bc;
  --line: #3a414a; --grid: #363c44; --accent: #7cc0ff; --warn: #33290f; --warn-line: #e0a13c; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 68rem; padding: 1rem 1rem 3rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .4rem 0; max-width: 48rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
.lead, .note, figcaption, caption { color: var(--faint); }
.note, figcaption, caption { font-size: .875rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; margin: .75rem 0; padding: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.tiles dt { color: var(--faint); font-size: .875rem; }
.tiles dd { margin: 0; font-size: 1.25rem; font-weight: 600; overflow-wrap: anywhere; }
.tiles dd small { display: block; font-size: .875rem; font-weight: 400; color: var(--faint); }
.warning { background: var(--warn); border-left: 4px solid var(--warn-line); padding: .5rem .8rem; margin: .6rem 0;
  max-width: none; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1rem;
  align-items: start; }
figure { margin: .5rem 0; background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; max-width: 36rem; margin: 0 auto; color: var(--ink); }
.scroll { overflow-x: auto; margin: .5rem 0; }
.scroll:focus-visible, a:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
thead th { white-space: nowrap; }
td, tbody th { overflow-wrap: anywhere; min-width: 4rem; max-width: 26rem; font-weight: 400; }
tbody th { min-width: 8rem; font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--accent); }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: .5rem; }
@media (max-width: 30rem) { body { padding: .75rem .75rem 2rem; } h1 { font-size: 1.35rem; }
  .tiles { grid-template-columns: 1fr 1fr; } .tiles dd { font-size: 1.05rem; } figure { padding: .25rem; } }
@media print { :root { --paper: #fff; --card: #fff; --ink: #000; --faint: #444; --line: #bbb; --grid: #ddd;
  --accent: #000; --warn: #fff; --warn-line: #000; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10.5pt; } nav { display: none; }
  h2, h3, section > .note { break-after: avoid; }
  figure, .tiles div, tr { break-inside: avoid; } .scroll { overflow: visible; }
  .figures { grid-template-columns: 1fr 1fr; } table { font-size: 8.5pt; } thead { display: table-header-group; } }
"""
