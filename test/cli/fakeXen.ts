import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

/**
 * A host with a hypervisor of a few lines, reached by an `ssh` of one line: the script that runs on a real host runs here. Its `xen-livepatch` keeps Xen's
 * state machine, and words its refusals as the real one and the console do.
 */
export interface FakeXen {
  /** Calls of xen-livepatch so far, without those that only list. */
  calls(): readonly string[];
  /** The next call of this action is refused with these words on the console. */
  refuse(action: string, words: string): void;
  /** Everything unloaded, nothing remembered of the calls. */
  reset(): void;
  /** Puts the real PATH back, and removes the folder. */
  close(): void;
}

const SSH = `#!/bin/sh
while [ "$1" != -- ]; do shift; done
exec sh -c "$3"
`;

const TOOL = `#!${process.execPath}
const fs = require('node:fs');
const path = require('node:path');
const folder = path.join(__dirname, '..');
const file = path.join(folder, 'state.json');
const all = JSON.parse(fs.readFileSync(file, 'utf8'));
const [action, name, payload] = process.argv.slice(2);
const keep = () => fs.writeFileSync(file, JSON.stringify(all));
const say = (words) => fs.appendFileSync(path.join(folder, 'console'), '(XEN) livepatch: ' + words + '\\n');
const fail = (error, words) => {
  keep();
  if (words) say(words);
  console.log('... failed');
  console.error('Error ' + error);
  process.exit(1);
};
const wrong = (found, wanted) => {
  console.log(name + ': is in the wrong state.\\nCurrent state: ' + found + '\\nExpected state: ' + wanted);
  process.exit(1);
};
if (action === 'list') {
  if (all.patches.length === 0) console.log('Nothing to list');
  else console.log(' ID | status | metadata\\n---');
  for (const one of all.patches) console.log(one.name + ' | ' + one.state + ' | ' + one.metadata);
  process.exit(0);
}
all.calls.push([action, name].join(' '));
if (all.refuse && all.refuse.action === action) {
  const { words } = all.refuse;
  delete all.refuse;
  fail('22: Invalid argument', words);
}
const one = all.patches.find((each) => each.name === name);
const applied = all.patches.filter((each) => each.state === 'APPLIED').sort((a, b) => a.at - b.at);
if (action === 'upload') {
  if (one) fail('17: File exists');
  const text = fs.readFileSync(payload, 'latin1');
  const from = text.indexOf('patch=' + name + '\\0');
  const words = text.slice(from, text.indexOf('\\0\\0', from)).split('\\0');
  all.patches.push({ name, state: 'CHECKED', metadata: words.filter((word) => word.includes('=')).join(';') });
} else if (!one) fail('2: No such file or directory');
else if (action === 'apply' || action === 'replace') {
  if (one.state !== 'CHECKED') wrong(one.state, 'CHECKED');
  if (action === 'replace') for (const each of applied) each.state = 'CHECKED';
  one.state = 'APPLIED';
  one.at = (all.at = (all.at || 0) + 1);
} else if (action === 'revert') {
  if (one.state !== 'APPLIED') wrong(one.state, 'APPLIED');
  const top = applied[applied.length - 1];
  if (top !== one) fail('16: Device or resource busy', name + ": can't unload. Top is " + top.name);
  one.state = 'CHECKED';
} else if (action === 'unload') {
  if (one.state !== 'CHECKED') wrong(one.state, 'CHECKED');
  all.patches = all.patches.filter((each) => each !== one);
}
keep();
console.log('... completed');
`;

/** Puts the host in front of the PATH of this process: whoever runs `ssh` from now on reaches it, by whatever name. */
export function fakeXen(): FakeXen {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-fake-xen-'));
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const programs = {
    ssh: SSH,
    'xen-livepatch': TOOL,
    xl: `#!/bin/sh\ncat '${join(folder, 'console')}'\n`,
    // Root is assumed there; here it may be anybody.
    sudo: '#!/bin/sh\nshift\nexec "$@"\n',
  };
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(bin, name), text);
    chmodSync(join(bin, name), 0o755);
  }
  const state = join(folder, 'state.json');
  const read = () =>
    JSON.parse(readFileSync(state, 'utf8')) as { calls: string[]; patches: unknown[]; refuse?: unknown };
  const path = process.env.PATH;
  process.env.PATH = `${bin}${delimiter}${path}`;
  const fake: FakeXen = {
    calls: () => read().calls,
    refuse: (action, words) => writeFileSync(state, JSON.stringify({ ...read(), refuse: { action, words } })),
    reset() {
      writeFileSync(state, JSON.stringify({ patches: [], calls: [] }));
      writeFileSync(join(folder, 'console'), '');
    },
    close() {
      process.env.PATH = path;
      rmSync(folder, { recursive: true, force: true });
    },
  };
  fake.reset();
  return fake;
}
