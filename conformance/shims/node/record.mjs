// Records and relay passes: spec/record.md, spec/relay.md. Node's own library, nothing else.

import { createCipheriv, createHash, createHmac, timingSafeEqual } from "node:crypto";

/** Something that the specification says to reject: the error's name and the sentence that demands it. */
export class Rejected extends Error {
  constructor(requirement, reason, output) {
    super(`${requirement} ${reason}`);
    Object.assign(this, { requirement, reason, output });
  }
}

export const sha256 = (...parts) => createHash("sha256").update(Buffer.concat(parts)).digest();
export const hmac = (key, ...parts) => createHmac("sha256", key).update(Buffer.concat(parts)).digest();
const same = (a, b) => a.length === b.length && timingSafeEqual(a, b);
const ctr = (key, block, data) => createCipheriv("aes-128-ctr", key, block).update(data);
const number = (value, bytes) => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(BigInt(value));
  return out.subarray(8 - bytes);
};

/** HKDF-Expand, RFC 5869. */
function expand(key, info, length) {
  const blocks = [Buffer.alloc(0)];
  for (let n = 1; (n - 1) * 32 < length; n++) blocks.push(hmac(key, blocks[n - 1], info, Buffer.of(n)));
  return Buffer.concat(blocks).subarray(0, length);
}

const DATA = 1, CLOSE_NOTIFY = 2, KEY_UPDATE = 3, TICKET = 4, LARGEST = 65_536;

/** One direction of a channel. */
class Direction {
  constructor(traffic) {
    this.begin(traffic);
  }

  begin(traffic) {
    const keys = expand(traffic, Buffer.from("rec"), 52);
    Object.assign(this, { traffic, enc: keys.subarray(0, 16), mac: keys.subarray(16, 48), salt: keys.subarray(48), seq: 0 });
  }

  crypt(data) {
    return ctr(this.enc, Buffer.concat([this.salt, number(this.seq, 8), Buffer.alloc(4)]), data);
  }

  tag(c) {
    return hmac(this.mac, number(this.seq, 8), number(c.length, 3), c);
  }

  seal(content, type) {
    const c = this.crypt(Buffer.concat([content, Buffer.of(type)]));
    const record = Buffer.concat([number(c.length, 3), c, this.tag(c)]);
    this.seq += 1;
    if (type === KEY_UPDATE) this.begin(expand(this.traffic, Buffer.from("upd"), 32));
    return record;
  }

  /** The type and content of a record. Only an initiator sends tickets. */
  open(c, tag, ofInitiator) {
    if (!same(this.tag(c), tag)) throw new Rejected("REC-011", "record-mac");
    const plaintext = this.crypt(c);
    this.seq += 1;
    let end = plaintext.length;
    while (end > 0 && plaintext[end - 1] === 0) end -= 1;
    if (end === 0) throw new Rejected("REC-012", "record-padding");
    const [type, content] = [plaintext[end - 1], plaintext.subarray(0, end - 1)];
    const known = [DATA, CLOSE_NOTIFY, KEY_UPDATE].includes(type) || (ofInitiator && type === TICKET);
    if (!known) throw new Rejected("REC-013", "record-type");
    if ([CLOSE_NOTIFY, KEY_UPDATE].includes(type) && content.length > 0) throw new Rejected("REC-014", "record-content");
    if (type === KEY_UPDATE) this.begin(expand(this.traffic, Buffer.from("upd"), 32));
    return [type, content];
  }
}

/** Opens a stream: the contents of its data records, its tickets, and whether close_notify was read. */
export function openStream(traffic, stream, fin, ofInitiator = false) {
  const direction = new Direction(traffic);
  const contents = [], tickets = [];
  let closed = false;
  for (let at = 0; ; ) {
    const left = stream.subarray(at);
    if (closed && left.length > 0) throw new Rejected("REC-017", "after-close");
    if (closed || left.length < 3) break;
    const length = left.readUIntBE(0, 3);
    if (length < 1 || length > LARGEST) throw new Rejected("REC-010", "record-length");
    if (left.length < 3 + length + 32) break;
    const [type, content] = direction.open(left.subarray(3, 3 + length), left.subarray(3 + length, 35 + length), ofInitiator);
    if (type === DATA) contents.push(content);
    if (type === TICKET) tickets.push(content);
    closed = type === CLOSE_NOTIFY;
    at += 35 + length;
  }
  if (fin && !closed) throw new Rejected("REC-016", "truncated");
  return { contents, tickets, closed };
}

/** Seals one record an action. */
export function sealStream(traffic, actions) {
  const direction = new Direction(traffic);
  const seal = (action) => {
    if (action.data !== undefined) return direction.seal(Buffer.from(action.data, "hex"), DATA);
    return direction.seal(Buffer.alloc(0), action.key_update ? KEY_UPDATE : CLOSE_NOTIFY);
  };
  return Buffer.concat(actions.map(seal));
}

const passKeys = (key, circuit, side, address) =>
  expand(key, Buffer.concat([Buffer.from("meshrelay/1 pass"), circuit, Buffer.of(side), Buffer.from(address)]), 48);

/** A pass of relay.md section 3. */
export function makePass(key, address, circuit, side, expires, user) {
  const keys = passKeys(key, circuit, side, address);
  const account = hmac(key, Buffer.from("meshrelay/1 account"), user).subarray(0, 16);
  const c = ctr(keys.subarray(0, 16), Buffer.alloc(16), Buffer.concat([number(expires, 8), account]));
  return Buffer.concat([circuit, Buffer.of(side), c, hmac(keys.subarray(16), c)]);
}

/** What a relay remembers of its connections, as far as its answers depend on it. */
export class Relay {
  constructor(key, address) {
    Object.assign(this, { key, address, taken: new Set(), waiting: new Map(), accounts: new Map() });
  }

  /** The answer to all that came on one connection. */
  answer(bytes, now) {
    let said = "nothing";
    for (;;) {
      const wrong = (bytes[0] ?? 0) !== 0 || (bytes[1] ?? 1) !== 1 || ![1, 2].includes(bytes[2] ?? 1);
      if (wrong) throw new Rejected("RLY-001", "join-malformed", { answer: "silent" });
      if (bytes[2] === 2 && bytes.length >= 11) {
        [said, bytes] = ["pong", bytes.subarray(11)];
      } else if (bytes[2] === 1 && bytes.length >= 76) {
        return this.join(bytes.subarray(3, 76), now);
      } else {
        return said;
      }
    }
  }

  join(pass, now) {
    const refuse = (code, requirement, reason) => new Rejected(requirement, reason, { answer: { refused: code } });
    const [circuit, side, c, tag] = [pass.subarray(0, 16), pass[16], pass.subarray(17, 41), pass.subarray(41)];
    const keys = passKeys(this.key, circuit, side, this.address);
    if (side > 1 || !same(hmac(keys.subarray(16), c), tag)) throw refuse(1, "RLY-002", "join-unknown");
    const plaintext = ctr(keys.subarray(0, 16), Buffer.alloc(16), c);
    if (plaintext.readBigUInt64BE(0) <= BigInt(now)) throw refuse(2, "RLY-007", "join-expired");
    const place = circuit.toString("hex"), name = `${place} ${side}`;
    if (this.taken.has(name)) throw refuse(3, "RLY-004", "join-taken");
    const account = plaintext.subarray(8).toString("hex");
    const held = this.accounts.get(account) ?? 0;
    if (held >= 64) throw refuse(4, "RLY-008", "relay-busy");
    this.accounts.set(account, held + 1);
    this.taken.add(name);
    if (this.waiting.delete(place)) return "joined";
    this.waiting.set(place, side);
    return "waiting";
  }
}
