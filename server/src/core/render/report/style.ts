/**
 * Style of the report and of the layout picture. Colours come from the editor's theme where there is one (`--vscode-*`), else from the
 * reader's system. Nothing is told by colour alone.
 */
export const reportStyle = `:root {
  color-scheme: light dark;
  --bg: var(--vscode-editor-background, #ffffff);
  --fg: var(--vscode-editor-foreground, #1f2328);
  --muted: color-mix(in srgb, var(--fg) 78%, var(--bg));
  --line: color-mix(in srgb, var(--fg) 18%, var(--bg));
  --soft: color-mix(in srgb, var(--fg) 5%, var(--bg));
  --softer: color-mix(in srgb, var(--fg) 9%, var(--bg));
  --accent: var(--vscode-textLink-foreground, #0550ae);
  --good: #116329;
  --bad: #a40e26;
  --warn: #7d4e00;
  --info: #0550ae;
  --focus: var(--vscode-focusBorder, #0969da);
  --mono: var(--vscode-editor-font-family, ui-monospace, "SFMono-Regular", "DejaVu Sans Mono", Menlo, Consolas, monospace);
  --sans: var(--vscode-font-family, system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif);
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: var(--vscode-editor-background, #0d1117);
    --fg: var(--vscode-editor-foreground, #e6edf3);
    --accent: var(--vscode-textLink-foreground, #79b8ff);
    --good: #6bd68a;
    --bad: #ff9a92;
    --warn: #e8b44c;
    --info: #8cc4ff;
    --focus: var(--vscode-focusBorder, #58a6ff);
  }
}
body.vscode-light { color-scheme: light; --good: #0a5c22; --bad: #9a0a20; --warn: #6e4400; --info: #074a9c; }
body.vscode-dark { color-scheme: dark; --good: #6bd68a; --bad: #ff9a92; --warn: #e8b44c; --info: #8cc4ff; }
body.vscode-high-contrast { color-scheme: dark; --good: #89f0a5; --bad: #ffb3ad; --warn: #ffd27a; --info: #a8d4ff; --muted: var(--fg); --soft: var(--bg); --softer: var(--bg); --line: var(--vscode-contrastBorder, #6fc3df); }
body.vscode-high-contrast-light { color-scheme: light; --good: #084a1b; --bad: #7d0819; --warn: #5a3800; --info: #063d80; --muted: var(--fg); --soft: var(--bg); --softer: var(--bg); --line: var(--vscode-contrastBorder, #0f4a85); }
* { box-sizing: border-box; }
html { font-size: 15px; }
body { margin: 0; padding: 0; background: var(--bg); color: var(--fg); font: 1rem/1.5 var(--sans); overflow-wrap: anywhere; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; font-weight: 650; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); font-weight: 650; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; font-weight: 650; }
p { margin: .4rem 0; }
code, pre { font-family: var(--mono); font-size: .87em; background: none; color: inherit; padding: 0; }
a { color: var(--accent); text-decoration: underline; text-underline-offset: 2px; }
a code { color: inherit; }
a:has(code) { text-underline-offset: 4px; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 3px; }
.lead { font-size: 1.08rem; color: var(--muted); }
.quiet { color: var(--muted); font-size: .9rem; }
.long { word-break: break-all; }
.verdict { margin: .8rem 0 1.2rem; padding: .6rem .9rem; border: 1px solid var(--line); border-left: 5px solid var(--fg); border-radius: 6px; background: var(--soft); }
.verdict-patchable { border-left-color: var(--good); }
.verdict-blocked { border-left-color: var(--bad); }
.verdict-patchable strong::before { content: "✓ "; }
.verdict-blocked strong::before { content: "✕ "; }
.facts dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: .7rem; margin: 0; }
.facts dl > div { padding: .65rem .9rem .75rem; border: 1px solid var(--line); border-radius: 8px; background: var(--soft); }
dt { font-size: .8rem; color: var(--muted); letter-spacing: .02em; }
dd { margin: .1rem 0 0; font-weight: 600; }
dd .quiet { font-weight: 400; }
dd .long { font-weight: 500; }
.bar { display: block; width: 100%; height: 5px; margin-top: .5rem; border-radius: 3px; }
.bar-all { fill: var(--line); }
.bar-part { fill: var(--accent); }
body.vscode-high-contrast .bar, body.vscode-high-contrast-light .bar { border: 1px solid var(--line); height: 7px; }
body.vscode-high-contrast .bar-all, body.vscode-high-contrast-light .bar-all { fill: transparent; }
body.vscode-high-contrast .lp-hatch, body.vscode-high-contrast-light .lp-hatch { opacity: .35; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 1.2rem 0 0; padding: 0; font-size: .92rem; }
.scroll { overflow-x: auto; max-width: 100%; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0; font-size: .93rem; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
th, td { text-align: left; vertical-align: top; padding: .45rem .7rem; border-bottom: 1px solid var(--line); }
thead th { font-size: .8rem; color: var(--muted); font-weight: 600; border-bottom: 2px solid var(--line); white-space: nowrap; }
tbody th { font-weight: 500; }
tbody tr:hover > * { background: var(--soft); }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.badge { display: inline-block; padding: 0 .5em; border: 1px solid currentColor; border-radius: 99px; font-size: .78rem; line-height: 1.55; font-weight: 600; white-space: nowrap; vertical-align: 1px; }
.status-changed { color: var(--warn); }
.status-new { color: var(--good); }
.status-removed { color: var(--bad); }
.status-out { color: var(--muted); border-style: dashed; }
.badge-blocker { color: var(--bad); }
.badge-review { color: var(--warn); }
.badge-note { color: var(--info); }
.cards { list-style: none; margin: 0; padding: 0; display: grid; gap: .7rem; }
.card { padding: .65rem .9rem; border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 8px; background: var(--soft); }
.finding-blocker { border-left-color: var(--bad); }
.finding-review { border-left-color: var(--warn); }
.finding-note { border-left-color: var(--info); }
.finding-done { border-left-color: var(--good); }
.card-head { display: flex; flex-wrap: wrap; gap: .25rem .6rem; align-items: baseline; margin: 0 0 .3rem; }
.place { font-family: var(--mono); font-size: .85rem; color: var(--muted); }
.reviewed { margin-left: auto; font-size: .85rem; color: var(--muted); white-space: nowrap; }
td .reviewed { margin-left: 0; }
label.reviewed { cursor: pointer; display: inline-flex; align-items: center; gap: .35rem; min-height: 24px; }
.reviewed input { accent-color: var(--accent); width: 16px; height: 16px; margin: 0; }
.state { padding-left: .6rem; border-left: 3px solid var(--line); }
.state.ok { border-left-color: var(--good); }
.state.again { border-left-color: var(--warn); }
.related { margin: .3rem 0 0; padding-left: 1.2rem; font-size: .92rem; color: var(--muted); }
.plain, .inline { margin: .2rem 0; padding-left: 1.2rem; }
.inline { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0 .8rem; }
details { content-visibility: auto; contain-intrinsic-size: auto 2.4rem; margin: .5rem 0; border: 1px solid var(--line); border-radius: 6px; }
details > summary { cursor: pointer; padding: .4rem .8rem; border-radius: 6px; }
details > summary:hover { background: var(--soft); }
details[open] > summary { border-bottom: 1px solid var(--line); border-radius: 6px 6px 0 0; }
details > :not(summary) { margin: .5rem .8rem; }
pre { margin: 0; padding: .7rem .9rem; background: var(--soft); border-radius: 6px; line-height: 1.45; tab-size: 4; width: max-content; min-width: 100%; }
.code { padding: .5rem 0; }
.line { display: block; padding: 0 .9rem; text-decoration: none; white-space: pre; }
.line-base { background: color-mix(in srgb, var(--bad) 13%, var(--bg)); color: var(--fg); }
.line-next { background: color-mix(in srgb, var(--good) 13%, var(--bg)); color: var(--fg); }
.line-gap, .line-source { color: var(--muted); }
td del, td ins { text-decoration: none; }
td del code { border-bottom: 2px solid var(--bad); }
td ins code { border-bottom: 2px solid var(--good); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; color: var(--muted); font-size: .82rem; }
.picture { padding: 1rem .6rem .6rem; background: var(--soft); border: 1px solid var(--line); }
.picture svg { display: block; margin: 0 auto; max-width: none; font-family: var(--mono); font-size: 12px; }
.toolbar { position: sticky; top: 0; z-index: 1; padding: .6rem 1.5rem; background: var(--bg); border-bottom: 1px solid var(--line); }
.toolbar > div { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; max-width: 65rem; margin: 0 auto; }
button { font: inherit; font-size: .9rem; padding: .3rem .8rem; color: var(--vscode-button-secondaryForeground, var(--fg)); background: var(--vscode-button-secondaryBackground, var(--softer)); border: 1px solid var(--vscode-button-border, var(--line)); border-radius: 4px; cursor: pointer; }
button:hover { background: var(--vscode-button-secondaryHoverBackground, var(--line)); }
button:disabled { opacity: .6; cursor: default; }
.cg-head, .lp-head { fill: var(--muted); font-family: var(--sans); font-size: 12px; }
.cg-node rect { fill: var(--bg); stroke: var(--line); }
.cg-node text { fill: var(--fg); }
.cg-node .cg-mark { font-weight: 700; }
.cg-changed rect { stroke: var(--warn); stroke-width: 2; }
.cg-changed .cg-mark { fill: var(--warn); }
.cg-new rect { stroke: var(--good); stroke-width: 2; }
.cg-new .cg-mark { fill: var(--good); }
.cg-removed rect { stroke: var(--bad); stroke-width: 2; }
.cg-removed .cg-mark { fill: var(--bad); }
.cg-leftOut rect { stroke-width: 2; }
.cg-elsewhere rect { stroke-dasharray: 4 3; }
.cg-elsewhere text { fill: var(--muted); }
.cg-edge { fill: none; stroke: color-mix(in srgb, var(--fg) 45%, var(--bg)); stroke-width: 1.2; }
.cg-edge-next { stroke: var(--good); stroke-width: 2.6; }
.cg-edge-base { stroke: var(--bad); stroke-width: 1.6; stroke-dasharray: 5 4; }
.cg-arrow-both path { fill: color-mix(in srgb, var(--fg) 45%, var(--bg)); }
.cg-arrow-next path { fill: var(--good); }
.cg-arrow-base path { fill: var(--bad); }
.lp-box { fill: var(--bg); stroke: var(--line); }
.lp-text { fill: var(--fg); }
.lp-quiet, .lp-size, .lp-offset, .lp-linetext { fill: var(--muted); }
.lp-size, .lp-offset { font-size: 11px; }
.lp-linetext { font-size: 10.5px; font-family: var(--sans); }
.lp-line path { stroke: var(--info); stroke-dasharray: 5 4; }
.lp-dot { fill: var(--info); }
.lp-end { stroke: var(--fg); stroke-width: 2; }
.lp-hatch { stroke: var(--line); stroke-width: 2; }
.lp-hole .lp-box { fill: none; stroke-dasharray: 3 3; }
.lp-hole .lp-text { fill: var(--muted); font-style: italic; }
.lp-moved .lp-box { stroke: var(--info); stroke-width: 1.5; fill: color-mix(in srgb, var(--info) 10%, var(--bg)); }
.lp-changed .lp-box { stroke: var(--warn); stroke-width: 1.5; fill: color-mix(in srgb, var(--warn) 12%, var(--bg)); }
.lp-added .lp-box { stroke: var(--good); stroke-width: 2; fill: color-mix(in srgb, var(--good) 13%, var(--bg)); }
.lp-removed .lp-box { stroke: var(--bad); stroke-width: 2; fill: color-mix(in srgb, var(--bad) 12%, var(--bg)); }
.lp-mark { font-weight: 700; }
.lp-added .lp-mark { fill: var(--good); }
.lp-removed .lp-mark { fill: var(--bad); }
.lp-changed .lp-mark { fill: var(--warn); }
.lp-link { fill: none; stroke: var(--line); stroke-width: 1.2; }
.lp-link-moved { stroke: var(--info); stroke-width: 1.8; }
.lp-by rect { fill: var(--bg); stroke: var(--info); }
.lp-by text { fill: var(--info); font-size: 11px; }
@media (forced-colors: active) { .badge, .card, .verdict { border-color: CanvasText; } }
@media print { .toolbar, nav { display: none; } main { max-width: none; padding: 0; } details:not([open]) > * { display: revert; } }`;
