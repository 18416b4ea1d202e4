// node scripts/record-demo.mjs: runs the demo in a terminal of its own and keeps what it really showed: media/demo.cast (asciicast
// version 2) and the picture in the README, media/demo.png (animated). Needs `script` (util-linux) and Chromium.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { animate } from './lib/apng.mjs';
import { repository } from './lib/install.mjs';
import { ensurePackages, packageSets } from './lib/packages.mjs';
import { note } from './lib/progress.mjs';
import { must } from './lib/run.mjs';

const COLUMNS = 110;
const ROWS = 46;
const folder = mkdtempSync(join(tmpdir(), 'lpa-record-'));

/** What came when: seconds since the start, text. `script` logs lengths in bytes. */
function events(output, timing) {
  const found = [];
  let at = 0;
  let time = 0;
  // util-linux puts a header line and a trailer line around the output.
  const start = output.indexOf(0x0a) + 1;
  const body = output.subarray(start);
  for (const line of timing.trim().split('\n')) {
    const [delay, length] = line.split(' ').map(Number);
    time += delay;
    found.push({ time, bytes: body.subarray(at, at + length) });
    at += length;
  }
  // A character may be cut in two by a read: the rest goes with the next event.
  const decoder = new TextDecoder();
  return found.map(({ time, bytes }) => ({ time, text: decoder.decode(bytes, { stream: true }) }));
}

const escapeHtml = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
const STYLES = { 1: 'b', 2: 'd', 31: 'red', 32: 'green', 33: 'yellow', 36: 'blue', 34: 'blue' };

/** The last ROWS screen lines of a text with SGR sequences, as HTML. Lines are wrapped at COLUMNS. */
function screen(text) {
  const lines = [[]];
  let classes = new Set();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal sequences are what is parsed
  for (const token of text.replace(/\r/g, '').match(/\u001b\[[0-9;]*[A-Za-z]|[^\u001b]/gu) ?? []) {
    if (token.startsWith('\u001b[')) {
      for (const code of token.slice(2, -1).split(';').map(Number)) {
        if (code === 0) classes = new Set();
        else if (code === 22) for (const name of ['b', 'd']) classes.delete(name);
        else if (code === 39) for (const name of ['red', 'green', 'yellow', 'blue']) classes.delete(name);
        else if (STYLES[code]) classes.add(STYLES[code]);
      }
    } else if (token === '\n') lines.push([]);
    else {
      if (lines.at(-1).length >= COLUMNS) lines.push([]);
      lines.at(-1).push({ token, name: [...classes].join(' ') });
    }
  }
  const shown = lines.slice(-ROWS);
  return shown
    .map((line) => {
      let html = '';
      for (let i = 0; i < line.length; ) {
        let j = i;
        while (j < line.length && line[j].name === line[i].name) j++;
        const part = escapeHtml(
          line
            .slice(i, j)
            .map(({ token }) => token)
            .join(''),
        );
        html += line[i].name ? `<span class="${line[i].name}">${part}</span>` : part;
        i = j;
      }
      return html;
    })
    .join('\n');
}

const page = (body) => `<!doctype html><meta charset="utf-8"><style>
html{background:#1b1e24}pre{margin:14px;color:#d5d9e0;font:14px/1.35 "DejaVu Sans Mono",monospace}
.b{font-weight:bold}.d{color:#8b93a1}.red{color:#f2777a}.green{color:#99cc99}.yellow{color:#ffcc66}.blue{color:#6cb6ff}
</style><pre>${body}</pre>`;

async function picture(html, index) {
  const source = join(folder, `${index}.html`);
  const png = join(folder, `${index}.png`);
  writeFileSync(source, page(html));
  const size = `${Math.ceil(COLUMNS * 8.43) + 28},${Math.ceil(ROWS * 18.9) + 28}`;
  const args = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--hide-scrollbars',
    `--user-data-dir=${join(folder, 'profile')}`,
  ];
  await must('chromium', [...args, `--window-size=${size}`, `--screenshot=${png}`, `file://${source}`], {
    seconds: 60,
  });
  return readFileSync(png);
}

try {
  const packages = await ensurePackages([...packageSets.browser, 'bsdutils'], note);
  if (!packages.ok) throw new Error(packages.message);
  note('running the demo');
  const [output, timing] = [join(folder, 'output'), join(folder, 'timing')];
  const command = `stty cols ${COLUMNS} rows ${ROWS}; exec node scripts/demo.mjs`;
  await must('script', ['-q', '-e', '-c', command, '--log-out', output, '--log-timing', timing], {
    cwd: repository,
    seconds: 180,
  });
  const happened = events(readFileSync(output), readFileSync(timing, 'utf8'));
  const header = { version: 2, width: COLUMNS, height: ROWS, title: 'npm run demo' };
  const lines = happened.map(({ time, text }) => JSON.stringify([Number(time.toFixed(3)), 'o', text]));
  writeFileSync(join(repository, 'media', 'demo.cast'), `${[JSON.stringify(header), ...lines].join('\n')}\n`);

  // One picture where each section ends: long enough to read.
  const all = happened.map(({ text }) => text).join('');
  const ends = [...all.matchAll(/\r?\n[^\n]*──/g)].map((match) => match.index).filter((at) => at > 200);
  const frames = [];
  for (const [index, end] of [...ends, all.length].entries()) {
    note(`picture ${index + 1} of ${ends.length + 1}`);
    frames.push({ png: await picture(screen(all.slice(0, end).trimEnd()), index), milliseconds: 5000 });
  }
  writeFileSync(join(repository, 'media', 'demo.png'), animate(frames));
  note('wrote media/demo.cast and media/demo.png');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
