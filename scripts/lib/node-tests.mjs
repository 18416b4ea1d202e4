// Runs test files with Node's own runner and counts what came of them.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository } from './install.mjs';
import { run } from './run.mjs';

/** Relative paths of the `*.test.ts` files below the folders, sorted. */
export function testFiles(folders) {
  const found = [];
  for (const folder of folders) {
    if (folder.endsWith('.test.ts')) {
      if (existsSync(join(repository, folder))) found.push(folder);
      continue;
    }
    const root = join(repository, folder);
    if (!existsSync(root)) continue;
    for (const name of readdirSync(root, { recursive: true })) {
      if (name.endsWith('.test.ts') && !name.includes('node_modules')) found.push(join(folder, name));
    }
  }
  return found.sort();
}

/**
 * Runs the tests; their output goes to ours as it comes.
 * @param {{files: readonly string[], seconds: number, env?: Record<string, string>, parallel?: number}} options
 * @returns {Promise<{passed: number, failed: number, skipped: number, skips: string[], failures: string[], message?: string}>}
 */
export async function runNodeTests({ files, seconds, env = {}, parallel }) {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-tests-'));
  const tap = join(folder, 'tap');
  try {
    const args = [
      '--import',
      'tsx',
      '--test',
      ...(parallel ? [`--test-concurrency=${parallel}`] : []),
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      '--test-reporter=tap',
      `--test-reporter-destination=${tap}`,
      ...files,
    ];
    const result = await run(process.execPath, args, {
      cwd: repository,
      seconds,
      show: true,
      env: { ...process.env, ...env },
    });
    const counted = readTap(existsSync(tap) ? readFileSync(tap, 'utf8') : '');
    if (result.timedOut) return { ...counted, failed: counted.failed + 1, message: `no end within ${seconds} s` };
    if (result.code !== 0 && counted.failed === 0)
      return { ...counted, failed: 1, message: `the runner ended with status ${result.code}` };
    return counted;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Counts the leaves of a TAP stream (suites and files are only containers) and keeps the names of failures and skips. */
export function readTap(text) {
  const failures = [];
  const skips = [];
  const summary = { pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };
  for (const line of text.split('\n')) {
    const total = /^# (pass|fail|cancelled|skipped|todo) (\d+)$/.exec(line);
    if (total) summary[total[1]] = Number(total[2]);
    const skip = /^\s*ok \d+ - (.*?) # SKIP\s*(.*)$/.exec(line);
    if (skip) skips.push(`${skip[1]}${skip[2] ? `: ${skip[2]}` : ''}`);
    const failure = /^\s*not ok \d+ - (.*?)(?: # .*)?$/.exec(line);
    if (failure) failures.push(failure[1]);
  }
  return {
    passed: summary.pass,
    failed: summary.fail + summary.cancelled,
    skipped: summary.skipped + summary.todo,
    skips,
    failures,
  };
}
