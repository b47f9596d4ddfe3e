// A shim for what record.mjs and ticket.mjs implement: JSON lines on standard input and output (../README.md).
//
//     meshproof run --shim "node conformance/shims/node/shim.mjs"

import { createPublicKey } from "node:crypto";
import { createInterface } from "node:readline";

import { Rejected, Relay, makePass, openStream, sealStream } from "./record.mjs";
import { decide, relate, verify } from "./ticket.mjs";

const hex = (text) => Buffer.from(text, "hex");
const key = (spki) => createPublicKey({ key: Buffer.from(spki, "base64"), format: "der", type: "spki" });
const issuersOf = (group) => new Map(group.issuers.map(({ name, keys }) => [name, keys.slice(0, 2).map(key)]));
const by = (group, test) => ({ now: test.now, audience: group.audience, issuers: issuersOf(group), revoked: test.revoked });

const TYPES = {
  TicketVerify(group, test) {
    const proved = test.presenter === "none" ? null : Buffer.from(test.presenter.spki, "base64");
    verify(test.ticket, { ...by(group, test), proved });
    return {};
  },
  TicketSet(group, test) {
    return { principal: decide(test.header, test.resource, test.action, by(group, test)) };
  },
  TicketPair(group, test) {
    const audience = `urn:meshproof:device:${test.responder}`;
    const ticket = verify(test.ticket, { now: test.now, audience, issuers: issuersOf(group), possession: false });
    return relate(ticket, test.responder, Buffer.from(test.responder_spki, "base64"));
  },
  RecordOpen(_, test) {
    const opened = openStream(hex(test.traffic), hex(test.stream), test.fin, test.role === "responder");
    const [contents, tickets] = [opened.contents, opened.tickets].map((list) => list.map((bytes) => bytes.toString("hex")));
    return { contents, tickets, closed: opened.closed };
  },
  RecordSeal(_, test) {
    return { stream: sealStream(hex(test.traffic), test.actions).toString("hex") };
  },
  RelayPass(group, test) {
    const pass = makePass(hex(group.key), test.address, hex(test.circuit), test.side, test.expires, hex(test.user));
    return { pass: pass.toString("hex") };
  },
  RelayJoin(group, test) {
    const relay = new Relay(hex(group.key), group.address);
    const last = test.connections.length - 1;
    let answer = null;
    test.connections.forEach((bytes, number) => {
      try {
        answer = relay.answer(hex(bytes), test.now);
      } catch (error) {
        // Only what the last connection is told is asked for.
        if (!(error instanceof Rejected) || number === last) throw error;
      }
    });
    return { answer };
  },
};

function answer(request) {
  if (request.op === "hello") {
    return { outcome: "accept", output: { protocol: 1, implementation: "node 0.1", ops: ["hello", "vector"] } };
  }
  if (request.op !== "vector" || !Object.hasOwn(TYPES, request.type)) return { outcome: "unsupported" };
  try {
    return { outcome: "accept", output: TYPES[request.type](request.group, request.test) };
  } catch (error) {
    if (!(error instanceof Rejected)) return { outcome: "error", detail: String(error) };
    const { reason, requirement, output } = error;
    return { outcome: "reject", reason, requirement, output };
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
}
