// Runs programs for the scripts: argument vectors only, a time limit on each, and children that die with us.
import { spawn, spawnSync } from 'node:child_process';

const running = new Set();
const cleanups = new Set();
let hooked = false;
let ending = false;

/** Kills what is still running when the script itself is told to stop; work that must be undone first gets five seconds. */
function hook() {
  if (hooked) return;
  hooked = true;
  process.on('exit', killAll);
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ]) {
    process.on(signal, async () => {
      if (ending) process.exit(code);
      ending = true;
      const undone = Promise.allSettled([...cleanups].map((cleanup) => cleanup()));
      await Promise.race([undone, new Promise((resolve) => setTimeout(resolve, 5000))]);
      process.exit(code);
    });
  }
}

/** Has `cleanup` run when the script is interrupted (Ctrl-C, a closed terminal, kill). */
export function whenInterrupted(cleanup) {
  hook();
  cleanups.add(cleanup);
}

function killTree(child, signal = 'SIGKILL') {
  if (!child.pid || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal);
  }
}

function killAll() {
  for (const child of running) killTree(child);
}

/**
 * Starts a program in a process group of its own, to be stopped with us.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 */
export function start(program, args, options = {}) {
  hook();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options, detached: true });
  running.add(child);
  child.on('exit', () => running.delete(child));
  child.on('error', () => running.delete(child));
  return child;
}

/** Stops a program that `start` began: politely, then not. */
export async function stop(child, grace = 3000) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  killTree(child, 'SIGTERM');
  const timer = setTimeout(() => killTree(child), grace);
  await gone;
  clearTimeout(timer);
}

/**
 * Runs a program to its end.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv, seconds?: number, show?: boolean, inherit?: boolean, input?: string}} [options]
 *   `show`: its output goes to ours as it comes, and is returned as well. `inherit`: it has our own output, a terminal too.
 * @returns {Promise<{code: number, stdout: string, stderr: string, timedOut: boolean, milliseconds: number}>}
 *   `code` is 127 where the program does not exist, 124 where the time ran out.
 */
export function run(program, args, options = {}) {
  const began = performance.now();
  return new Promise((resolve) => {
    const child = start(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: options.inherit
        ? ['ignore', 'inherit', 'inherit']
        : [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    let timedOut = false;
    const timer = setTimeout(
      () => {
        timedOut = true;
        killTree(child);
      },
      (options.seconds ?? 600) * 1000,
    );
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      stdout += text;
      if (options.show) process.stdout.write(text);
    });
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      stderr += text;
      if (options.show) process.stderr.write(text);
    });
    if (options.input !== undefined) child.stdin.end(options.input);
    const finish = (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr, timedOut, milliseconds: performance.now() - began });
    };
    child.on('error', (error) => {
      stderr += String(error.message);
      finish(127);
    });
    // `close`, not `exit`: the pipes have been drained by then. A grandchild that keeps them open must not hold us.
    child.on('exit', () => setTimeout(() => child.stdout?.destroy(), 2000).unref());
    child.on('close', (code) => finish(timedOut ? 124 : (code ?? 1)));
  });
}

/** Like `run`, but throws with the program's own words when it fails. */
export async function must(program, args, options = {}) {
  const result = await run(program, args, options);
  if (result.code !== 0) {
    const why = result.timedOut ? `gave no result in ${options.seconds ?? 600} s` : `ended with status ${result.code}`;
    const tail = `${result.stdout}\n${result.stderr}`.trim().split('\n').slice(-30).join('\n');
    throw new Error(`${program} ${args.join(' ')}: ${why}\n${tail}`);
  }
  return result;
}

/** True where a program of that name is on the path. */
export function onPath(program) {
  return spawnSync('which', [program], { stdio: 'ignore' }).status === 0;
}
