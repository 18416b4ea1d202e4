import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compilerIndex, outputOf, prepareCommand, readsNothingElse } from '../../server/src/shell/commandLine.ts';
import { parseDiagnostics } from '../../server/src/shell/diagnostics.ts';
import { hasTool } from '../support/cc.ts';
import { Project, sh } from './project.ts';

const to = { object: '/s/x.o', depfile: '/s/x.d' };
const command = (...args: string[]) => ({
  file: '/p/x.c',
  directory: '/p',
  arguments: args,
  origin: '/p/compile_commands.json',
  output: '/p/obj/x.o',
});
const END = ['-g', '-ffunction-sections', '-fdata-sections', '-MD', '-MF', '/s/x.d', '-o', '/s/x.o'];

/** What is left of the user's own arguments. */
function kept(...args: string[]): readonly string[] {
  const prepared = prepareCommand(command(...args), to);
  assert.ok(typeof prepared === 'object', String(prepared));
  assert.deepEqual(prepared.arguments.slice(-END.length), END);
  return prepared.arguments.slice(0, -END.length);
}

test('what generates code stays, in order; what writes other files goes', () => {
  assert.deepEqual(
    kept(
      'gcc',
      '-O2',
      '-march=x86-64-v2',
      '-DNAME="a b"',
      '-D',
      'X=-o',
      '-fno-common',
      '-include',
      'config.h',
      '-std=gnu11',
      '-c',
      'x.c',
      '-o',
      'obj/x.o',
    ),
    [
      'gcc',
      '-O2',
      '-march=x86-64-v2',
      '-DNAME="a b"',
      '-D',
      'X=-o',
      '-fno-common',
      '-include',
      'config.h',
      '-std=gnu11',
      '-c',
      'x.c',
    ],
  );
  assert.deepEqual(
    kept(
      ...[
        'gcc',
        '-MD',
        '-MMD',
        '-MP',
        '-MF',
        'x.d',
        '-MT',
        'x.o',
        '-MQx.o',
        '-MFx.d',
        '-Wp,-MD,.x.d',
        '-Wp,-MMD,.x.d,-DKEPT',
        '-Xpreprocessor',
        '-MD',
        '-Xpreprocessor',
        'x.d',
      ],
      ...[
        '-save-temps=obj',
        '-gsplit-dwarf',
        '-ftest-coverage',
        '-fdump-tree-all',
        '-fstack-usage',
        '-fopt-info-vec=log',
        '-Wa,-adhln=x.lst',
        '-Wa,-adhln=x.lst,--noexecstack',
      ],
      ...['-fdiagnostics-color=always', '-aux-info', 'x.aux', '-MJ', 'x.json', '-oobj/x.o', '-c', 'x.c', '-Wno-unused'],
    ),
    ['gcc', '-Wp,-DKEPT', '-Wa,--noexecstack', '-c', 'x.c', '-Wno-unused'],
  );
});

test('compiling and linking in one: only this source is compiled', () => {
  assert.deepEqual(
    kept('gcc', '-O2', 'x.c', 'y.c', 'z.o', '-lm', '-L', 'lib', '-Wl,-z,now', '-o', 'prog', '-pthread'),
    ['gcc', '-O2', 'x.c', '-pthread', '-c'],
  );
  assert.equal(outputOf(['gcc', 'x.c', '-o', 'prog'], '/p'), undefined);
  assert.equal(outputOf(['gcc', '-c', '../x.c'], '/p/b'), '/p/b/x.o');
  assert.equal(outputOf(['gcc', '-c', 'x.c', '-oy.o'], '/p'), '/p/y.o');
});

test('caching launchers are left out, the environment stays', () => {
  assert.deepEqual(kept('ccache', 'gcc', '-c', 'x.c'), ['gcc', '-c', 'x.c']);
  assert.deepEqual(kept('env', 'LANG=C', 'ccache', 'clang', '-c', 'x.c'), ['env', 'LANG=C', 'clang', '-c', 'x.c']);
  assert.equal(compilerIndex(['/usr/bin/ccache', '/opt/cc', '-c']), 1);
  assert.equal(compilerIndex(['gcc', '-c']), 0);
});

test('what says how urgently a compiler runs is left out, with its options', () => {
  for (const before of [
    ['nice', '-n', '19'],
    ['ionice', '-c3', 'nice', '-5'],
    ['time', '-p'],
    ['taskset', '0x3', 'ccache'],
    ['nohup'],
  ])
    assert.deepEqual(kept(...before, 'gcc', '-c', 'x.c'), ['gcc', '-c', 'x.c']);
  assert.deepEqual(kept('nice', 'env', 'A=1', 'gcc', '-c', 'x.c'), ['env', 'A=1', 'gcc', '-c', 'x.c']);
  assert.equal(compilerIndex(['nice', '-n', '5', 'cc', '-c']), 3);
});

test('of several sources that one command compiles, each is a unit', () => {
  assert.deepEqual(kept('gcc', '-O2', '-c', 'y.c', 'x.c', 'z.S'), ['gcc', '-O2', '-c', 'x.c']);
});

test('a folder with = in its name: prefix maps end before it', () => {
  const real = '/p/a=b/src';
  const mirror = { map: () => undefined, prefixes: [{ mirror: `/m/tree${real}`, real }] };
  const prepared = prepareCommand(command('gcc', '-c', 'x.c'), { ...to, mirror });
  assert.ok(typeof prepared === 'object');
  assert.deepEqual(
    prepared.arguments.filter((arg) => /prefix-map/.test(arg)),
    ['-fmacro-prefix-map=/m/tree/p=/p', '-fdebug-prefix-map=/m/tree/p=/p'],
  );
});

test('whether an object follows from its text: not where other files are read', () => {
  const follows = (...args: string[]) => readsNothingElse(['gcc', '-c', 'x.c', ...args]);
  assert.ok(follows('-Iinc', '-include', 'c.h', '-isystem', 'x', '--sysroot=/r', '-DA', '-o', 'x.o', '-Wa,-mx86'));
  for (const arg of ['-fprofile-use=a', '-fplugin=p.so', '-specs=s', '-Btools', '-Wa,@f', '-fmodules', '@options'])
    assert.ok(!follows(arg), arg);
  assert.ok(!follows('-Xclang', '-load') && !follows('-include-pch', 'c.pch'));
});

test('what cannot be used for a live patch is refused in words', () => {
  const refusal = (...args: string[]) => String(prepareCommand(command(...args), to));
  assert.match(refusal('gcc', '-flto', '-c', 'x.c'), /link-time optimisation.*-fno-lto/);
  assert.match(refusal('gcc', '-flto=4', '-ffat-lto-objects', '-c', 'x.c'), /link-time/);
  assert.deepEqual(kept('gcc', '-flto', '-fno-lto', '-c', 'x.c'), ['gcc', '-flto', '-fno-lto', '-c', 'x.c']);
  assert.match(refusal('gcc', '-E', 'x.c'), /makes no object/);
  assert.match(refusal('gcc', '-S', 'x.c'), /makes no object/);
  assert.match(refusal('libtool', '--mode=compile', 'gcc', '-c', 'x.c'), /runs libtool.*livepatch record/);
  assert.match(refusal('sh', './libtool', '--mode=compile', 'gcc', '-c', 'x.c'), /runs libtool/);
});

const TRICKS = {
  gcc: [
    ['-MMD', '-MP', '-save-temps', '-fstack-usage', '-fdump-tree-optimized', '-fcallgraph-info'],
    ['--coverage', '-Wp,-MD,.x.o.d', '-save-temps=cwd', '-Wa,-adhln=x.lst'],
    ['-gsplit-dwarf', '-MD', '-MF', 'deps/x.d', '-fprofile-arcs', '-ftest-coverage', '-fopt-info-all=opt.txt'],
  ],
  clang: [
    ['-MMD', '-MP', '-save-temps', '-ftime-trace', '-MJ', 'x.json'],
    ['--coverage', '-gsplit-dwarf', '-fsave-optimization-record'],
  ],
};

for (const [compiler, sets] of Object.entries(TRICKS)) {
  for (const set of sets) {
    test(`${compiler} ${set.join(' ')}: nothing is written outside scratch space`, { skip: !hasTool(compiler) }, () => {
      const project = new Project({
        'x.c': 'int twice(int x) { return x > 3 ? x * 2 : x; }\n',
        'obj/.keep': '',
        'deps/.keep': '',
      });
      try {
        const args = [compiler, '-O2', ...set, '-c', 'x.c', '-o', 'obj/x.o'];
        const scratch = join(project.top, 'scratch');
        sh(project.top, 'mkdir', 'scratch');
        const before = project.hash();
        const prepared = prepareCommand(
          {
            file: project.path('x.c'),
            directory: project.root,
            arguments: args,
            origin: '',
            output: project.path('obj/x.o'),
          },
          { object: join(scratch, 'x.o'), depfile: join(scratch, 'x.d') },
        );
        assert.ok(typeof prepared === 'object');
        sh(prepared.directory, ...prepared.arguments);
        assert.equal(project.hash(), before);
        assert.ok(existsSync(join(scratch, 'x.o')) && existsSync(join(scratch, 'x.d')), readdirSync(scratch).join());
        if (set.some((arg) => /coverage|arcs/.test(arg))) {
          const text = sh(scratch, 'strings', 'x.o');
          assert.ok(text.includes(project.path('obj/x.gcda')), 'the counters go where the real build sends them');
        }
        assert.ok(sh(scratch, 'readelf', '-S', '-W', 'x.o').includes('.debug_info'));
      } finally {
        project.remove();
      }
    });
  }
}

test('compiler messages are read at their place, in colour or not, gcc and clang', () => {
  const project = new Project({
    'x.c': '#include "x.h"\nint f(void) { return no_such; }\n',
    'x.h': 'int g(void) { return undefined_thing; }\n',
  });
  try {
    for (const compiler of ['gcc', 'clang'].filter(hasTool)) {
      for (const colour of ['-fdiagnostics-color=always', '-fdiagnostics-color=never']) {
        let output = '';
        try {
          sh(project.root, compiler, colour, '-Wall', '-c', 'x.c', '-o', '/dev/null');
        } catch (error) {
          output = (error as Error).message;
        }
        const errors = parseDiagnostics(output, { directory: project.root, unmap: (path) => path });
        const places = errors
          .filter(({ severity }) => severity === 'error')
          .map(({ at }) => `${at.file.slice(project.root.length + 1)}:${at.line}:${at.column}`);
        assert.ok(
          places.some((place) => place === 'x.h:1:22'),
          `${compiler} ${places}`,
        );
        assert.ok(places.includes('x.c:2:22'), String(places));
        assert.ok(errors.every(({ message }) => !message.includes('\u001b')));
      }
    }
  } finally {
    project.remove();
  }
});
