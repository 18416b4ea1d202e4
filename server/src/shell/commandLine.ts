import { basename, dirname, extname, isAbsolute, resolve } from 'node:path';
import type { CompileCommand } from './types.ts';

/** Options whose value is the next argument (gcc and clang, C language). */
const SEPARATE = new Set(
  (
    '-o -x -I -D -U -L -l -A -B -T -u -z -e -F -G -isystem -iquote -idirafter -include -imacros -iprefix -iwithprefix ' +
    '-iwithprefixbefore -isysroot -include-pch -imultilib -Xlinker -Xassembler -Xpreprocessor -Xclang -Xanalyzer -mllvm -MF -MT -MQ ' +
    '-MJ -aux-info -dumpbase -dumpbase-ext -dumpdir -target --param -arch -wrapper -specs --sysroot --output --serialize-diagnostics ' +
    '-serialize-diagnostics -ivfsoverlay -resource-dir -gcc-toolchain'
  ).split(' '),
);

/** Options that name a file or folder that the compiler reads: absolute paths in them move into the mirror. */
const READS = (
  '-I -isystem -iquote -idirafter -include -imacros -iprefix -isysroot -include-pch -B -L -F --sysroot= --sysroot -fplugin= -specs= ' +
  '-fprofile-use= -fprofile-instr-use= -fprofile-sample-use= -fauto-profile= -fsanitize-blacklist= -fsanitize-ignorelist= ' +
  '-fsanitize-coverage-allowlist= -ivfsoverlay -frandomize-layout-seed-file='
).split(' ');

const PREFIX_MAPS = ['-ffile-prefix-map=', '-fdebug-prefix-map=', '-fmacro-prefix-map=', '-fprofile-prefix-map='];

/** Options that write other files or dumps, and nothing that the object depends on. Whole argument. */
const DROPPED = [
  /^-M(M?D|P|G|M)?$/,
  /^-save-temps(=.*)?$/,
  /^--save-temps(=.*)?$/,
  /^-gsplit-dwarf(=.*)?$/,
  /^-ftest-coverage$/,
  /^-fdump-/,
  /^-d[A-Z]*[a-zA-Z]?=?.*\.dump$/,
  /^-fstack-usage$/,
  /^-fcallgraph-info(=.*)?$/,
  /^-fopt-info-?.*=.*$/,
  /^-ftime-trace(=.*)?$/,
  /^-fsave-optimization-record(=.*)?$/,
  /^-foptimization-record-file=.*$/,
  /^-fdiagnostics-color(=.*)?$/,
  /^-fcolor-diagnostics$/,
  /^-fdiagnostics-format=.*$/,
  /^-fprofile-note=.*$/,
  /^-fdeps-(file|format|target)=.*$/,
  /^-fmodule-output(=.*)?$/,
];
const DROPPED_WITH_VALUE = new Set(
  '-o --output -MF -MT -MQ -MJ -aux-info -dumpbase -dumpbase-ext -dumpdir --serialize-diagnostics -serialize-diagnostics'.split(
    ' ',
  ),
);
const DROPPED_JOINED = ['-MF', '-MT', '-MQ', '--output=', '-aux-info='];

/** Programs that only stand in front of the compiler to cache or to distribute; without them the same compiler runs here. */
const LAUNCHERS = new Set(['ccache', 'sccache', 'distcc', 'icecc', 'buildcache', 'fastbuild']);

/** Programs that only say how urgently the next one runs, or how long it took; with their options, and numbers for these. */
const RUNNERS = new Set(['nice', 'ionice', 'time', 'chrt', 'taskset', 'nohup', 'setsid', 'stdbuf']);
const ASSIGNMENT = /^[A-Za-z_]\w*=/;

/** Added at the end of every command, so that functions and data can be told apart, and seen with their types. */
export const ADDED = ['-g', '-ffunction-sections', '-fdata-sections'] as const;

/** An argument with its place in the command's meaning. */
type Piece =
  | { readonly kind: 'option'; readonly text: string }
  | { readonly kind: 'value'; readonly option: string; readonly text: string }
  | { readonly kind: 'input'; readonly text: string };

/** Splits a command after the compiler's name into options, options with a separate value, and input files. */
function pieces(args: readonly string[]): Piece[] {
  const found: Piece[] = [];
  for (let at = 0; at < args.length; at++) {
    const text = args[at]!;
    if (SEPARATE.has(text) && at + 1 < args.length) found.push({ kind: 'value', option: text, text: args[++at]! });
    else if (text.startsWith('-') && text !== '-') found.push({ kind: 'option', text });
    else found.push({ kind: 'input', text });
  }
  return found;
}

/** Where the compiler itself stands in an argument vector that may begin with `env A=B`, `nice` or a launcher such as ccache. */
export function compilerIndex(args: readonly string[]): number {
  let at = 0;
  const skip = (pattern: RegExp) => {
    while (args[at] !== undefined && pattern.test(args[at]!)) at++;
  };
  for (; args[at] !== undefined; ) {
    const name = basename(args[at]!);
    if (name === 'env' || (LAUNCHERS.has(name) && !args[at + 1]?.startsWith('-'))) {
      at++;
      skip(ASSIGNMENT);
    } else if (RUNNERS.has(name)) {
      at++;
      skip(/^-|^(0x[\da-f]+|[\d,:-]+)$/i);
    } else break;
  }
  return Math.min(at, args.length - 1);
}

/**
 * Absolute path of the object that a command writes; undefined for a command that compiles and links in one. Without `-o`, the source's base name with `.o` in the working
 * directory, as compilers do.
 */
export function outputOf(args: readonly string[], directory: string, file?: string): string | undefined {
  let output: string | undefined;
  let source = file;
  let compiles = false;
  for (const piece of pieces(args.slice(compilerIndex(args) + 1))) {
    if (piece.kind === 'value' && (piece.option === '-o' || piece.option === '--output')) output = piece.text;
    else if (piece.kind === 'option' && /^-o./.test(piece.text)) output = piece.text.slice(2);
    else if (piece.kind === 'option' && piece.text.startsWith('--output=')) output = piece.text.slice(9);
    else if (piece.kind === 'option' && piece.text === '-c') compiles = true;
    else if (piece.kind === 'input' && /\.(c|i|s|S|sx)$/.test(piece.text)) source ??= piece.text;
  }
  // Without -c the command links: what it writes is no object.
  if (!compiles) return undefined;
  if (output !== undefined) return resolve(directory, output);
  if (source === undefined) return undefined;
  return resolve(directory, `${basename(source, extname(source))}.o`);
}

/** Paths under a mirrored folder, in another place of the disk. */
export interface PathMap {
  /** Absolute path in the mirror for an absolute path, or undefined where the path is not mirrored. */
  map(path: string): string | undefined;
  /** `MIRROR` → real prefixes for the compiler's prefix maps, one for each spelling of a mirrored folder. */
  readonly prefixes: readonly { readonly mirror: string; readonly real: string }[];
}

/** A command made ready to run in scratch space. */
export interface PreparedCommand {
  readonly arguments: readonly string[];
  readonly directory: string;
}

/** Where the outputs go, and what the sources are read through. */
export interface Redirect {
  /** Absolute path of the object to write. */
  readonly object: string;
  /** Absolute path of the dependency file to write. */
  readonly depfile: string;
  /** Sources come from a mirror. */
  readonly mirror?: PathMap;
  /** Appended as they are. */
  readonly extra?: readonly string[];
  /** `-MM`: only list what is included, write no object. */
  readonly scanOnly?: boolean;
  /** `-E`: what the compiler gets to see, all definitions of macros included, is written instead of the object. */
  readonly textOnly?: boolean;
}

/** Of `READS`, what the preprocessor looks for files in: which ones it took, the dependency file tells. */
const SEARCHED = /^-(I|isystem|iquote|idirafter|include$|imacros|iprefix|isysroot|L|F)|^--sysroot/;

/**
 * Whether the object follows from what the preprocessor hands on, the command and the compiler: no option names other files that the compiler or the
 * assembler would read, such as profiles and plugins.
 */
export function readsNothingElse(args: readonly string[]): boolean {
  return pieces(args.slice(compilerIndex(args) + 1)).every((piece) => {
    if (piece.kind === 'input') return !piece.text.startsWith('@');
    const text = piece.kind === 'value' ? piece.option : piece.text;
    if (READS.some((option) => text.startsWith(option)) && !SEARCHED.test(text)) return false;
    if (/^-(Xclang|Xassembler|wrapper|plugin|load)$|^-Wa,.*@|^-f(branch-probabilities|c?modules)/.test(text))
      return false;
    return true;
  });
}

/** Options of link-time optimisation in force at the end of the command. */
function usesLto(args: readonly string[]): boolean {
  let lto = false;
  for (const arg of args) {
    if (/^-flto(=.*)?$/.test(arg)) lto = arg !== '-flto=none';
    else if (arg === '-fno-lto') lto = false;
  }
  return lto;
}

/** Removes the parts of `-Wp,...` that write dependencies, and of `-Wa,...` that write listings; undefined where nothing is left. */
function trimPassed(text: string): string | undefined {
  const parts = text.split(',');
  const kept: string[] = [];
  const preprocessor = parts[0] === '-Wp';
  for (let at = 1; at < parts.length; at++) {
    const part = parts[at]!;
    if (preprocessor && /^-M(M?D|F|T|Q)$/.test(part)) at++;
    else if (preprocessor && /^-M/.test(part)) continue;
    else if (!preprocessor && (/^-a[a-z]*(=.*)?$/.test(part) || /^--MD(=.*)?$/.test(part))) {
      if (part === '--MD') at++;
    } else kept.push(part);
  }
  return kept.length > 0 ? [parts[0], ...kept].join(',') : undefined;
}

/** Old and new prefix of a user's own map option. */
function readMap(option: string, text: string): { old: string; replacement: string } {
  const [old, ...rest] = text.slice(option.length).split('=');
  return { old: old!, replacement: rest.join('=') };
}

/**
 * A user's own map where a mirror is used. Of a folder inside a mirrored one: `inner`, the same for the mirror's folder as
 * well. Of any other: `outer`, which has to come before the mirror's own maps, since it may fit the mirror's place too.
 * -ffile-prefix-map is taken apart: gcc handles it after all -fmacro-prefix-map options, whatever the order.
 */
function splitUserMap(text: string, mirror: PathMap): { outer: string[]; inner: string[] } {
  const option = PREFIX_MAPS.find((prefix) => text.startsWith(prefix))!;
  const { old, replacement } = readMap(option, text);
  const options = option === '-ffile-prefix-map=' ? ['-fmacro-prefix-map=', '-fdebug-prefix-map='] : [option];
  const same = options.map((name) => `${name}${old}=${replacement}`);
  const above = mirror.prefixes.some(({ real }) => real.startsWith(old));
  const mapped = isAbsolute(old) && !above ? mirror.map(old.replace(/(.)\/+$/, '$1')) : undefined;
  if (mapped === undefined) return { outer: same, inner: [] };
  const moved = options.map((name) => `${name}${mapped}${old.endsWith('/') ? '/' : ''}=${replacement}`);
  return { outer: [], inner: [...same, ...moved] };
}

/** The folder above the first name with a `=`: there the option's old prefix would end. A mirror's path ends with the real one. */
function withoutEquals(prefix: PathMap['prefixes'][number]): PathMap['prefixes'][number] {
  const { mirror, real } = prefix;
  const at = real.indexOf('=');
  if (at < 0 || !mirror.endsWith(real)) return prefix;
  const folder = real.slice(0, real.lastIndexOf('/', at));
  return { mirror: mirror.slice(0, mirror.length - real.length) + folder, real: folder };
}

/**
 * Maps that name the mirror's paths back, for `__FILE__` and for debug information: to what the user's own maps make of the
 * real path. One option for each prefix: of two with the same prefix, gcc takes the last and clang (to 16) the first.
 */
function mapsBack(args: readonly string[], mirror: PathMap): string[] {
  return ['macro', 'debug'].flatMap((kind) => {
    const own = [`-f${kind}-prefix-map=`, '-ffile-prefix-map='].flatMap((option) =>
      args.filter((arg) => arg.startsWith(option)).map((arg) => readMap(option, arg)),
    );
    const maps = mirror.prefixes.map((prefix) => {
      const { mirror: from, real } = withoutEquals(prefix);
      const last = own.findLast(({ old }) => old !== '' && real.startsWith(old));
      const named = last ? last.replacement + real.slice(last.old.length) : real;
      return `-f${kind}-prefix-map=${from}=${named}`;
    });
    return [...new Set(maps)];
  });
}

/** Moves an absolute path in an option that names something to read. */
function mapReads(text: string, mirror: PathMap): string {
  const option = READS.find((prefix) => text.startsWith(prefix) && text.length > prefix.length);
  if (option === undefined) return text;
  const path = text.slice(option.length);
  return isAbsolute(path) ? option + (mirror.map(path) ?? path) : text;
}

/**
 * The user's exact command with its outputs redirected into scratch space: every code-generating option stays; what writes
 * other files (dependency files, dumps, listings, coverage notes) goes; `-g -ffunction-sections -fdata-sections` come last.
 * With a mirror, absolute paths of inputs move there and prefix maps name them back, so that `__FILE__`, the file
 * symbol and the debug paths are those of the real build.
 * @returns a sentence that says why, where the command cannot be used for live patches.
 */
export function prepareCommand(command: CompileCommand, to: Redirect): PreparedCommand | string {
  const all = command.arguments;
  const at = compilerIndex(all);
  const args = all.slice(at + 1);
  if (all.slice(0, at + 2).some((arg) => /(^|[/-])libtool$/.test(arg))) {
    return (
      `The command of ${command.file} runs libtool, a script that calls the compiler with options of its own: which ones, the command does not say. ` +
      'Record what is really run: `livepatch record -- make`.'
    );
  }
  if (usesLto(args)) {
    return (
      `${command.file} is built with link-time optimisation (-flto): its object holds no machine code, and the linker mixes ` +
      'functions of several files. Build the program without -flto (or with -fno-lto) to live patch it.'
    );
  }
  if (args.some((arg) => arg === '-E' || arg === '-S' || arg === '-fsyntax-only' || arg === '-emit-llvm')) {
    return `The command of ${command.file} makes no object file (it has -E, -S, -fsyntax-only or -emit-llvm).`;
  }
  const mirror = to.mirror;
  const source = resolve(command.directory, command.file);
  const list = pieces(args);
  const links = !list.some((piece) => piece.kind === 'option' && piece.text === '-c');
  const directory = mirror?.map(command.directory) ?? command.directory;
  const first: string[] = [];
  const out: string[] = [];
  let sources = 0;
  const isOwn = (text: string) => resolve(command.directory, text) === source;
  const named = list.some((piece) => piece.kind === 'input' && isOwn(piece.text));
  for (let index = 0; index < list.length; index++) {
    const piece = list[index]!;
    if (piece.kind === 'input') {
      // Of several sources in one command, each is a unit.
      if (!isOwn(piece.text) && (links || (named && /\.(c|i|s|S|sx)$/.test(piece.text)))) continue;
      if (piece.text === '-') return `The command of ${command.file} reads its source from standard input.`;
      sources++;
      out.push((isAbsolute(piece.text) && mirror?.map(piece.text)) || piece.text);
    } else if (piece.kind === 'value') {
      if (DROPPED_WITH_VALUE.has(piece.option)) continue;
      if (links && ['-l', '-L', '-T', '-u', '-z', '-e', '-Xlinker'].includes(piece.option)) continue;
      if (piece.option === '-Xpreprocessor' && /^-M/.test(piece.text)) {
        const next = list[index + 1];
        if (/^-M(F|T|Q|D|MD)$/.test(piece.text) && next?.kind === 'value' && next.option === '-Xpreprocessor') index++;
        continue;
      }
      const moved = READS.includes(piece.option) && isAbsolute(piece.text) ? mirror?.map(piece.text) : undefined;
      out.push(piece.option, moved ?? piece.text);
    } else if (DROPPED.some((pattern) => pattern.test(piece.text))) {
    } else if (DROPPED_JOINED.some((option) => piece.text.startsWith(option)) || /^-o./.test(piece.text)) {
    } else if (links && /^-(l|Wl,|shared$|pie$|no-pie$|static|rdynamic$|s$)/.test(piece.text)) {
    } else if (piece.text.startsWith('-Wp,') || piece.text.startsWith('-Wa,')) {
      const kept = trimPassed(piece.text);
      if (kept !== undefined) out.push(kept);
    } else if (piece.text === '--coverage' || piece.text === '-coverage') {
      out.push('-fprofile-arcs');
    } else if (mirror && PREFIX_MAPS.some((option) => piece.text.startsWith(option))) {
      const { outer, inner } = splitUserMap(piece.text, mirror);
      first.push(...outer);
      out.push(...inner);
    } else {
      out.push(mirror ? mapReads(piece.text, mirror) : piece.text);
    }
  }
  if (sources === 0) out.push(mirror?.map(source) ?? source);
  // gcc takes the last map that fits: the user's maps of folders above, then the mirror's, then those of folders inside.
  const vector = [...launcherless(all, at), ...first, ...(mirror ? mapsBack(args, mirror) : []), ...out];
  if (mirror && isGcc(all[at]!) && out.some((arg) => /^-(isystem|idirafter|isysroot|-sysroot)/.test(arg))) {
    // gcc would replace the mirror's links to system headers by the shorter real path, and then read the edited neighbours.
    vector.push('-fno-canonical-system-headers');
  }
  if (to.scanOnly) {
    // A header that is not there yet is one that the build generates: what else is included shows all the same.
    return { arguments: [...vector.filter((arg) => arg !== '-c'), '-MM', '-MG', '-MF', to.depfile, '-w'], directory };
  }
  if (to.textOnly) {
    const options = vector.filter((arg) => arg !== '-c');
    return {
      arguments: [...options, ...ADDED, '-E', '-dD', '-w', '-MD', '-MF', to.depfile, '-o', to.object],
      directory,
    };
  }
  if (links) vector.push('-c');
  if (out.some((arg) => /^-gz(=|$)/.test(arg) || /compress-debug-sections/.test(arg))) vector.push('-gz=none');
  vector.push(...profileArguments(command, vector, to), ...ADDED, ...(to.extra ?? []));
  vector.push('-MD', '-MF', to.depfile, '-o', to.object);
  return { arguments: vector, directory };
}

/** `env A=B cc`, without a caching launcher. */
function launcherless(all: readonly string[], at: number): string[] {
  const before = all.slice(0, at);
  const env = before.find((arg) => basename(arg) === 'env');
  return [...(env === undefined ? [] : [env, ...before.filter((arg) => ASSIGNMENT.test(arg))]), all[at]!];
}

function isGcc(compiler: string): boolean {
  return !basename(compiler).includes('clang');
}

/** Instrumented builds name their .gcda file after the output: keep the real build's name, and send the notes to scratch. */
function profileArguments(command: CompileCommand, vector: readonly string[], to: Redirect): string[] {
  if (!vector.some((arg) => /^-fprofile-(arcs|generate)/.test(arg)) || command.output === undefined) return [];
  const stem = command.output.slice(0, -extname(command.output).length || undefined);
  const notes = `${to.object}.gcno`;
  if (!isGcc(command.arguments[compilerIndex(command.arguments)]!)) {
    return ['-Xclang', `-coverage-data-file=${stem}.gcda`, '-Xclang', `-coverage-notes-file=${notes}`];
  }
  return ['-dumpdir', `${dirname(stem)}/`, '-dumpbase', basename(stem), `-fprofile-note=${notes}`];
}
