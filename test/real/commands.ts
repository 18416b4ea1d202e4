import { errorOf, type RedisClient, type Reply } from './resp.ts';

/**
 * Commands that tell the vulnerable code from the fixed one. The HyperLogLog tests come with the patch 0006-CVE-2025-32023
 * (tests/unit/hyperloglog.tcl); their values end or corrupt an unpatched server, so that there is a second kind here, whose run
 * lengths wrap around to exactly the number of registers: the old code takes it for valid, harmlessly; the new one does not.
 */

const REGISTERS = 16384;

/** A sparse HyperLogLog (`HYLL`, encoding 1): `count` XZERO opcodes of the longest run, then `tail`. `stale`: the cached count is not valid. */
function sparse(count: number, tail: readonly number[], stale: boolean): Buffer {
  const header = Buffer.from([...Buffer.from('HYLL'), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, stale ? 0x80 : 0]);
  const opcode = Buffer.from([0x40 | ((REGISTERS - 1) >> 8), (REGISTERS - 1) & 0xff]);
  return Buffer.concat([header, Buffer.alloc(count * 2, opcode), Buffer.from(tail)]);
}

/** The value of the patch's own test: more than 2^31 in runs, then a VAL opcode that writes out of bounds. */
export const attack = (): Buffer => sparse(131_072 + 1000, [0xff], false);

/** Runs that sum up to 2^32 + 16384. */
export const wrapped = (): Buffer => sparse(2 ** 32 / REGISTERS + 1, [], true);

/** Answers of the three functions that the patch changes, on the harmless value: hllSparseRegHisto, hllMerge, hllSparseToDense. */
export async function hyperloglogAnswers(client: RedisClient): Promise<Reply[]> {
  const answers: Reply[] = [];
  for (const command of [
    ['PFCOUNT', 'hll'],
    ['PFCOUNT', 'hll', 'hll'],
    ['PFDEBUG', 'GETREG', 'hll'],
  ]) {
    await client.call('DEL', 'hll');
    await client.call('SET', 'hll', wrapped());
    const answer = await client.call(...command);
    answers.push(Array.isArray(answer) ? answer.length : answer);
  }
  await client.call('DEL', 'hll');
  return answers;
}

/** True where all three functions refuse the value. */
export const hyperloglogFixed = (answers: readonly Reply[]): boolean =>
  answers.every((answer) => errorOf(answer)?.startsWith('INVALIDOBJ') === true);

/** The patch's own test, as it is in tests/unit/hyperloglog.tcl: only for a fixed server. */
export async function hyperloglogAttack(client: RedisClient): Promise<Reply[]> {
  await client.call('DEL', 'hll');
  await client.call('SET', 'hll', attack());
  const answers = [await client.call('PFCOUNT', 'hll', 'hll'), await client.call('PFDEBUG', 'GETREG', 'hll')];
  await client.call('DEL', 'hll');
  return answers;
}

/** Name of the chunk that the script below loads; also what a fixed parser says in its error messages. */
export const CHUNK = 'a chunk with a name that is long enough to have memory of its own';

/**
 * CVE-2025-49844: the parser does not hold on to the chunk's name. The reader is called a second time between the making of
 * the name and its first use (its first answer was the end of input), collects garbage, and makes new strings of that length.
 * The error message of the loaded chunk then names whatever lies there now. The name has a zero byte, so that the parser's copy
 * is not the string that the script itself holds.
 */
export const LUA_SCRIPT = `
local calls = 0
local keep = {}
local chunk, why = load(function()
  calls = calls + 1
  if calls == 1 then return nil end
  if calls == 2 then
    collectgarbage('collect')
    collectgarbage('collect')
    for i = 1, 2000 do keep[i] = string.rep('x', ${CHUNK.length} - 6) .. string.format('%06d', i) end
    return 'error("here")'
  end
  return nil
end, '=${CHUNK}\\0tail')
if not chunk then return 'did not load: ' .. tostring(why) end
local ok, message = pcall(chunk)
return tostring(message)`;

/** What a fixed server answers to the script: the error at its place, with the chunk's true name. */
export const luaFixed = (reply: Reply): boolean => typeof reply === 'string' && reply.startsWith(CHUNK.slice(0, 40));
