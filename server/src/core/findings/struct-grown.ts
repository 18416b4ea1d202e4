import { allocationsOf } from './allocations.ts';
import { instancesOf, layoutFindings, running } from './layout-finding.ts';
import { bytes, labelOf, listed } from './support.ts';
import type { Hazard } from './types.ts';
import { judgeLayout } from './types-of-change.ts';

/** `struct-grown`: instances made before the patch are too small, whatever else became of the type. */
export const structGrown: Hazard = {
  codes: ['struct-grown'],
  find: (input) =>
    layoutFindings(input, 'grown', (type) => {
      const missing = bytes(type.nextSize - type.baseSize);
      const sites = allocationsOf(input, type);
      const allocators = [...new Set(sites.map((site) => `${site.function}()`))];
      const instances = [
        ...instancesOf(input, type),
        ...(allocators.length > 0 ? [`what ${listed(allocators, 3)} allocated`] : []),
      ];
      const which = instances.length > 0 ? `: ${listed(instances, 5)}` : '';
      const short = `Instances that ${running(input)} made before the patch are ${missing} too small${which}.`;
      const alone = judgeLayout(type) === 'grown';
      return {
        code: 'struct-grown',
        severity: 'blocker',
        consequence: alone
          ? `${short} They have only ${type.baseSize} bytes: patched code would write past their end, and arrays of them have another stride. Keep the size: use padding or a reserved field, put the new data in a separate object keyed by the instance, or restart instead of patching.`
          : `${short} Patched code would reach past their end, and arrays of them have another stride: keep the size of ${labelOf(type)}.`,
        evidence: {
          missing: type.nextSize - type.baseSize,
          ...(instances.length > 0 && { instances }),
          ...(sites.length > 0 && { allocatedBy: sites.map((site) => `${site.function}: ${site.callee}`) }),
        },
        related: sites.slice(0, 6).map((site) => ({
          ...(site.at && { at: site.at }),
          message: `${site.function}() may allocate it: ${site.callee}() was asked for ${type.baseSize} bytes before the patch`,
        })),
      };
    }),
};
