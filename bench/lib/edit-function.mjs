// A general edit of one function of a C file in the kernel's style, by rule: no file is treated in its own way.

/** A definition at the left margin: its name, and where the text between its braces begins and ends. */
function definitions(text) {
  const found = [];
  const head = /^(?!\s|#|struct\b[^(]*\{|union\b|enum\b|typedef\b|\/|\*|\})[^\n;={}]*?\b(\w+)\(([^;{}]*?)\)\s*\n\{\n/gm;
  for (let match = head.exec(text); match; match = head.exec(text)) {
    const from = match.index + match[0].length;
    const to = text.indexOf('\n}', from);
    if (to < 0) continue;
    const name = /(\w+)\(/.exec(match[0])?.[1];
    // SYSCALL_DEFINE and the like make other names of what stands there; start-up code is no matter for patches.
    const plain = !/\b__(init|exit|meminit|cpuinit)\b/.test(match[0]) && !/^[A-Z]/.test(name) && !name.startsWith('__');
    if (plain && !/^\s*#/m.test(text.slice(from, to))) found.push({ name, from, to });
  }
  return found;
}

const rules = [
  {
    how: 'another error code',
    apply(body) {
      const at = body.search(/return -E[A-Z]+;/);
      if (at < 0) return undefined;
      const old = /return -E[A-Z]+;/.exec(body)[0];
      return body.replace(old, () => (old.includes('EXDEV') ? 'return -EBADF;' : 'return -EXDEV;'));
    },
  },
  {
    how: 'a statement more',
    // In front of the last return: the line numbers of all that follows move.
    apply(body) {
      const at = body.lastIndexOf('\n\treturn ');
      return at < 0 ? undefined : `${body.slice(0, at)}\n\tcond_resched();\n${body.slice(at + 1)}`;
    },
  },
  {
    how: 'a condition turned round',
    apply(body) {
      const old = /\n\t+if \((\w+)\)/.exec(body);
      return old ? body.replace(old[0], () => old[0].replace(`(${old[1]})`, `(!${old[1]})`)) : undefined;
    },
  },
];

/**
 * Edits one function: which one and how depends on `seed` only.
 * @returns {{text: string, name: string, how: string} | undefined} undefined where no rule fits.
 */
export function editFunction(text, seed) {
  const all = definitions(text);
  for (let turn = 0; turn < rules.length; turn++) {
    const { how, apply } = rules[(seed + turn) % rules.length];
    // From the middle on, so that there is text whose lines move, and text whose lines do not.
    for (let i = 0; i < all.length; i++) {
      const { name, from, to } = all[(i + (all.length >> 1)) % all.length];
      const body = text.slice(from - 1, to);
      const changed = body.length < 4000 ? apply(body) : undefined;
      if (changed !== undefined && changed !== body)
        return { text: text.slice(0, from - 1) + changed + text.slice(to), name, how };
    }
  }
  return undefined;
}
