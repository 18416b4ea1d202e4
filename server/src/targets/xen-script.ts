import type { XenPatch } from './xen.ts';

/**
 * Runs there, `sh -c`: $1 the action (list, upload, load, replace-with, apply, revert, unload, replace), $2 the payload's name, $3 the verify
 * command, $4 `no-dmesg` where the hypervisor's console is at hand otherwise, $5 the payload's size. A payload comes through standard input: one that
 * did not arrive whole is not uploaded. Prints each step between marks, with its exit status. Whoever goes away in the middle of it
 * leaves no file behind, and no payload that was uploaded only to be applied.
 */
export const script = `
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
root=
[ "$(id -u)" = 0 ] || root="sudo -n"
tool=$(command -v xen-livepatch)
[ -n "$tool" ] || for tool in /usr/lib/xen-*/bin/xen-livepatch /usr/libexec/xen/bin/xen-livepatch; do [ -x "$tool" ] && break; done
[ -x "$tool" ] || { echo "@@no-tool"; exit 0; }
step() { echo "@@begin $1"; shift; "$@" 2>&1; echo; echo "@@end $?"; }
lp() { step "$1" $root "$tool" "$@"; }
verify() { [ -z "$verify" ] || step "$1" sh -c "$verify"; }
list() { lp list; }
action=$1 name=$2 verify=$3 undo=
words() { [ "$words" = no-dmesg ] || step "$1" $root xl dmesg; }
words=$4
[ "$action" = list ] || words console-before
case $action in
list) list; step buildid od -An -v -tx1 /sys/hypervisor/properties/buildid ;;
upload|load|replace-with)
  file=$(mktemp) || { echo "@@not-copied"; exit 0; }
  trap '[ -z "$undo" ] || $root "$tool" unload "$name" >/dev/null 2>&1; rm -f "$file"' EXIT
  trap 'exit 1' HUP INT TERM PIPE
  cat > "$file"
  [ "$(wc -c < "$file")" -eq "$5" ] || { echo "@@not-copied"; exit 0; }
  verify verify-before
  result=$(lp upload "$name" "$file")
  case $result in *completed*) [ "$action" = upload ] || undo=1 ;; esac
  echo "$result"
  if [ -n "$undo" ]; then
    next=apply; [ "$action" = replace-with ] && next=replace
    result=$(lp $next "$name")
    case $result in *completed*|*"No action needed"*) undo= ;; esac
    echo "$result"
    [ -z "$undo" ] || { undo=; lp unload "$name"; }
  fi
  list
  verify verify-after ;;
*)
  verify verify-before
  result=$(lp "$action" "$name"); echo "$result"
  list
  verify verify-after ;;
esac
words console
`;

/** What a step of the script printed. */
export interface Step {
  readonly name: string;
  readonly status: number;
  readonly output: string;
}

/** Steps between the script's marks; unfinished ones have status -1. */
export function readSteps(text: string): Step[] {
  const steps: Step[] = [];
  for (const part of text.split(/^@@begin /m).slice(1)) {
    const name = part.slice(0, part.indexOf('\n'));
    const end = /\n@@end (\d+)\s*$/m.exec(part);
    steps.push({
      name,
      status: end ? Number(end[1]) : -1,
      output: part.slice(name.length + 1, end?.index ?? part.length).trimEnd(),
    });
  }
  return steps;
}

/** Reads what `xen-livepatch list` prints: ` ID | status | metadata` below two lines of heading. */
export function readList(text: string): XenPatch[] {
  const found: XenPatch[] = [];
  for (const line of text.split('\n')) {
    const match = /^(\S+)\s*\| (CHECKED|APPLIED)(?: \((\d+),[^|]*\))?\s*\|\s?(.*)$/.exec(line);
    if (!match) continue;
    const pairs = match[4]!.split(';').filter((pair) => pair.includes('='));
    found.push({
      id: match[1]!,
      state: match[2] === 'APPLIED' ? 'applied' : 'checked',
      error: Number(match[3] ?? 0),
      metadata: new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])),
    });
  }
  return found;
}

/**
 * What a console's buffer says now and did not say before. The buffer is a ring: its oldest lines may have gone meanwhile. Words of an
 * earlier refusal must not explain a later one.
 */
export function newWords(before: string, now: string): string {
  const old = before.trimEnd().split('\n');
  const lines = now.trimEnd().split('\n');
  // The longest beginning of what is there now that is the end of what was there.
  for (let kept = Math.min(old.length, lines.length); kept > 0; kept--) {
    const from = old.length - kept;
    // The first line may have lost its beginning to the ring.
    if (lines.slice(1, kept).every((line, at) => line === old[from + at + 1]) && old[from]!.endsWith(lines[0]!))
      return lines.slice(kept).join('\n');
  }
  return now;
}

/** Did the tool say that it was done? Its exit status alone does not tell: without a hypervisor it ends with 0. */
export const completed = (step: Step | undefined): boolean =>
  step !== undefined && step.status === 0 && /completed|No action needed/.test(step.output);

/** The build id, hexadecimal, in what `od` prints of /sys/hypervisor/properties/buildid; undefined where domain 0 may not know it. */
export function readBuildId(text: string): string | undefined {
  const hex = text.replaceAll(/\s/g, '');
  // Xen answers `<denied>` then.
  return /^([0-9a-f]{2}){16,64}$/.test(hex) ? hex : undefined;
}
