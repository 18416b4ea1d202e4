/** One simple command of a shell text, and the operator that follows it. */
export interface ShellStep {
  /** Leading `NAME=value` assignments, in order. */
  readonly assignments: readonly string[];
  readonly words: readonly string[];
  /** Operator after the step; undefined at the end. */
  readonly operator?: string;
}

const OPERATORS = ['&&', '||', ';;', '>>', '<<', ';', '|', '&', '>', '<', '(', ')', '\n'];
/** Characters that a backslash escapes inside double quotes (POSIX.1-2017, 2.2.3). */
const ESCAPED_IN_DOUBLE = '$`"\\\n';

/**
 * Splits a command text into words as a POSIX shell does (POSIX.1-2017 Shell Command Language, 2.2 Quoting, 2.3 Token
 * Recognition), without expansion: `$`, backquotes, globs and `~` stay as they are, as the JSON Compilation Database
 * specification asks. Returns steps separated by operators; a text without operators is one step.
 * Unterminated quotes end at the end of the text.
 */
export function splitSteps(text: string): ShellStep[] {
  const steps: ShellStep[] = [];
  let assignments: string[] = [];
  let words: string[] = [];
  let word: string | undefined;
  /** An assignment counts only where its name and `=` are not quoted. */
  let plainPrefix = true;

  const endWord = () => {
    if (word === undefined) return;
    if (words.length === 0 && plainPrefix && /^[A-Za-z_][A-Za-z0-9_]*=/.test(word)) assignments.push(word);
    else words.push(word);
    word = undefined;
    plainPrefix = true;
  };
  const endStep = (operator?: string) => {
    endWord();
    if (words.length > 0 || assignments.length > 0 || (operator !== undefined && operator !== '\n')) {
      steps.push({ assignments, words, ...(operator === undefined ? {} : { operator }) });
    }
    assignments = [];
    words = [];
  };
  const quoteSeen = () => {
    if (!(word ?? '').includes('=')) plainPrefix = false;
    word ??= '';
  };

  for (let at = 0; at < text.length; ) {
    const char = text[at]!;
    if (char === '\\') {
      if (text[at + 1] !== '\n') {
        quoteSeen();
        word += text[at + 1] ?? '\\';
      }
      at += 2;
    } else if (char === "'") {
      quoteSeen();
      const end = text.indexOf("'", at + 1);
      word += text.slice(at + 1, end < 0 ? undefined : end);
      at = end < 0 ? text.length : end + 1;
    } else if (char === '"') {
      quoteSeen();
      let quoted = '';
      at += 1;
      while (at < text.length && text[at] !== '"') {
        if (text[at] === '\\' && at + 1 < text.length && ESCAPED_IN_DOUBLE.includes(text[at + 1]!)) {
          if (text[at + 1] !== '\n') quoted += text[at + 1];
          at += 2;
        } else {
          quoted += text[at];
          at += 1;
        }
      }
      word += quoted;
      at += 1;
    } else if (char === ' ' || char === '\t' || char === '\r') {
      endWord();
      at += 1;
    } else if (char === '#' && word === undefined) {
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end;
    } else {
      const operator = OPERATORS.find((candidate) => text.startsWith(candidate, at));
      if (operator !== undefined) {
        endStep(operator);
        at += operator.length;
      } else {
        word = (word ?? '') + char;
        at += 1;
      }
    }
  }
  endStep();
  return steps;
}

/** The argument vector of a step: assignments go through `env`, which runs the same without a shell. */
export function stepArguments(step: ShellStep): string[] {
  return step.assignments.length > 0 ? ['env', ...step.assignments, ...step.words] : [...step.words];
}

/** Writes an argument vector as a command that can be pasted into a shell. For logs; nothing here is ever run by a shell. */
export function quoteCommand(args: readonly string[]): string {
  return args
    .map((arg) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`))
    .join(' ');
}
