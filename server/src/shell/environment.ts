import { join } from 'node:path';
import type { CompilerIdentity } from './compiler.ts';
import type { CompileCommand } from './types.ts';

/** Variables that change what gcc and clang read or where they write besides the command line. */
const READING = [
  'CPATH',
  'C_INCLUDE_PATH',
  'GCC_EXEC_PREFIX',
  'COMPILER_PATH',
  'SOURCE_DATE_EPOCH',
  'CCC_OVERRIDE_OPTIONS',
];
/** `__DATE__` and `__TIME__` must not differ between the two objects of a pair: 2000-01-01, unless the user's environment fixes it. */
const FIXED_DATE = '946684800';

/** The environment that compilers run in: the user's, without what writes elsewhere or makes two runs differ. */
export function compilerEnvironment(directory: string, scratch: string): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    // gcc takes the compilation directory from PWD where that names the working directory.
    PWD: directory,
    LC_ALL: 'C',
    TMPDIR: join(scratch, 'tmp'),
    CCACHE_DISABLE: '1',
    SOURCE_DATE_EPOCH: process.env.SOURCE_DATE_EPOCH ?? FIXED_DATE,
  };
  delete environment.DEPENDENCIES_OUTPUT;
  delete environment.SUNPRO_DEPENDENCIES;
  return environment;
}

/** What an object is made with besides its sources: other compilers and options make other objects of the same ones. */
export function keyOf(command: CompileCommand, compiler: CompilerIdentity | undefined, added = false): string {
  const words = [
    compiler?.key,
    compiler?.debugOptions,
    command.arguments,
    command.directory,
    command.file,
    command.after ?? [],
    READING.map((name) => `${name}=${process.env[name] ?? ''}`),
  ];
  return JSON.stringify(added ? [...words, 'added'] : words);
}
