import type { ActionResult, Choices, TargetItem } from '../protocol.ts';
import type { Keeper } from './keeper.ts';

/** Building, applying and reverting on behalf of the editor. */
export class Actions {
  constructor(keeper: Keeper) {
    void keeper;
  }
  async targets(): Promise<readonly TargetItem[]> {
    return [];
  }
  async build(_: Choices & { readonly folder: string }): Promise<ActionResult> {
    return { ok: false, message: 'not yet' };
  }
  async apply(_f: string, _t: string, _s: AbortSignal): Promise<ActionResult> {
    return { ok: false, message: 'not yet' };
  }
  async revert(_t: string, _i: string | undefined, _s: AbortSignal): Promise<ActionResult> {
    return { ok: false, message: 'not yet' };
  }
  async inspect(_f: string): Promise<ActionResult> {
    return { ok: false, message: 'not yet' };
  }
  async clearCache(): Promise<ActionResult> {
    return { ok: false, message: 'not yet' };
  }
}
