import type { Payload } from '../core/payload/types.ts';

/** A patch that is in a target. */
export interface AppliedPatch {
  readonly id: string;
  readonly description: string;
  /**
   * `applied`: redirects are active; `reverted`: old code is back, memory still mapped; `interrupted`: a tool died half way;
   * `checked` (Xen): uploaded and checked, or reverted: in the hypervisor and not active.
   */
  readonly state: 'applied' | 'reverted' | 'interrupted' | 'checked';
  /** Position in the stack, 0 = first applied. */
  readonly order: number;
  /** ISO 8601. */
  readonly appliedAt: string;
  readonly functions: readonly {
    readonly name: string;
    readonly oldAddress: string;
    readonly newAddress: string;
    readonly redirected: boolean;
    /**
     * Only where it was asked for. What stands in memory against what should: `original`: the bytes of the file; `redirected`: the
     * jump of this patch and nothing else; `covered`: the jump of a patch above; `foreign`: something that no patch wrote.
     */
    readonly memory?: 'original' | 'redirected' | 'covered' | 'foreign';
  }[];
}

/** How closely to look. */
export interface StatusOptions {
  /** Compare the old code in memory with what the patches remember of it. */
  readonly verify?: boolean;
}

/** State of a target, as asked from the target itself. */
export interface TargetStatus {
  readonly alive: boolean;
  /** Process id, where the target is a process. */
  readonly pid?: number;
  readonly command?: string;
  /** Why nothing is known about it: it does not run, several match, there is no permission to look. */
  readonly message?: string;
  /** What was asked for and cannot be known of it, as a sentence. */
  readonly note?: string;
  readonly patches: readonly AppliedPatch[];
}

/** What happened on a target. `reason` is a stable word, `message` a sentence that says what to do. */
export type TargetEvent =
  | {
      readonly kind: 'applied';
      readonly id: string;
      readonly functions: number;
      /** How long the threads stood still at the try that did it; the longest of all tries. */
      readonly stopMicroseconds: number;
      readonly longestStopMicroseconds?: number;
      readonly attempts: number;
      /** Xen: what was applied before and had to go for it; absent where it went on top. */
      readonly replaced?: readonly string[];
      /** What to say instead of a sentence about the stop (which is 0 then); for targets other than processes. */
      readonly message?: string;
    }
  | {
      readonly kind: 'reverted';
      readonly id: string;
      readonly stopMicroseconds: number;
      readonly longestStopMicroseconds?: number;
      readonly attempts: number;
      /** What to say instead of a sentence about the stop (which is 0 then); for targets other than processes. */
      readonly message?: string;
    }
  /** Xen: in the hypervisor, checked and not applied; or out of it. */
  | { readonly kind: 'uploaded' | 'unloaded'; readonly id: string; readonly message: string }
  | {
      readonly kind: 'refused' | 'failed';
      readonly reason: string;
      readonly message: string;
      /** What the target itself said of it. */
      readonly lines?: readonly string[];
    };

/** Something that patches can be applied to. */
export interface Target {
  readonly name: string;
  readonly kind: 'process' | 'xen' | 'linux';
  apply(payload: Payload['bytes'], signal?: AbortSignal): Promise<TargetEvent>;
  /** `id` absent: the top of the stack. */
  revert(id: string | undefined, signal?: AbortSignal): Promise<TargetEvent>;
  status(options?: StatusOptions): Promise<TargetStatus>;
}
