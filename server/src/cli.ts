// The command line: `livepatch COMMAND`. The same core as the editor, without an editor.
import { setFlagsFromString } from 'node:v8';
import { runCli } from './cli/run.ts';

// A process of a second or two: half as much optimising compilation costs a tenth more on the main thread and saves a fifth of
// the processor time in all, which counts on a busy machine. The flag is V8's own, known in these versions of Node.
const [major = 0] = process.versions.node.split('.').map(Number);
if (major >= 20 && major <= 24) setFlagsFromString('--interrupt-budget=300000');

const stop = new AbortController();
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The first one lets the command undo what it began; the second one does not wait.
    if (interrupted) process.exit(130);
    interrupted = true;
    stop.abort();
    // Whoever does not listen, a read from a pipe that nobody writes to for instance, does not hold the user up.
    setTimeout(() => process.exit(130), 5000).unref();
  });
}
// Status 1 means blocked: a fault of ours must not look like it.
process.on('uncaughtException', (error) => {
  process.stderr.write(`livepatch: unexpected: ${error.stack ?? error.message}\n`);
  process.exit(2);
});
// A closed pipe (`livepatch diff ... | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

runCli(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  cwd: process.cwd(),
  env: process.env,
  colour: Boolean(process.stdout.isTTY) && !process.env.NO_COLOR,
  width: process.stdout.columns ?? 100,
  signal: stop.signal,
}).then((status) => {
  process.exitCode = status;
});
