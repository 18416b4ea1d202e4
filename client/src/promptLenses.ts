import type { CodeLens, TextDocument } from 'vscode';

/** Milliseconds that an answer may take before what was known last is shown in its place. */
const PATIENCE = 250;

const isSame = (one: readonly CodeLens[], other: readonly CodeLens[]): boolean => {
  const text = (lenses: readonly CodeLens[]) => JSON.stringify(lenses.map(({ range, command }) => [range, command]));
  return text(one) === text(other);
};

/**
 * Lenses that VS Code never waits for. It asks after each change as late as the answers before came (up to a minute, anew with each
 * change), and shows those of all providers together: one slow answer, while a server compares a large unit, would keep lenses
 * old long after. Here the lenses of before stand in for an answer that is late, and the editor is told when it has come.
 */
export class PromptLenses {
  readonly #tell: (document: TextDocument) => void;
  /** The newest answer about each document, with the number of its question. */
  readonly #known = new WeakMap<TextDocument, { readonly question: number; readonly lenses: CodeLens[] }>();
  #questions = 0;

  /** `tell` is to make the editor ask again. */
  constructor(tell: (document: TextDocument) => void) {
    this.#tell = tell;
  }

  /** The lenses that `ask` finds, if it does at once; null from it is no answer, as after the end of a server. */
  async provide(document: TextDocument, ask: () => Promise<CodeLens[] | null | undefined>): Promise<CodeLens[]> {
    const question = ++this.#questions;
    let isLate = false;
    const asked = ask().then(
      (lenses) => {
        if (!lenses) return;
        const before = this.#known.get(document);
        if (before && before.question > question) return;
        this.#known.set(document, { question, lenses });
        if (isLate && !isSame(before?.lenses ?? [], lenses)) this.#tell(document);
      },
      // The server ended, which makes the editor ask again.
      () => {},
    );
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE);
    });
    await Promise.race([asked, patience]);
    clearTimeout(timer);
    isLate = true;
    return this.#known.get(document)?.lenses ?? [];
  }
}
