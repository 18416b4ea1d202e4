// An animated PNG (APNG, as in the PNG specification, third edition) from still ones of one size and colour type.
import { crc32 } from './crc32.mjs';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

function chunksOf(png) {
  if (!png.subarray(0, 8).equals(SIGNATURE)) throw new Error('not a PNG');
  const found = [];
  for (let at = 8; at + 12 <= png.length; ) {
    const length = png.readUInt32BE(at);
    found.push({ type: png.toString('latin1', at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  return found;
}

/**
 * @param {readonly {png: Buffer, milliseconds: number}[]} frames the first one is what viewers without animation show
 * @returns {Buffer} plays for ever
 */
export function animate(frames) {
  const parsed = frames.map(({ png, milliseconds }) => ({ chunks: chunksOf(png), milliseconds }));
  const header = parsed[0].chunks.find((part) => part.type === 'IHDR').data;
  const control = Buffer.alloc(8);
  control.writeUInt32BE(frames.length, 0);
  const out = [SIGNATURE, chunk('IHDR', header), chunk('acTL', control)];
  let sequence = 0;
  parsed.forEach(({ chunks, milliseconds }, index) => {
    const own = chunks.find((part) => part.type === 'IHDR').data;
    if (!own.equals(header)) throw new Error(`frame ${index} differs from the first one in size or colour type`);
    const fctl = Buffer.alloc(26);
    fctl.writeUInt32BE(sequence++, 0);
    header.copy(fctl, 4, 0, 8); // width, height
    fctl.writeUInt16BE(Math.min(65_535, Math.round(milliseconds)), 20);
    fctl.writeUInt16BE(1000, 22);
    out.push(chunk('fcTL', fctl));
    for (const part of chunks.filter(({ type }) => type === 'IDAT')) {
      if (index === 0) out.push(chunk('IDAT', part.data));
      else {
        const number = Buffer.alloc(4);
        number.writeUInt32BE(sequence++, 0);
        out.push(chunk('fdAT', Buffer.concat([number, part.data])));
      }
    }
  });
  out.push(chunk('IEND', Buffer.alloc(0)));
  return Buffer.concat(out);
}
