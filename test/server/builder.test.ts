import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openBaseline } from '../../server/src/shell/baseline.ts';
import { Builder } from '../../server/src/shell/builder.ts';
import { CommandIndex } from '../../server/src/shell/commandIndex.ts';
import { Compilers } from '../../server/src/shell/compiler.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { ObjectStore } from '../../server/src/shell/store.ts';
import { hasTool } from '../support/cc.ts';
import { Project, sh } from './project.ts';

const yes = () => true;

const SOURCES = {
  'src/x.c': [
    '#include "x.h"',
    '#include <gen.h>',
    '#include "sub/deep.h"',
    'static int counter;',
    'const char *where(void) { return __FILE__; }',
    'const char *header_where(void) { return HEADER_FILE; }',
    'int deep(void) { return deep_value() + GENERATED; }',
    'int bump(int by) { counter += by; if (counter > LIMIT) __builtin_printf("%s:%d\\n", __FILE__, __LINE__); return counter; }',
    '',
  ].join('\n'),
  'include/x.h': '#define HEADER_FILE __FILE__\n#define LIMIT 10\nstruct pair { int a; long b; };\n',
  'include/sub/deep.h': '#include "../shared.h"\nstatic inline int deep_value(void) { return SHARED; }\n',
  'include/shared.h': '#define SHARED 5\n',
  '.gitignore': 'build/\n',
};

/** Opens what a build of one file needs. */
async function open(root: string, scratch: string, overrides: Parameters<typeof loadConfig>[1] = {}) {
  const { config, problems } = await loadConfig(root, overrides);
  assert.deepEqual(problems, []);
  const baseline = await openBaseline(config, join(scratch, 'session'), yes);
  const store = new ObjectStore(join(scratch, 'cache'), config.cacheLimitMiB);
  const log: string[] = [];
  const builder = new Builder({
    config,
    baseline,
    store,
    compilers: new Compilers(yes),
    scratch: join(scratch, 'session'),
    isTrusted: yes,
    log: (_, text) => log.push(text),
  });
  const index = new CommandIndex(config);
  await index.refresh();
  return { config, baseline, store, builder, index, log };
}

/** Code and data without debug information, and the paths that the debug information names. */
function essence(project: Project, object: Uint8Array, name: string): { stripped: string; paths: string[] } {
  const file = join(project.top, `${name}.o`);
  writeFileSync(file, object);
  const paths = sh(project.top, 'readelf', '--debug-dump=info', '--debug-dump=line', '-W', file)
    .split('\n')
    .filter(
      (line) =>
        /DW_AT_(name|comp_dir)|\/|\.[ch]\b/.test(line) && !/DW_AT_producer|Contents|File:|^Dump|Raw dump/.test(line),
    )
    .map((line) =>
      line
        .replace(/^\s*<[^>]*>\s*/, '')
        .replace(/\(indirect[^)]*\):|\(offset[^)]*\)|0x[0-9a-f]+/g, '')
        .trim(),
    );
  sh(project.top, 'objcopy', '-g', file, `${file}.s`);
  const bytes = readFileSync(`${file}.s`);
  const strings = bytes.toString('latin1').match(/[\x20-\x7e]{4,}/g) ?? [];
  return {
    stripped: createHash('sha256').update(bytes).digest('hex'),
    paths: [...paths, ...strings.filter((text) => text.includes('/'))],
  };
}

interface Layout {
  readonly name: string;
  /** Command for a source in the tree, and where it runs; paths are made with `root`. */
  readonly args: (root: string) => string[];
  readonly directory: (project: Project) => string;
  /** Spelling of the root that the user opens. */
  readonly spelling?: 'link';
}

const LAYOUTS: Layout[] = [
  {
    name: 'in the tree, relative',
    directory: (p) => p.root,
    args: () => ['-Iinclude', '-Ibuild', '-c', 'src/x.c', '-o', 'build/x.o'],
  },
  {
    name: 'out of tree below the root, relative',
    directory: (p) => join(p.root, 'build'),
    args: () => ['-I../include', '-I.', '-c', '../src/x.c', '-o', 'x.o'],
  },
  {
    name: 'absolute, as CMake does',
    directory: (p) => join(p.root, 'build'),
    args: (r) => [`-I${r}/include`, '-isystem', `${r}/build`, '-o', 'x.o', '-c', `${r}/src/x.c`],
  },
  {
    name: 'absolute with dots',
    directory: (p) => join(p.root, 'build'),
    args: (r) => [`-I${r}/src/../include`, '-I', '.', '-o', 'x.o', '-c', `${r}/build/../src/x.c`],
  },
  {
    name: 'build folder outside the root',
    directory: (p) => join(p.top, 'out'),
    args: () => ['-I../work/include', '-I../work/build', '-c', '../work/src/x.c', '-o', 'x.o'],
  },
  {
    name: 'build folder outside the root, absolute',
    directory: (p) => join(p.top, 'out'),
    args: (r) => [`-I${r}/include`, `-I${r}/build`, '-c', `${r}/src/x.c`, '-o', 'x.o'],
  },
  {
    name: 'root reached through a link',
    spelling: 'link',
    directory: (p) => join(p.top, 'link'),
    args: (r) => [`-I${r}/include`, '-Ibuild', '-c', `${r}/src/x.c`, '-o', 'build/x.o'],
  },
  {
    name: 'opened through a link, built by the real path',
    spelling: 'link',
    directory: (p) => p.root,
    args: () => ['-Iinclude', '-Ibuild', '-c', 'src/x.c', '-o', 'build/x.o'],
  },
  {
    name: "user's own map of the root",
    directory: (p) => p.root,
    args: (r) => [
      `-ffile-prefix-map=${r}=/usr/src/prog`,
      `-I${r}/include`,
      '-Ibuild',
      '-c',
      `${r}/src/x.c`,
      '-o',
      'build/x.o',
    ],
  },
  {
    name: "user's own map of a folder above",
    directory: (p) => p.root,
    args: (r) => [
      `-ffile-prefix-map=${join(r, '..')}=top`,
      '-Iinclude',
      '-Ibuild',
      '-c',
      `${r}/src/x.c`,
      '-o',
      'build/x.o',
    ],
  },
  {
    name: "user's own map of a folder inside",
    directory: (p) => p.root,
    args: (r) => [
      `-fmacro-prefix-map=${r}/src/=`,
      `-I${r}/include`,
      '-Ibuild',
      '-c',
      `${r}/src/x.c`,
      '-o',
      'build/x.o',
    ],
  },
  {
    name: 'with -g3 and DWARF 4',
    directory: (p) => p.root,
    args: () => [
      '-g3',
      '-gdwarf-4',
      '-Iinclude',
      '-Ibuild',
      '-MMD',
      '-MP',
      '-Wp,-MT,x',
      '-c',
      'src/x.c',
      '-o',
      'build/x.o',
    ],
  },
];

for (const compiler of ['gcc', 'clang'].filter(hasTool)) {
  for (const layout of LAYOUTS) {
    test(`${compiler}, ${layout.name}: original and edited objects are those of the real command`, async () => {
      const project = new Project(SOURCES);
      try {
        project.write('build/gen.h', '#define GENERATED 3\n');
        mkdirSync(join(project.top, 'out'));
        symlinkSync(project.root, join(project.top, 'link'));
        project.commit();
        const root = layout.spelling ? join(project.top, layout.spelling) : project.root;
        const directory = layout.directory(project);
        const args = [
          compiler,
          '-O2',
          ...layout.args(
            layout.directory(project) === join(project.top, 'link') || !layout.spelling ? root : project.root,
          ),
        ];
        writeFileSync(
          join(project.root, 'build/compile_commands.json'),
          JSON.stringify([{ directory, file: args.find((arg) => arg.endsWith('x.c')), arguments: args }]),
        );
        const reference = () => {
          const at = args.indexOf('-o');
          const real = [...args.slice(0, at), ...args.slice(at + 2)].filter((arg) => !/^-M|^-Wp/.test(arg));
          const types = compiler === 'clang' ? ['-fno-eliminate-unused-debug-types'] : [];
          const added = ['-g', '-ffunction-sections', '-fdata-sections', ...types];
          sh(directory, ...real, ...added, '-o', join(project.top, 'ref.o'));
          return readFileSync(join(project.top, 'ref.o'));
        };
        const original = essence(project, reference(), 'original');
        assert.ok(original.paths.length > 5);

        project.edit('include/shared.h', '5', '6');
        project.edit('include/x.h', 'long b', 'short b');
        project.edit('src/x.c', 'counter += by', 'counter += 2 * by');
        project.write('src/new.h', '#error a new header\n');
        const edited = essence(project, reference(), 'edited');
        assert.notEqual(edited.stripped, original.stripped);

        const before = project.hash();
        const { builder, baseline, index } = await open(root, project.top, { buildDir: join(project.root, 'build') });
        const unit = index.unitsOf(join(root, 'src/x.c'))[0]!;
        const differing = await baseline.differing();
        const base = await builder.original(unit.command, differing);
        assert.equal(base.kind, 'built', JSON.stringify(base));
        if (base.kind !== 'built') return;
        assert.deepEqual(essence(project, base.object, 'base'), original);
        assert.ok(
          base.dependencies.some((path) => path.endsWith('/include/shared.h')) &&
            !base.dependencies.some((path) => path.includes('/session/')),
        );

        const next = await builder.next(unit.command, new Map());
        assert.equal(next.kind, 'built', JSON.stringify(next));
        if (next.kind !== 'built') return;
        assert.deepEqual(essence(project, next.object, 'next'), edited);
        assert.ok(await builder.isCurrent(base, differing, unit.command));

        // The same through an overlay: the header's edit is only in an unsaved buffer.
        const buffer = new TextEncoder().encode(project.read('include/shared.h').replace('6', '7'));
        const overlay = await builder.next(unit.command, new Map([[join(root, 'include/shared.h'), buffer]]));
        assert.equal(overlay.kind, 'built', JSON.stringify(overlay));
        assert.equal(project.hash(), before, 'the tree is untouched');
        project.edit('include/shared.h', '6', '7');
        if (overlay.kind === 'built')
          assert.deepEqual(essence(project, overlay.object, 'overlay'), essence(project, reference(), 'seven'));
      } finally {
        project.remove();
      }
    });
  }
}
