// Tickets: spec/ticket.md. Read (4.2), verify (4.3), decide by a set (4.4), the P2P predicate (4.5). There is no XML here: a
// ticket has one form, so its literal text is compared and what stands between is taken out.

import { createPublicKey, verify as verifySignature } from "node:crypto";

import { Rejected, sha256 } from "./record.mjs";

const DSIG = "http://www.w3.org/2000/09/xmldsig#", SAML = "urn:oasis:names:tc:SAML:2.0:";
const C14N = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ALGORITHMS = [C14N, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", `${DSIG}enveloped-signature`, C14N,
  "http://www.w3.org/2001/04/xmlenc#sha256"];
const LETTERS = /^[A-Za-z]+$/;
const ACTIONS = ["Read", "Write", "Delete", "Control"];
const URI = /^[A-Za-z0-9._~:/-]{1,256}$/, TEXT = /^[\x20-\x25\x27-\x3b\x3d\x3f-\x7e]{1,256}$/;
const ID = "[0-9a-f]{32}";
const VALUES = {
  key: new RegExp(`^(${ID}) ([0-9a-f]{64})$`),
  claim: new RegExp(`^(${ID}) (${ID})$`),
  mapping: new RegExp(`^(${ID} ${ID}) (owner|contributor|reader)$`),
};

const demand = (holds, requirement, reason) => {
  if (!holds) throw new Rejected(requirement, reason);
};

/** Bytes of base64 as it has to be spelled, or null. */
function base64(text, form) {
  const bytes = Buffer.from(text, form);
  return bytes.toString(form) === text ? bytes : null;
}

/** A place in the text; all that departs from the literal text is TKT-006. */
class Reader {
  constructor(text) {
    Object.assign(this, { text, at: 0 });
  }

  is(literal) {
    return this.text.startsWith(literal, this.at);
  }

  skip(literal) {
    demand(this.is(literal), "TKT-006", "ticket-syntax");
    this.at += literal.length;
  }

  /** `before`, what stands up to the next quotation mark or <, and `after`. */
  slot(before, after, form) {
    this.skip(before);
    const length = this.text.slice(this.at).search(/["<]/);
    const value = length < 0 ? this.text.slice(this.at) : this.text.slice(this.at, this.at + length);
    demand(!/[>&]/.test(value) && (!form || form.test(value)), "TKT-006", "ticket-syntax");
    this.at += value.length;
    this.skip(after);
    return value;
  }

  bytes(before, after) {
    const bytes = base64(this.slot(before, after), "base64");
    demand(bytes !== null, "TKT-006", "ticket-syntax");
    return bytes;
  }

  /** 1 to `most` of what begins with `begin`. */
  several(begin, most, read) {
    const all = [];
    while (all.length === 0 || (all.length < most && this.is(begin))) all.push(read());
    return all;
  }
}

function grammar(text) {
  const r = new Reader(text), t = { authz: [], attributes: [] };
  t.id = r.slot(`<saml2:Assertion xmlns:saml2="${SAML}assertion" ID="`, '" IssueInstant="');
  const times = [r.slot("", '" Version="2.0">')];
  t.issuer = r.slot("<saml2:Issuer>", "</saml2:Issuer>", URI);
  const begin = r.at;
  const algorithms = [
    r.slot(`<ds:Signature xmlns:ds="${DSIG}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="`, '"></ds:CanonicalizationMethod>'),
    r.slot('<ds:SignatureMethod Algorithm="', '"></ds:SignatureMethod>'),
  ];
  const reference = r.slot('<ds:Reference URI="', '"><ds:Transforms>');
  algorithms.push(r.slot('<ds:Transform Algorithm="', '"></ds:Transform>'));
  algorithms.push(r.slot('<ds:Transform Algorithm="', '"></ds:Transform></ds:Transforms>'));
  algorithms.push(r.slot('<ds:DigestMethod Algorithm="', '"></ds:DigestMethod>'));
  t.digest = r.bytes("<ds:DigestValue>", "</ds:DigestValue></ds:Reference></ds:SignedInfo>");
  t.signature = r.bytes("<ds:SignatureValue>", "</ds:SignatureValue></ds:Signature>");
  t.signed = Buffer.from(text.slice(0, begin) + text.slice(r.at));
  t.subject = r.slot(`<saml2:Subject><saml2:NameID Format="${SAML}nameid-format:persistent">`,
    `</saml2:NameID><saml2:SubjectConfirmation Method="${SAML}cm:`);
  const bearer = 'bearer"></saml2:SubjectConfirmation></saml2:Subject>';
  let key = null;
  if (r.is(bearer)) {
    r.skip(bearer);
  } else {
    const modulus = r.bytes(`holder-of-key"><saml2:SubjectConfirmationData><ds:KeyInfo xmlns:ds="${DSIG}"><ds:KeyValue><ds:RSAKeyValue>` +
      "<ds:Modulus>", "</ds:Modulus>");
    const exponent = r.bytes("<ds:Exponent>", "</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>");
    r.skip("</saml2:SubjectConfirmationData></saml2:SubjectConfirmation></saml2:Subject>");
    key = { modulus, exponent };
  }
  times.push(r.slot('<saml2:Conditions NotBefore="', '" NotOnOrAfter="'));
  times.push(r.slot("", '"><saml2:AudienceRestriction><saml2:Audience>'));
  t.audience = r.slot("", "</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>", URI);
  if (r.is("<saml2:AuthnStatement")) {
    times.push(r.slot('<saml2:AuthnStatement AuthnInstant="', '"><saml2:AuthnContext>'));
    t.authn = r.slot("<saml2:AuthnContextClassRef>", "</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>", URI);
  }
  if (r.is("<saml2:AuthzDecisionStatement")) {
    t.authz = r.several("<saml2:AuthzDecisionStatement", 16, () => {
      const decision = r.slot('<saml2:AuthzDecisionStatement Decision="', '" Resource="', LETTERS);
      const resource = r.slot("", '">', URI);
      const actions = r.several("<saml2:Action ", 4,
        () => r.slot('<saml2:Action Namespace="urn:oasis:names:tc:SAML:1.0:action:rwedc">', "</saml2:Action>", LETTERS));
      r.skip("</saml2:AuthzDecisionStatement>");
      return { decision, resource, actions };
    });
  }
  if (r.is("<saml2:AttributeStatement")) {
    r.skip("<saml2:AttributeStatement>");
    t.attributes = r.several("<saml2:Attribute ", Infinity, () => {
      const name = r.slot('<saml2:Attribute Name="', '">', URI);
      const values = r.several("<saml2:AttributeValue", 64,
        () => r.slot("<saml2:AttributeValue>", "</saml2:AttributeValue>", TEXT));
      r.skip("</saml2:Attribute>");
      return [name, values];
    });
    r.skip("</saml2:AttributeStatement>");
  }
  r.skip("</saml2:Assertion>");
  demand(r.at === text.length, "TKT-006", "ticket-syntax");
  return { t, times, reference, algorithms, key };
}

/** TKT-008. */
function seconds(text) {
  const parts = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z$/.exec(text);
  const time = parts ? Date.parse(text) : NaN;
  // What does not exist, as 30 February or second 60, is another time or none to Date.
  const right = time >= 0 && new Date(time).toISOString() === text.replace("Z", ".000Z");
  demand(right, "TKT-008", "ticket-time-syntax");
  return time / 1000;
}

/** The steps of section 4.2, in their order. */
function parse(bytes) {
  demand(bytes.length <= 8192, "TKT-004", "ticket-too-large");
  demand(bytes.every((byte) => byte >= 0x20 && byte <= 0x7e), "TKT-005", "ticket-bytes");
  const { t, times, reference, algorithms, key } = grammar(bytes.toString("latin1"));
  demand(new RegExp(`^_${ID}$`).test(t.id), "TKT-007", "ticket-id");
  [t.issued, t.notBefore, t.notOnOrAfter] = times.map(seconds);
  demand(reference === `#${t.id}`, "TKT-009", "ticket-reference");
  demand(algorithms.every((name, at) => name === ALGORITHMS[at]), "TKT-010", "ticket-algorithm");
  demand(new RegExp(`^urn:meshproof:(user|device):${ID}$`).test(t.subject), "TKT-011", "ticket-subject");
  t.confirmation = key && confirmation(key);
  for (const { decision } of t.authz) demand(["Permit", "Deny"].includes(decision), "TKT-013", "ticket-decision");
  for (const { actions } of t.authz) {
    const places = actions.map((action) => ACTIONS.indexOf(action));
    const rising = places.every((place, at) => place > (places[at - 1] ?? -1));
    demand(rising, "TKT-015", "ticket-action");
  }
  const names = t.attributes.map(([name]) => name);
  demand(new Set(names).size === names.length, "TKT-016", "ticket-attribute-repeated");
  const stated = t.attributes.length > 0;
  const kinds = { key: [], claim: [], mapping: [] };
  for (const [name, values] of t.attributes) {
    const kind = name.replace(/^urn:meshproof:attribute:/, "");
    const found = values.map((value) => (kind !== name && Object.hasOwn(VALUES, kind) ? VALUES[kind].exec(value) : null));
    demand(found.every(Boolean), "TKT-017", "ticket-attribute");
    kinds[kind] = found.map((match) => [match[1], match[2]]);
  }
  for (const pairs of Object.values(kinds)) {
    demand(new Map(pairs).size === pairs.length, "TKT-036", "ticket-attribute-ambiguous");
  }
  t.attributes = Object.fromEntries(Object.entries(kinds).map(([kind, pairs]) => [kind, new Map(pairs)]));
  demand(t.authn || t.authz.length > 0 || stated, "TKT-018", "ticket-empty");
  return t;
}

/** TKT-012: the key as SPKI. */
function confirmation({ modulus, exponent }) {
  const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
  const odd = modulus.at(-1) % 2 === 1;
  const right = exponent.toString("hex") === "010001" && modulus[0] !== 0 && odd && bits >= 2048 && bits <= 3072;
  demand(right, "TKT-012", "ticket-confirmation-key");
  const key = { kty: "RSA", n: modulus.toString("base64url"), e: "AQAB" };
  return createPublicKey({ key, format: "jwk" }).export({ format: "der", type: "spki" });
}

function signedInfo(t) {
  const method = (name, at) => `<ds:${name} Algorithm="${ALGORITHMS[at]}"></ds:${name}>`;
  return `<ds:SignedInfo xmlns:ds="${DSIG}">${method("CanonicalizationMethod", 0)}${method("SignatureMethod", 1)}` +
    `<ds:Reference URI="#${t.id}"><ds:Transforms>${method("Transform", 2)}${method("Transform", 3)}</ds:Transforms>` +
    `${method("DigestMethod", 4)}<ds:DigestValue>${t.digest.toString("base64")}</ds:DigestValue></ds:Reference></ds:SignedInfo>`;
}

/** Section 4.3. `issuers` maps names to keys; `proved` is the SPKI that the presenter proved to hold, or null. */
export function verify(header, { now, audience, issuers, proved = null, revoked = [], possession = true }) {
  const bytes = base64(header, "base64url");
  demand(bytes !== null, "TKT-003", "ticket-encoding");
  const t = parse(bytes);
  const keys = issuers.get(t.issuer);
  demand(keys !== undefined, "TKT-019", "ticket-issuer");
  demand(t.digest.equals(sha256(t.signed)), "TKT-020", "ticket-digest");
  const info = Buffer.from(signedInfo(t));
  const signed = keys.some((key) => verifySignature("sha256", info, key, t.signature));
  demand(signed, "TKT-021", "ticket-signature");
  demand(t.notBefore <= now + 30, "TKT-022", "ticket-not-yet-valid");
  demand(now < t.notOnOrAfter, "TKT-014", "ticket-expired");
  const life = t.notOnOrAfter - t.notBefore;
  demand(life >= 1 && life <= 600, "TKT-023", "ticket-lifetime");
  demand(t.audience === audience, "TKT-024", "ticket-audience");
  demand(!possession || !t.confirmation || (proved && t.confirmation.equals(proved)), "TKT-025", "ticket-possession");
  demand(!revoked.includes(t.subject), "TKT-026", "ticket-revoked");
  return t;
}

/** Section 4.4: to whom the set grants the action. */
export function decide(header, resource, action, by) {
  const words = header.split(",");
  demand(words.length <= 16, "TKT-027", "ticket-set");
  const tickets = words.map((word) => verify(word, by));
  demand(tickets.every((t) => t.subject === tickets[0].subject), "TKT-029", "ticket-set-subject");
  const said = tickets.flatMap((t) => t.authz).filter((one) => one.resource === resource && one.actions.includes(action));
  demand(tickets.some((t) => t.authn), "TKT-035", "action-not-permitted");
  demand(said.every((one) => one.decision === "Permit"), "TKT-030", "action-denied");
  demand(said.length > 0, "TKT-035", "action-not-permitted");
  return tickets[0].subject;
}

/** Section 4.5: why two devices may talk. */
export function relate(t, responder, responderSpki) {
  demand(t.subject.startsWith("urn:meshproof:device:") && t.confirmation, "TKT-034", "pair-bearer");
  const x = t.subject.replace("urn:meshproof:device:", "");
  const { key, claim, mapping } = t.attributes;
  demand(key.get(responder) === sha256(responderSpki).toString("hex"), "TKT-033", "pair-responder-key");
  const user = claim.get(x) !== undefined && claim.get(x) === claim.get(responder) ? claim.get(x) : null;
  const folders = [...new Set([...mapping.keys()].map((pair) => pair.split(" ")[0]))].sort()
    .map((folder) => ({ folder, initiator_role: mapping.get(`${folder} ${x}`), responder_role: mapping.get(`${folder} ${responder}`) }))
    .filter((one) => one.initiator_role && one.responder_role);
  demand(user !== null || folders.length > 0, "TKT-032", "pair-unrelated");
  return { initiator: x, initiator_fingerprint: sha256(t.confirmation).toString("hex"), user, folders };
}
