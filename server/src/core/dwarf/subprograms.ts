import { lazy } from '../elf/lazy.ts';
import { readInlined, readLocalTypes } from './body.ts';
import type { DwarfData } from './data.ts';
import type { Die } from './die.ts';
import * as s from './slots.ts';
import type {
  CodeRange,
  DwarfFunction,
  DwarfPrototype,
  InlinedCall,
  LineRow,
  SourceLocation,
  TypeRef,
} from './types.ts';

/** What functions need to know of the whole file once the scan is done. */
export interface FunctionContext {
  readonly data: DwarfData;
  typeIndex(key: number): TypeRef;
  subprogram(key: number): Subprogram | undefined;
}

/** A DW_TAG_subprogram as the scan leaves it: declaration, abstract instance, or concrete function. */
export class Subprogram {
  readonly key: number;
  readonly ownName: string | undefined;
  readonly linkageName: string | undefined;
  readonly at: SourceLocation | undefined;
  readonly external: boolean;
  readonly declaration: boolean;
  readonly noreturn: boolean;
  /** DW_AT_inline: DW_INL_inlined 1, DW_INL_declared_inlined 3 mean that it was inlined. */
  readonly inline: number;
  readonly typeKey: number;
  /** Abstract instance or declaration that this entry completes; -1 = none. */
  readonly originKey: number;
  /** The definition of something declared before: it lists its parameters anew, with their names. */
  readonly completesDeclaration: boolean;
  readonly ranges: readonly CodeRange[];
  readonly parameterKeys: { readonly name: string; readonly typeKey: number }[] = [];
  variadic = false;
  #parameters: DwarfFunction['parameters'] | undefined;

  constructor(data: DwarfData, die: Die) {
    this.key = die.key;
    this.ownName = die.string(s.AT_NAME);
    this.linkageName = die.string(s.AT_LINKAGE_NAME);
    this.at = die.unit.declaration(die);
    this.external = die.flag(s.AT_EXTERNAL);
    this.declaration = die.flag(s.AT_DECLARATION);
    this.noreturn = die.flag(s.AT_NORETURN);
    this.inline = die.number(s.AT_INLINE) ?? 0;
    this.typeKey = die.reference(s.AT_TYPE);
    this.originKey = die.has(s.AT_ABSTRACT_ORIGIN)
      ? die.reference(s.AT_ABSTRACT_ORIGIN)
      : die.reference(s.AT_SPECIFICATION);
    this.completesDeclaration = die.has(s.AT_SPECIFICATION);
    this.ranges = data.ranges.of(die);
  }

  addParameter(die: Die): void {
    this.parameterKeys.push({ name: die.string(s.AT_NAME) ?? '', typeKey: die.reference(s.AT_TYPE) });
  }

  /** Its parameters with resolved types; one list for all functions that refer to this entry. */
  parameters(context: FunctionContext): DwarfFunction['parameters'] {
    this.#parameters ??= this.parameterKeys.map(({ name, typeKey }) => ({
      name,
      type: typeKey >= 0 ? context.typeIndex(typeKey) : -1,
    }));
    return this.#parameters;
  }

  /** This entry and those that it completes, nearest first; cut at eight, since a crafted file may close a circle. */
  lineage(context: FunctionContext): readonly Subprogram[] {
    const list: Subprogram[] = [this];
    for (let next = context.subprogram(this.originKey); next && list.length < 8; ) {
      list.push(next);
      next = context.subprogram(next.originKey);
    }
    return list;
  }
}

/** Common view on an entry and those that it completes. */
class Merged {
  readonly #context: FunctionContext;
  readonly #entries: readonly Subprogram[];
  readonly name: string;
  readonly external: boolean;

  constructor(context: FunctionContext, entry: Subprogram) {
    this.#context = context;
    this.#entries = entry.lineage(context);
    this.name = this.#entries.find((e) => e.ownName !== undefined)?.ownName ?? '';
    this.external = this.#entries.some((e) => e.external);
  }

  get #signature(): Subprogram {
    // A concrete instance lists what is left of the parameters; the abstract one that it refers to has all of them.
    return this.#entries.find((e) => e.ownName !== undefined || e.completesDeclaration) ?? this.#entries[0]!;
  }
  get linkageName(): string | undefined {
    const found = this.#entries.find((e) => e.linkageName !== undefined)?.linkageName;
    return found === this.name ? undefined : found;
  }
  get decl(): SourceLocation | undefined {
    return this.#entries.find((e) => e.at)?.at;
  }
  get noreturn(): boolean {
    return this.#entries.some((e) => e.noreturn);
  }
  get variadic(): boolean {
    return this.#signature.variadic;
  }
  get returnType(): TypeRef {
    const entry = this.#entries.find((e) => e.typeKey >= 0);
    return entry ? this.#context.typeIndex(entry.typeKey) : -1;
  }
  get parameters(): DwarfFunction['parameters'] {
    return this.#signature.parameters(this.#context);
  }
}

/** A function with code. Its body is read when `inlined` or `localTypes` is first asked for. */
export class FunctionEntry implements DwarfFunction {
  readonly name: string;
  readonly linkageName?: string;
  readonly decl?: SourceLocation;
  readonly external: boolean;
  readonly ranges: readonly CodeRange[];
  readonly returnType: TypeRef;
  readonly variadic: boolean;
  readonly noreturn: boolean;
  readonly #parameters: () => DwarfFunction['parameters'];
  readonly #inlined: () => readonly InlinedCall[];
  readonly #localTypes: () => readonly TypeRef[];
  readonly #endLine: () => number | undefined;

  constructor(context: FunctionContext, entry: Subprogram) {
    const merged = new Merged(context, entry);
    this.name = merged.name;
    const { linkageName, decl } = merged;
    if (linkageName !== undefined) this.linkageName = linkageName;
    if (decl) this.decl = decl;
    this.external = merged.external;
    this.ranges = entry.ranges;
    this.returnType = merged.returnType;
    this.variadic = merged.variadic;
    this.noreturn = merged.noreturn;
    this.#parameters = lazy(() => merged.parameters);
    this.#inlined = lazy(() => readInlined(context, entry));
    this.#localTypes = lazy(() => readLocalTypes(context, entry));
    this.#endLine = lazy(() => lastLine(context.data, this));
  }

  get parameters(): DwarfFunction['parameters'] {
    return this.#parameters();
  }
  get inlined(): readonly InlinedCall[] {
    return this.#inlined();
  }
  get localTypes(): readonly TypeRef[] {
    return this.#localTypes();
  }
  get endLine(): number | undefined {
    return this.#endLine();
  }
}

/** Largest line of the function's own file in its line rows; inlined code from the same file above or below is left out by its ranges. */
function lastLine(data: DwarfData, fn: FunctionEntry): number | undefined {
  if (!fn.decl) return undefined;
  let last: number | undefined;
  for (const range of fn.ranges) {
    const rows = data.lines.rowsOf(range.section);
    const foreign = fn.inlined
      .flatMap((call) => call.ranges.filter((r) => r.section === range.section))
      .sort((a, b) => a.start - b.start);
    let next = 0;
    // Rows and ranges are sorted: the end of all ranges that began so far tells whether a row is inlined code.
    let inlinedUntil = 0;
    for (let i = firstAtOrAfter(rows, range.start); i < rows.length; i++) {
      const row = rows[i]!;
      if (row.offset >= range.end) break;
      for (; next < foreign.length && foreign[next]!.start <= row.offset; next++) {
        inlinedUntil = Math.max(inlinedUntil, foreign[next]!.end);
      }
      if (row.offset < inlinedUntil || row.line === 0 || row.file !== fn.decl.file) continue;
      if (row.line >= fn.decl.line && (last === undefined || row.line > last)) last = row.line;
    }
  }
  return last;
}

function firstAtOrAfter(rows: readonly LineRow[], offset: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]!.offset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Prototypes of all named entries; `defined` where a concrete or abstract instance exists. */
export function prototypesOf(context: FunctionContext, entries: readonly Subprogram[]): DwarfPrototype[] {
  const completed = new Set<Subprogram>();
  for (const entry of entries) {
    const [, ...origins] = entry.lineage(context);
    if (!entry.declaration) for (const origin of origins) completed.add(origin);
  }
  const list: DwarfPrototype[] = [];
  for (const entry of entries) {
    if (entry.ownName === undefined) continue;
    const merged = new Merged(context, entry);
    const parameters = lazy(() => merged.parameters);
    const { decl } = merged;
    list.push({
      name: entry.ownName,
      external: merged.external,
      defined: !entry.declaration || completed.has(entry),
      inlined: entry.inline === 1 || entry.inline === 3,
      ...(decl ? { decl } : {}),
      returnType: merged.returnType,
      get parameters() {
        return parameters();
      },
      variadic: merged.variadic,
    });
  }
  return list;
}
