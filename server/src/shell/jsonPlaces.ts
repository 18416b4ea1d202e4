/** A JSON value that remembers where it stands in the text. Offsets count UTF-16 units from 0. */
export interface JsonNode {
  readonly value: unknown;
  readonly offset: number;
  /** Behind its last character. */
  readonly end: number;
  /** Members of an object, with the offset of the key. */
  readonly members?: readonly { readonly key: string; readonly keyOffset: number; readonly node: JsonNode }[];
  readonly items?: readonly JsonNode[];
}

/** Line and column from 1. */
export function lineAndColumn(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: before.at(-1)!.length + 1 };
}

/** JSON (RFC 8259) plus `//` and block comments, as VS Code's own settings files allow. */
class Reader {
  private at = 0;
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  document(): JsonNode {
    const node = this.value(0);
    this.blank();
    if (this.at < this.text.length) this.fail('something follows the value');
    return node;
  }

  private fail(message: string): never {
    const { line, column } = lineAndColumn(this.text, this.at);
    throw new Error(`line ${line}, column ${column}: ${message}`);
  }

  private blank(): void {
    const pattern = /(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*/y;
    pattern.lastIndex = this.at;
    pattern.exec(this.text);
    this.at = pattern.lastIndex || this.at;
  }

  private take(char: string): boolean {
    this.blank();
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  private value(depth: number): JsonNode {
    if (depth > 64) this.fail('nested too deeply');
    this.blank();
    const offset = this.at;
    if (this.take('{')) {
      const members: { key: string; keyOffset: number; node: JsonNode }[] = [];
      const value: Record<string, unknown> = {};
      if (!this.take('}')) {
        do {
          this.blank();
          const keyOffset = this.at;
          const key = this.scalar();
          if (typeof key !== 'string') this.fail('a name in quotes was expected');
          if (!this.take(':')) this.fail('`:` was expected');
          const node = this.value(depth + 1);
          members.push({ key, keyOffset, node });
          Object.defineProperty(value, key, {
            value: node.value,
            enumerable: true,
            configurable: true,
            writable: true,
          });
        } while (this.take(','));
        if (!this.take('}')) this.fail('`,` or `}` was expected');
      }
      return { value, offset, end: this.at, members };
    }
    if (this.take('[')) {
      const items: JsonNode[] = [];
      if (!this.take(']')) {
        do items.push(this.value(depth + 1));
        while (this.take(','));
        if (!this.take(']')) this.fail('`,` or `]` was expected');
      }
      return { value: items.map((item) => item.value), offset, end: this.at, items };
    }
    const value = this.scalar();
    return { value, offset, end: this.at };
  }

  private scalar(): unknown {
    const pattern = /"(?:[^"\\\n]|\\.)*"|-?\d[\d.eE+-]*|true|false|null/y;
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found === undefined) this.fail('a value was expected');
    try {
      const value: unknown = JSON.parse(found);
      this.at += found.length;
      return value;
    } catch {
      return this.fail(`\`${found}\` is not valid`);
    }
  }
}

/** Parses JSON and keeps the places. Throws an Error whose message begins with line and column. */
export function parseJson(text: string): JsonNode {
  return new Reader(text.replace(/^\uFEFF/, ' ')).document();
}
