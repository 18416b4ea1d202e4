import { connect, type Socket } from 'node:net';

/** A Redis answer (RESP 2): errors are values here, since tests ask for them. */
export type Reply = string | number | null | Reply[] | { readonly error: string };

const CRLF = '\r\n';

/** Encodes a command as an array of bulk strings. */
function encode(words: readonly (string | Uint8Array)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}${CRLF}`)];
  for (const word of words) {
    const bytes = Buffer.from(word);
    parts.push(Buffer.from(`$${bytes.length}${CRLF}`), bytes, Buffer.from(CRLF));
  }
  return Buffer.concat(parts);
}

/** Decodes one answer at `at`; undefined while it is incomplete. */
function decode(data: Buffer, at: number): { value: Reply; end: number } | undefined {
  const eol = data.indexOf(CRLF, at);
  if (eol < 0) return undefined;
  const head = data.toString('latin1', at + 1, eol);
  const next = eol + 2;
  switch (data[at]) {
    case 0x2b: // +
      return { value: head, end: next };
    case 0x2d: // -
      return { value: { error: head }, end: next };
    case 0x3a: // :
      return { value: Number(head), end: next };
    case 0x24: {
      // $
      const length = Number(head);
      if (length < 0) return { value: null, end: next };
      if (data.length < next + length + 2) return undefined;
      return { value: data.toString('latin1', next, next + length), end: next + length + 2 };
    }
    case 0x2a: {
      // *
      const items: Reply[] = [];
      let end = next;
      for (let i = 0; i < Number(head); i++) {
        const item = decode(data, end);
        if (!item) return undefined;
        items.push(item.value);
        end = item.end;
      }
      return { value: items, end };
    }
    default:
      throw new Error(`not RESP: byte ${data[at]}`);
  }
}

/** One connection; commands are answered in order. */
export class RedisClient {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  readonly #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = [];

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (chunk) => this.#take(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length > 0 ? Buffer.concat([this.#received, chunk]) : chunk;
    let at = 0;
    for (;;) {
      const one = at < this.#received.length ? decode(this.#received, at) : undefined;
      if (!one) break;
      at = one.end;
      this.#waiting.shift()?.resolve(one.value);
    }
    this.#received = this.#received.subarray(at);
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  /** Sends one command and waits for its answer. Rejects when the connection is lost. */
  call(...words: (string | Uint8Array)[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error('the connection is closed'));
      this.#waiting.push({ resolve, reject });
      this.#socket.write(encode(words));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** The error text of an answer, or undefined where it is none. */
export function errorOf(reply: Reply): string | undefined {
  return typeof reply === 'object' && reply !== null && 'error' in reply ? reply.error : undefined;
}
