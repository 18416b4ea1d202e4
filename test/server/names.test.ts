import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  asm,
  colors,
  commands,
  contexts,
  items,
  panels,
  section,
  settings,
  views,
  walkthrough,
} from '../../client/src/names.ts';
import { clientCommands } from '../../server/src/protocol.ts';

const root = join(import.meta.dirname, '..', '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const texts: Record<string, string> = JSON.parse(readFileSync(join(root, 'package.nls.json'), 'utf8'));
const { contributes } = manifest;
const sorted = (list: Iterable<string>): string[] => [...new Set(list)].sort();

/** All strings anywhere in a JSON value. */
function* strings(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (value && typeof value === 'object') for (const each of Object.values(value)) yield* strings(each);
}

describe('names of the extension against package.json', () => {
  it('has each command once in both', () => {
    const declared = contributes.commands.map((each: { command: string }) => each.command);
    assert.deepEqual(declared.length, new Set(declared).size);
    assert.deepEqual(sorted(declared), sorted(Object.values(commands)));
  });

  it('knows every command that menus, keys, views and the server name', () => {
    const known = new Set<string>(Object.values(commands));
    const named = [...Object.values(contributes.menus).flat(), ...contributes.keybindings].map(
      (each) => (each as { command: string }).command,
    );
    for (const name of [...named, ...Object.values(clientCommands)]) assert.ok(known.has(name), name);
    for (const text of Object.values(texts))
      for (const [, name] of text.matchAll(/\(command:(livepatch\.[\w.]+)\)/g))
        assert.ok(known.has(name!) || name === `${views.patch}.focus`, name);
  });

  it('has each setting once in both', () => {
    const declared = Object.keys(contributes.configuration.properties);
    assert.deepEqual(sorted(declared), sorted(Object.values(settings).map((name) => `${section}.${name}`)));
  });

  it('uses only context keys and item kinds that the client sets', () => {
    const keys = new Set<string>([...Object.values(contexts), ...Object.values(commands), views.patch]);
    const kinds = new Set<string>(Object.values(items));
    for (const text of strings(contributes.menus))
      for (const [, kind] of text.matchAll(/activeWebviewPanelId == ([\w.]+)/g))
        assert.ok(Object.values<string>(panels).includes(kind!), kind);
    for (const text of [
      ...strings(contributes.menus),
      ...strings(contributes.viewsWelcome),
      ...strings(contributes.keybindings),
    ])
      if (/[=!&]|^livepatch\.\w+$/.test(text)) {
        for (const [name] of text.matchAll(/\blivepatch\.\w+(?!\w)/g))
          assert.ok(keys.has(name) || text === `activeWebviewPanelId == ${name}`, `${name} in ${text}`);
        for (const [, kind] of text.matchAll(/viewItem == (\w+)/g)) assert.ok(kinds.has(kind!), kind);
      }
  });

  it('describes each setting, gives each colour for the four kinds of theme, and fills each view that is empty', () => {
    const properties: Record<string, Record<string, unknown>> = contributes.configuration.properties;
    for (const [name, each] of Object.entries(properties)) {
      assert.match(String(each.markdownDescription ?? each.description), /^%setting\./, name);
      assert.notEqual(each.default, undefined, name);
    }
    for (const { id, defaults } of contributes.colors)
      assert.deepEqual(Object.keys(defaults).sort(), ['dark', 'highContrast', 'highContrastLight', 'light'], id);
    const views = Object.values(contributes.views).flat() as { id: string }[];
    for (const { id } of views)
      assert.ok(
        contributes.viewsWelcome.some((each: { view: string }) => each.view === id),
        id,
      );
  });

  it('has each colour once in both', () => {
    const declared = contributes.colors.map((each: { id: string }) => each.id);
    assert.deepEqual(sorted(declared), sorted(Object.values(colors)));
  });

  it('has views, language and walkthrough under their names', () => {
    assert.equal(contributes.viewsContainers.activitybar[0].id, views.container);
    assert.equal(contributes.views[views.container][0].id, views.patch);
    assert.equal(contributes.languages[0].id, asm.language);
    assert.equal(contributes.walkthroughs[0].id, walkthrough);
    assert.equal(contributes.walkthroughs[0].steps.length, 4);
  });

  it('has a text for each placeholder, and no other', () => {
    const used = [...strings(manifest)].flatMap((text) => [...text.matchAll(/^%([\w.]+)%$/g)].map(([, name]) => name!));
    assert.deepEqual(sorted(used), sorted(Object.keys(texts)));
  });

  it('names only files that exist', () => {
    for (const text of strings({ ...contributes, menus: {} }))
      if (/^\.?\/?(media|syntaxes)\//.test(text)) assert.ok(existsSync(join(root, text)), text);
    assert.ok(existsSync(join(root, manifest.icon)));
  });

  it('is off in untrusted and virtual folders and starts with C', () => {
    assert.equal(manifest.capabilities.untrustedWorkspaces.supported, false);
    assert.equal(manifest.capabilities.virtualWorkspaces.supported, false);
    // A panel that was open when the window was closed is drawn again.
    const restored = Object.values(panels).map((kind) => `onWebviewPanel:${kind}`);
    assert.deepEqual(manifest.activationEvents, ['onLanguage:c', ...restored]);
    assert.deepEqual(manifest.extensionKind, ['workspace']);
  });

  it('names nothing of its own outside names.ts', () => {
    for (const name of readdirSync(join(root, 'client', 'src'))) {
      if (name === 'names.ts') continue;
      const text = readFileSync(join(root, 'client', 'src', name), 'utf8');
      const literals = [...text.matchAll(/'(livepatch\.[a-zA-Z.]+)'/g)].map(([, literal]) => literal!);
      const allowed = new Set([
        'livepatch.json',
        'livepatch.c',
        'livepatch.h',
        'livepatch.status',
        'livepatch.decisions',
      ]);
      for (const literal of literals) assert.ok(allowed.has(literal), `${literal} in ${name}`);
    }
  });
});
