// What every script prints with: stages with their time, coloured on a terminal only, plain lines in a log.

const tty = Boolean(process.stdout.isTTY) && !process.env.NO_COLOR;
const paint = (code) => (text) => (tty ? `\u001b[${code}m${text}\u001b[0m` : text);

export const bold = paint('1');
export const dim = paint('2');
export const red = paint('31');
export const green = paint('32');
export const yellow = paint('33');
export const blue = paint('36');

/** Whole-script clock, in seconds with one digit. */
export const elapsed = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/** Prints a heading for a step that follows. */
export function step(text) {
  console.log(`${blue('==>')} ${bold(text)}`);
}

/** Prints a detail under a step. */
export function note(text) {
  console.log(`    ${dim(text)}`);
}
