import { acceptedSymbol } from '../core/findings/accept.ts';
import type { Finding } from '../core/findings/types.ts';
import { writeAcceptance } from '../shell/accept.ts';
import { treeOptions } from './check.ts';
import { CannotError, type Command, exitStatus, flag, text, UsageError } from './command.ts';
import { shortPath } from './describe.ts';
import { count, painter, printable } from './text.ts';
import { compareTree, openWorkspace } from './workspace.ts';

/** `struct quote`, `quote` and `struct quote.price` name what a person may write for a finding's symbol. */
const isAbout = (finding: Finding, symbol: string): boolean => {
  const own = acceptedSymbol(finding);
  return own === symbol || finding.symbol === symbol || own.replace(/^(struct|union|enum) /, '') === symbol;
};

export const command: Command = {
  name: 'accept',
  usage: ['CODE SYMBOL --reason TEXT [-p BUILDDIR] [--base REV|DIR]', 'CODE SYMBOL --withdraw'],
  about:
    'Accepts a finding with a written reason, kept in livepatch.json with a fingerprint of its evidence: it stays visible and no longer blocks. ' +
    'When the evidence changes (another size, another caller), it is to be accepted anew.',
  options: {
    ...treeOptions,
    reason: { type: 'string', value: 'TEXT', help: 'why it is safe here, for the people after you' },
    withdraw: { type: 'boolean', help: 'take the acceptance back' },
  },
  examples: [
    {
      line: 'livepatch accept data-init-changed alarm_threshold --reason "set by hand on all hosts"',
      what: 'then `livepatch build` goes on, and the payload carries the reason',
    },
  ],
  async run(values, positionals, context) {
    const [code, symbol, ...rest] = positionals;
    if (code === undefined || symbol === undefined || rest.length > 0)
      throw new UsageError('accept needs the code of a finding and its symbol, as `livepatch check` prints them.');
    const reason = text(values, 'reason')?.trim();
    const withdraw = flag(values, 'withdraw');
    if (withdraw === (reason !== undefined)) throw new UsageError('accept needs --reason TEXT, or --withdraw.');
    if (reason !== undefined && reason.length < 8)
      throw new UsageError('The reason is too short for another person to judge.');
    const workspace = await openWorkspace({
      cwd: context.cwd,
      build: text(values, 'build'),
      base: text(values, 'base'),
    });
    try {
      const { config } = workspace;
      const known = config.accepted ?? [];
      const paint = painter(context.colour);
      if (withdraw) {
        const entry = known.find(
          (one) =>
            one.code === code && (one.symbol === symbol || one.symbol.replace(/^(struct|union|enum) /, '') === symbol),
        );
        if (!entry) throw new CannotError(`No accepted finding ${code} ${symbol} is in livepatch.json.`);
        const path = await writeAcceptance(config.root, entry, [], undefined);
        context.out(`Withdrawn: ${printable(code)} ${printable(entry.symbol)}, in ${shortPath(path, context.cwd)}\n`);
        return exitStatus.fine;
      }
      const tree = await compareTree(workspace, [], context);
      const found = tree.findings.filter((finding) => finding.code === code && isAbout(finding, symbol));
      const first = found[0];
      if (!first) {
        const others = [...new Set(tree.findings.map((finding) => `${finding.code} ${acceptedSymbol(finding)}`))];
        throw new CannotError(
          `There is no finding ${code} about ${symbol} now.`,
          others.length > 0 ? `There is:\n${others.map((one) => `  ${printable(one)}`).join('\n')}` : '',
        );
      }
      const about = { code, symbol: acceptedSymbol(first) };
      const same = found.filter((finding) => acceptedSymbol(finding) === about.symbol);
      const path = await writeAcceptance(config.root, about, same, reason);
      const units = new Set(tree.units.filter((unit) => unit.result?.findings.some((f) => same.includes(f))));
      context.out(
        `${paint.green('Accepted')} ${printable(code)} ${printable(about.symbol)} (${count(units.size, 'unit')}), in ${shortPath(path, context.cwd)}\n`,
      );
      return exitStatus.fine;
    } finally {
      await workspace.session.dispose();
    }
  },
};
