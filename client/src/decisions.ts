import { EventEmitter, type Memento } from 'vscode';
import type { Choices, FindingItem, FunctionItem, Reviewed } from '../../server/src/protocol.ts';

interface Kept {
  readonly leaveOut: readonly string[];
  readonly overrides: Readonly<Record<string, string>>;
  /** `unit\nfunction` → fingerprint that was reviewed. */
  readonly reviewed: Readonly<Record<string, string>>;
  /** Fingerprints of findings that were looked at, the newest last. */
  readonly reviewedFindings: readonly string[];
}

/** A function as a review names it. */
type Reviewable = Pick<FunctionItem, 'unit' | 'name' | 'fingerprint'>;

const KEY = 'livepatch.decisions';
const NOTHING: Kept = { leaveOut: [], overrides: {}, reviewed: {}, reviewedFindings: [] };
/** Findings that are remembered: older ones are of code that nobody has any more. */
const MOST_FINDINGS = 5000;
const idOf = (item: Reviewable): string => `${item.unit}\n${item.name}`;

/**
 * What the user decided: functions left out, blockers overridden with a reason, functions reviewed. Kept with the workspace, so
 * that neither a restarted server nor a closed window loses it. A review holds for the code that was reviewed and no other.
 */
export class Decisions {
  readonly #memory: Memento;
  readonly #changed = new EventEmitter<void>();
  readonly onDidChange = this.#changed.event;

  constructor(memory: Memento) {
    this.#memory = memory;
  }

  get #kept(): Kept {
    return { ...NOTHING, ...this.#memory.get<Kept>(KEY) };
  }

  async #keep(part: Partial<Kept>): Promise<void> {
    await this.#memory.update(KEY, { ...this.#kept, ...part });
    this.#changed.fire();
  }

  get choices(): Choices {
    const { leaveOut, overrides } = this.#kept;
    return { leaveOut, overrides };
  }

  async leaveOut(name: string, out: boolean): Promise<void> {
    const others = this.#kept.leaveOut.filter((each) => each !== name);
    await this.#keep({ leaveOut: out ? [...others, name] : others });
  }

  /** `reason` undefined: the blocker stands again. */
  async override(key: string, reason: string | undefined): Promise<void> {
    const { [key]: _old, ...others } = this.#kept.overrides;
    await this.#keep({ overrides: reason === undefined ? others : { ...others, [key]: reason } });
  }

  /** What was looked at, for the server's pages. */
  get reviewed(): Reviewed {
    const { reviewed, reviewedFindings } = this.#kept;
    return { functions: reviewed, findings: reviewedFindings };
  }

  isFindingReviewed({ fingerprint }: Pick<FindingItem, 'fingerprint'>): boolean {
    return this.#kept.reviewedFindings.includes(fingerprint);
  }

  async reviewFindings(list: readonly Pick<FindingItem, 'fingerprint'>[], reviewed: boolean): Promise<void> {
    // Nothing to keep, nothing to tell: a view that is drawn anew in between would take a tick back.
    if (list.length === 0) return;
    const named = new Set(list.map((each) => each.fingerprint));
    const others = this.#kept.reviewedFindings.filter((each) => !named.has(each));
    await this.#keep({ reviewedFindings: reviewed ? [...others, ...named].slice(-MOST_FINDINGS) : others });
  }

  isReviewed(item: Reviewable): boolean {
    return this.#kept.reviewed[idOf(item)] === item.fingerprint;
  }

  async review(list: readonly Reviewable[], reviewed: boolean): Promise<void> {
    if (list.length === 0) return;
    const next: Record<string, string> = { ...this.#kept.reviewed };
    for (const item of list) {
      if (reviewed) next[idOf(item)] = item.fingerprint;
      else delete next[idOf(item)];
    }
    await this.#keep({ reviewed: next });
  }
}
