import { addressTaken, referencesOf } from '../../diff/references.ts';
import type { ObjectModel } from '../../object.ts';
import type { CallEdge, CallersElsewhere, CallGraph, CallNode, ReportUnit } from './types.ts';

/** Neighbours that are listed, at most: of a function that everybody calls the first ones tell enough. */
const MOST_NODES = 400;

interface Mutable {
  readonly nodes: Map<string, CallNode>;
  readonly edges: Map<string, { from: string; to: string; base: boolean; next: boolean }>;
}

/**
 * The functions of a patch, what they call and what calls them, on both sides, as the units that were compared show it. Functions of
 * other units are known by name only (`elsewhere`), those that call into the patch by what the objects of the build say.
 */
export function callGraph(
  units: readonly ReportUnit[],
  leftOut: ReadonlySet<string>,
  callers?: CallersElsewhere,
): CallGraph {
  const graph: Mutable = { nodes: new Map(), edges: new Map() };
  // What another unit of the patch defines is not elsewhere.
  const defined = new Map<string, string>();
  for (const { id, result } of units)
    for (const change of result?.diff.functions ?? [])
      if ((change.next ?? change.base)?.bind !== 'local' && !defined.has(change.name)) defined.set(change.name, id);
  for (const unit of units) if (unit.result) addUnit(graph, unit, leftOut, defined);
  addCallers(graph, callers?.list ?? []);
  const rank = { changed: 0, new: 1, removed: 2, leftOut: 3, unchanged: 4, elsewhere: 5 } as const;
  const nodes = [...graph.nodes.values()]
    .sort((a, b) => rank[a.kind] - rank[b.kind] || order(a.name, b.name) || order(a.id, b.id))
    .slice(0, MOST_NODES);
  const kept = new Set(nodes.map(({ id }) => id));
  const edges = [...graph.edges.values()]
    .filter(({ from, to }) => kept.has(from) && kept.has(to))
    .map(({ from, to, base, next }): CallEdge => ({ from, to, side: base && next ? 'both' : base ? 'base' : 'next' }))
    .sort((a, b) => order(a.from, b.from) || order(a.to, b.to));
  return { nodes, edges };
}

/** Callers in units that are no part of the patch. What a table holds is called by nobody knows whom: its address is taken. */
function addCallers(graph: Mutable, callers: CallersElsewhere['list']): void {
  for (const { name, file, by } of callers) {
    const callee = graph.nodes.get(name);
    if (!callee) continue;
    if (by === '') {
      graph.nodes.set(name, { ...callee, addressTaken: true });
      continue;
    }
    const id = `${file}#${by}`;
    if (!graph.nodes.has(id))
      graph.nodes.set(id, { id, name: by, kind: 'elsewhere', addressTaken: false, unit: '', file });
    graph.edges.set(`${id}\n${name}`, { from: id, to: name, base: true, next: true });
  }
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function addUnit(
  graph: Mutable,
  unit: ReportUnit,
  leftOut: ReadonlySet<string>,
  defined: ReadonlyMap<string, string>,
): void {
  const { pair, diff } = unit.result!;
  const changes = new Map(diff.functions.map((change) => [change.name, change]));
  if (changes.size === 0) return;
  const idOf = (object: ObjectModel, name: string, isLocal: boolean): string => {
    const known = changes.get(name);
    if (known) return (known.next ?? known.base)?.bind === 'local' ? `${unit.id}#${name}` : name;
    if (!isLocal && defined.has(name)) return name;
    return isLocal || object.elf.symbols.some((each) => each.name === name && typeof each.place === 'number')
      ? `${unit.id}#${name}`
      : name;
  };
  const taken = new Set([...addressTaken(pair.base), ...addressTaken(pair.next)]);
  const node = (id: string, name: string, isHere: boolean): void => {
    if (graph.nodes.has(id)) return;
    const change = changes.get(name);
    const kind = change
      ? leftOut.has(name) || change.lineOnly
        ? 'leftOut'
        : change.status
      : isHere
        ? 'unchanged'
        : 'elsewhere';
    // A function of the patch that another unit holds is put in by that unit.
    if (!change && defined.has(name) && !isHere) return;
    graph.nodes.set(id, { id, name, kind, addressTaken: isHere && taken.has(name), unit: unit.id });
  };
  for (const [name, change] of changes) {
    const id = idOf(pair.next, name, (change.next ?? change.base)?.bind === 'local');
    node(id, name, true);
  }
  for (const side of ['base', 'next'] as const) {
    const object = pair[side];
    const names = new Map<string, string>();
    for (const [name, change] of changes) {
      const symbol = change[side];
      if (symbol) names.set(symbol.name, name);
    }
    for (const { from, target, call } of referencesOf(object)) {
      if (!call || !from) continue;
      const caller = names.get(from.name) ?? from.name;
      const callee = names.get(target.name) ?? target.name;
      if (caller === callee || (!changes.has(caller) && !changes.has(callee))) continue;
      const here = typeof target.place === 'number';
      const a = idOf(object, caller, from.bind === 'local');
      const b = idOf(object, callee, target.bind === 'local');
      node(a, caller, true);
      node(b, callee, here);
      const key = `${a}\n${b}`;
      const edge = graph.edges.get(key) ?? { from: a, to: b, base: false, next: false };
      edge[side] = true;
      graph.edges.set(key, edge);
    }
  }
}
