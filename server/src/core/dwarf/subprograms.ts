import type { Abbrev } from './abbrev.ts';
import { type Locals, readInlined, readLocals } from './body.ts';
import type { DwarfData } from './data.ts';
import { Die } from './die.ts';
import { Damaged } from './reader.ts';
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

/** What stands in a function's own entry. */
interface Head {
  readonly ownName: string | undefined;
  readonly linkageName: string | undefined;
  readonly at: SourceLocation | undefined;
  readonly external: boolean;
  readonly declaration: boolean;
  readonly noreturn: boolean;
  readonly inline: number;
  readonly typeKey: number;
  readonly originKey: number;
  readonly completesDeclaration: boolean;
  readonly ranges: readonly CodeRange[];
}

const UNREADABLE: Head = {
  ownName: undefined,
  linkageName: undefined,
  at: undefined,
  external: false,
  declaration: true,
  noreturn: false,
  inline: 0,
  typeKey: -1,
  originKey: -1,
  completesDeclaration: false,
  ranges: [],
};

const NO_KEYS: readonly number[] = Object.freeze([]);

/** Read into for a moment only. */
const scratch = new Die();

/** A DW_TAG_subprogram where it stands: declaration, abstract instance, or concrete function. Read at the first look. */
export class Subprogram {
  /** Which of the functions of the file it is, in the order of the debug information. */
  readonly order: number;
  readonly key: number;
  variadic = false;
  /** It says where its code lies. */
  readonly hasCode: boolean;
  /** It completes another entry. */
  readonly completes: boolean;
  readonly #data: DwarfData;
  #parameterKeys: number[] | undefined;
  #head: Head | undefined;
  #parameters: DwarfFunction['parameters'] | undefined;

  constructor(data: DwarfData, order: number, key: number, { hasCode, completes }: Abbrev) {
    this.#data = data;
    this.order = order;
    this.key = key;
    this.hasCode = hasCode;
    this.completes = completes;
  }

  get ownName(): string | undefined {
    return (this.#head ?? this.#read()).ownName;
  }
  get linkageName(): string | undefined {
    return (this.#head ?? this.#read()).linkageName;
  }
  get at(): SourceLocation | undefined {
    return (this.#head ?? this.#read()).at;
  }
  get external(): boolean {
    return (this.#head ?? this.#read()).external;
  }
  get declaration(): boolean {
    return (this.#head ?? this.#read()).declaration;
  }
  get noreturn(): boolean {
    return (this.#head ?? this.#read()).noreturn;
  }
  /** DW_AT_inline: DW_INL_inlined 1, DW_INL_declared_inlined 3 mean that it was inlined. */
  get inline(): number {
    return (this.#head ?? this.#read()).inline;
  }
  get typeKey(): number {
    return (this.#head ?? this.#read()).typeKey;
  }
  /** Abstract instance or declaration that this entry completes; -1 = none. */
  get originKey(): number {
    return (this.#head ?? this.#read()).originKey;
  }
  /** The definition of something declared before: it lists its parameters anew, with their names. */
  get completesDeclaration(): boolean {
    return (this.#head ?? this.#read()).completesDeclaration;
  }
  get ranges(): readonly CodeRange[] {
    return (this.#head ?? this.#read()).ranges;
  }

  #read(): Head {
    this.#head = UNREADABLE;
    try {
      const die = this.#data.dieAt(this.key, scratch);
      if (!die) return UNREADABLE;
      this.#head = {
        ownName: die.string(s.AT_NAME),
        linkageName: die.string(s.AT_LINKAGE_NAME),
        at: die.unit.declaration(die),
        external: die.flag(s.AT_EXTERNAL),
        declaration: die.flag(s.AT_DECLARATION),
        noreturn: die.flag(s.AT_NORETURN),
        inline: die.number(s.AT_INLINE) ?? 0,
        typeKey: die.reference(s.AT_TYPE),
        originKey: die.has(s.AT_ABSTRACT_ORIGIN)
          ? die.reference(s.AT_ABSTRACT_ORIGIN)
          : die.reference(s.AT_SPECIFICATION),
        completesDeclaration: die.has(s.AT_SPECIFICATION),
        ranges: this.#data.ranges.of(die),
      };
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      this.#data.log.add('dwarf.info', `A function cannot be read: ${error.message}`, this.key);
    }
    return this.#head;
  }

  addParameter(key: number): void {
    if (this.#parameterKeys) this.#parameterKeys.push(key);
    else this.#parameterKeys = [key];
  }
  get parameterKeys(): readonly number[] {
    return this.#parameterKeys ?? NO_KEYS;
  }

  /** Its parameters with resolved types; one list for all functions that refer to this entry. */
  parameters(context: FunctionContext): DwarfFunction['parameters'] {
    this.#parameters ??= this.parameterKeys.map((key) => this.#parameter(context, key));
    return this.#parameters;
  }

  #parameter(context: FunctionContext, key: number): DwarfFunction['parameters'][number] {
    try {
      const die = this.#data.dieAt(key, scratch);
      const typeKey = die?.reference(s.AT_TYPE) ?? -1;
      return { name: die?.string(s.AT_NAME) ?? '', type: typeKey >= 0 ? context.typeIndex(typeKey) : -1 };
    } catch (error) {
      if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
      this.#data.log.add('dwarf.info', `A parameter cannot be read: ${error.message}`, key);
      return { name: '', type: -1 };
    }
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
  readonly #entry: Subprogram;
  #lineage: readonly Subprogram[] | undefined;

  constructor(context: FunctionContext, entry: Subprogram) {
    this.#context = context;
    this.#entry = entry;
  }

  get #entries(): readonly Subprogram[] {
    this.#lineage ??= this.#entry.lineage(this.#context);
    return this.#lineage;
  }
  get name(): string {
    return this.#entries.find((e) => e.ownName !== undefined)?.ownName ?? '';
  }
  get external(): boolean {
    return this.#entries.some((e) => e.external);
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
    // Clang notes the ellipsis only where the code is.
    return this.#signature.variadic || this.#entry.variadic;
  }
  get returnType(): TypeRef {
    const entry = this.#entries.find((e) => e.typeKey >= 0);
    return entry ? this.#context.typeIndex(entry.typeKey) : -1;
  }
  get parameters(): DwarfFunction['parameters'] {
    return this.#signature.parameters(this.#context);
  }
}

/** A function with code. What it refers to is looked up when it is asked for, and its body read with `inlined` or `localTypes`. */
export class FunctionEntry implements DwarfFunction {
  readonly ranges: readonly CodeRange[];
  readonly #context: FunctionContext;
  readonly #entry: Subprogram;
  #known: Merged | undefined;
  #inlined: readonly InlinedCall[] | undefined;
  #locals: Locals | undefined;
  /** null: there is none. */
  #endLine: number | null | undefined;

  constructor(context: FunctionContext, entry: Subprogram) {
    this.ranges = entry.ranges;
    this.#context = context;
    this.#entry = entry;
  }

  get #merged(): Merged {
    this.#known ??= new Merged(this.#context, this.#entry);
    return this.#known;
  }
  get name(): string {
    return this.#merged.name;
  }
  get linkageName(): string | undefined {
    return this.#merged.linkageName;
  }
  get decl(): SourceLocation | undefined {
    return this.#merged.decl;
  }
  get external(): boolean {
    return this.#merged.external;
  }
  get returnType(): TypeRef {
    return this.#merged.returnType;
  }
  get parameters(): DwarfFunction['parameters'] {
    return this.#merged.parameters;
  }
  get variadic(): boolean {
    return this.#merged.variadic;
  }
  get noreturn(): boolean {
    return this.#merged.noreturn;
  }
  get inlined(): readonly InlinedCall[] {
    this.#inlined ??= readInlined(this.#context, this.#entry);
    return this.#inlined;
  }
  get localTypes(): readonly TypeRef[] {
    this.#locals ??= readLocals(this.#context, this.#entry);
    return this.#locals.types;
  }
  get variableTypes(): readonly TypeRef[] {
    this.#locals ??= readLocals(this.#context, this.#entry);
    return this.#locals.variables;
  }
  get endLine(): number | undefined {
    if (this.#endLine === undefined) this.#endLine = lastLine(this.#context.data, this) ?? null;
    return this.#endLine ?? undefined;
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
  const open = new Set<Subprogram>();
  for (const entry of entries) {
    if (entry.declaration || entry.originKey < 0) continue;
    const [, ...origins] = entry.lineage(context);
    for (const origin of origins) {
      completed.add(origin);
      if (entry.variadic) open.add(origin);
    }
  }
  const list: DwarfPrototype[] = [];
  for (const entry of entries) {
    const name = entry.ownName;
    if (name === undefined) continue;
    list.push(new Prototype(context, entry, name, !entry.declaration || completed.has(entry), open.has(entry)));
  }
  return list;
}

class Prototype implements DwarfPrototype {
  readonly name: string;
  readonly defined: boolean;
  readonly inlined: boolean;
  /** The code of the function has an ellipsis. */
  readonly #open: boolean;
  readonly #merged: Merged;

  constructor(context: FunctionContext, entry: Subprogram, name: string, defined: boolean, open: boolean) {
    this.name = name;
    this.defined = defined;
    this.#open = open;
    this.inlined = entry.inline === 1 || entry.inline === 3;
    this.#merged = new Merged(context, entry);
  }

  get external(): boolean {
    return this.#merged.external;
  }
  get decl(): SourceLocation | undefined {
    return this.#merged.decl;
  }
  get returnType(): TypeRef {
    return this.#merged.returnType;
  }
  get parameters(): DwarfFunction['parameters'] {
    return this.#merged.parameters;
  }
  get variadic(): boolean {
    return this.#open || this.#merged.variadic;
  }
}
