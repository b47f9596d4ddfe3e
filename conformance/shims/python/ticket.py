"""Tickets: spec/ticket.md. Parse (4.2), verify (4.3), decide by a set (4.4), the P2P predicate (4.5). Issuing is in issue.py.

There is no XML library here and none is wanted: a ticket has one byte form, so it is read by comparing literal text and
taking out the *slots* between it. `_Reader` walks the grammar of section 3 from left to right. That is the whole parser;
what the slots hold is judged afterwards, in the order of section 4.2.
"""

import base64
import calendar
import re
from dataclasses import dataclass, field

from crypto import EXPONENT, Failure, H, base64_strict, base64url_strict, rsa_verify, spki_of

LARGEST = 8192                                                      # TKT-004
LIFETIME = 600                                                      # TKT-002, TKT-023
SKEW = 30                                                           # TKT-022
SET_LARGEST = 16                                                    # TKT-027

USER, DEVICE = "urn:meshproof:user:", "urn:meshproof:device:"
ACTIONS = ("Read", "Write", "Delete", "Control")
KINDS = ("key", "claim", "mapping")
ATTRIBUTE = "urn:meshproof:attribute:"

DSIG = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
ENVELOPED = DSIG + "enveloped-signature"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
ALGORITHMS = (C14N, RSA_SHA256, ENVELOPED, C14N, SHA256)            # in the order of the grammar
SAML = "urn:oasis:names:tc:SAML:2.0:"

_HEX32, _HEX64 = "[0-9a-f]{32}", "[0-9a-f]{64}"
_URI = re.compile(r"[A-Za-z0-9._~:/-]{1,256}\Z")
_TEXT = re.compile(r"[\x20\x21\x23-\x25\x27-\x3b\x3d\x3f-\x7e]{1,256}\Z")
_WORD = re.compile(r"[A-Za-z]+\Z")
_ID = re.compile(rf"_{_HEX32}\Z")
_SUBJECT = re.compile(rf"(?:{USER}|{DEVICE}){_HEX32}\Z")
_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z\Z")
_VALUE = {
    "key": re.compile(rf"({_HEX32}) ({_HEX64})\Z"),
    "claim": re.compile(rf"({_HEX32}) ({_HEX32})\Z"),
    "mapping": re.compile(rf"({_HEX32} {_HEX32}) (owner|contributor|reader)\Z"),
}


@dataclass
class Ticket:
    """The fields of a parsed ticket. Times are seconds since 1970."""
    id: str = ""
    issue_instant: int = 0
    issuer: str = ""
    digest: bytes = b""
    signature: bytes = b""
    subject: str = ""
    confirmation: bytes = None          # the SPKI of a holder-of-key ticket, None for a bearer
    not_before: int = 0
    not_on_or_after: int = 0
    audience: str = ""
    authn: tuple = None                 # (instant, class)
    authz: list = field(default_factory=list)       # of (decision, resource, [actions])
    attributes: dict = field(default_factory=dict)  # kind -> {what it names: the rest}
    unsigned: bytes = b""               # the bytes without the signature production


# ---- the grammar -------------------------------------------------------------------------------------------------

class _Reader:
    """A place in the text. All that departs from the literal text is TKT-006."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def here(self, literal):
        return self.text.startswith(literal, self.at)

    def literal(self, literal):
        if not self.here(literal):
            raise Failure("ticket-syntax", "TKT-006", f"at byte {self.at}")
        self.at += len(literal)

    def slot(self, before="", after=""):
        """`before`, then the variable text up to the next " or <, then `after`."""
        self.literal(before)
        ends = [i for i in (self.text.find('"', self.at), self.text.find("<", self.at)) if i >= 0]
        end = min(ends, default=len(self.text))
        value, self.at = self.text[self.at:end], end
        if ">" in value or "&" in value:
            raise Failure("ticket-syntax", "TKT-006", "markup in a slot")
        self.literal(after)
        return value

    def matching(self, pattern, before, after):
        value = self.slot(before, after)
        if not pattern.match(value):
            raise Failure("ticket-syntax", "TKT-006", f"before byte {self.at}")
        return value

    def uri(self, before, after):
        return self.matching(_URI, before, after)

    def base64(self, before, after):
        data = base64_strict(self.slot(before, after))
        if data is None:
            raise Failure("ticket-syntax", "TKT-006", "base64")
        return data


def _read_signature(r, slots):
    """The production `signature`. Nothing of it but two base64 values is kept (section 6)."""
    r.literal(f'<ds:Signature xmlns:ds="{DSIG}"><ds:SignedInfo>')
    algorithms = [r.slot('<ds:CanonicalizationMethod Algorithm="', '"></ds:CanonicalizationMethod>'),
                  r.slot('<ds:SignatureMethod Algorithm="', '"></ds:SignatureMethod>')]
    slots["reference"] = r.slot('<ds:Reference URI="', '"><ds:Transforms>')
    algorithms += [r.slot('<ds:Transform Algorithm="', '"></ds:Transform>'),
                   r.slot('<ds:Transform Algorithm="', '"></ds:Transform></ds:Transforms>'),
                   r.slot('<ds:DigestMethod Algorithm="', '"></ds:DigestMethod>')]
    slots["algorithms"] = tuple(algorithms)
    slots["digest"] = r.base64("<ds:DigestValue>", "</ds:DigestValue></ds:Reference></ds:SignedInfo>")
    slots["signature"] = r.base64("<ds:SignatureValue>", "</ds:SignatureValue></ds:Signature>")


def _read_subject(r, slots):
    slots["subject"] = r.slot(f'<saml2:Subject><saml2:NameID Format="{SAML}nameid-format:persistent">',
                              '</saml2:NameID><saml2:SubjectConfirmation Method="')
    bearer = f'{SAML}cm:bearer"></saml2:SubjectConfirmation></saml2:Subject>'
    if r.here(bearer):
        return r.literal(bearer)
    r.literal(f'{SAML}cm:holder-of-key"><saml2:SubjectConfirmationData><ds:KeyInfo xmlns:ds="{DSIG}">')
    modulus = r.base64("<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>", "</ds:Modulus>")
    exponent = r.base64("<ds:Exponent>", "</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>")
    r.literal("</saml2:SubjectConfirmationData></saml2:SubjectConfirmation></saml2:Subject>")
    slots["key"] = (modulus, exponent)


def _read_statements(r, slots):
    if r.here("<saml2:AuthnStatement"):
        instant = r.slot('<saml2:AuthnStatement AuthnInstant="', '"><saml2:AuthnContext>')
        slots["authn"] = instant, r.uri("<saml2:AuthnContextClassRef>", "</saml2:AuthnContextClassRef>"
                                        "</saml2:AuthnContext></saml2:AuthnStatement>")
    while r.here("<saml2:AuthzDecisionStatement") and len(slots["authz"]) < 16:
        decision = r.matching(_WORD, '<saml2:AuthzDecisionStatement Decision="', '" Resource="')
        resource, actions = r.uri("", '">'), []
        while not actions or (r.here("<saml2:Action ") and len(actions) < 4):
            actions.append(r.matching(_WORD, '<saml2:Action Namespace="urn:oasis:names:tc:SAML:1.0:action:rwedc">', "</saml2:Action>"))
        r.literal("</saml2:AuthzDecisionStatement>")
        slots["authz"].append((decision, resource, actions))
    if r.here("<saml2:AttributeStatement"):
        r.literal("<saml2:AttributeStatement>")
        while not slots["attributes"] or r.here("<saml2:Attribute "):
            name, values = r.uri('<saml2:Attribute Name="', '">'), []
            while not values or (r.here("<saml2:AttributeValue") and len(values) < 64):
                values.append(r.matching(_TEXT, "<saml2:AttributeValue>", "</saml2:AttributeValue>"))
            r.literal("</saml2:Attribute>")
            slots["attributes"].append((name, values))
        r.literal("</saml2:AttributeStatement>")


def _read(text):
    """The literal text of the whole ticket is compared before any slot is judged (section 4.2)."""
    r, slots = _Reader(text), {"key": None, "authn": None, "authz": [], "attributes": []}
    slots["id"] = r.slot(f'<saml2:Assertion xmlns:saml2="{SAML}assertion" ID="', '" IssueInstant="')
    slots["issue_instant"] = r.slot("", '" Version="2.0">')
    slots["issuer"] = r.uri("<saml2:Issuer>", "</saml2:Issuer>")
    begin = r.at
    _read_signature(r, slots)
    slots["unsigned"] = (text[:begin] + text[r.at:]).encode()
    _read_subject(r, slots)
    slots["not_before"] = r.slot('<saml2:Conditions NotBefore="', '" NotOnOrAfter="')
    slots["not_on_or_after"] = r.slot("", '"><saml2:AudienceRestriction><saml2:Audience>')
    slots["audience"] = r.uri("", "</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>")
    _read_statements(r, slots)
    r.literal("</saml2:Assertion>")
    if r.at != len(text):
        raise Failure("ticket-syntax", "TKT-006", "something follows")
    return slots


# ---- 4.2 parse ---------------------------------------------------------------------------------------------------

def _time_of(text):
    """TKT-008: a calendar date and time of day of the years 1970 to 9999."""
    match = _TIME.match(text)
    if match:
        year, month, day, hour, minute, second = map(int, match.groups())
        if (1970 <= year and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]
                and hour < 24 and minute < 60 and second < 60):
            return calendar.timegm((year, month, day, hour, minute, second))
    raise Failure("ticket-time-syntax", "TKT-008", text)


def _confirmation_of(key):
    """TKT-012: the SPKI of the confirmation key."""
    if key is None:
        return None
    modulus, exponent = key
    n = int.from_bytes(modulus, "big")
    right = exponent == EXPONENT.to_bytes(3, "big") and modulus[:1] != b"\0" and n % 2 == 1 and 2048 <= n.bit_length() <= 3072
    if not right:
        raise Failure("ticket-confirmation-key", "TKT-012")
    return spki_of(n)


def _authz_of(authz):
    if any(decision not in ("Permit", "Deny") for decision, _, _ in authz):
        raise Failure("ticket-decision", "TKT-013")
    for _, _, actions in authz:
        if any(a not in ACTIONS for a in actions) or actions != sorted(set(actions), key=ACTIONS.index):
            raise Failure("ticket-action", "TKT-015")
    return authz


def _attributes_of(attributes):
    """TKT-016, TKT-017, TKT-036, in this order."""
    names = [name for name, _ in attributes]
    if len(set(names)) != len(names):
        raise Failure("ticket-attribute-repeated", "TKT-016")
    result = {kind: [] for kind in KINDS}
    for name, values in attributes:
        kind = name.removeprefix(ATTRIBUTE)
        if name != ATTRIBUTE + kind or kind not in KINDS or not all(_VALUE[kind].match(v) for v in values):
            raise Failure("ticket-attribute", "TKT-017", name)
        result[kind] = [_VALUE[kind].match(v).groups() for v in values]
    for pairs in result.values():
        if len(dict(pairs)) != len(pairs):
            raise Failure("ticket-attribute-ambiguous", "TKT-036")
    return {kind: dict(pairs) for kind, pairs in result.items()}


def parse(data):
    """The fields of a ticket's bytes. The steps are in the order of section 4.2; the first failure decides."""
    if len(data) > LARGEST:
        raise Failure("ticket-too-large", "TKT-004")
    if any(not 0x20 <= b <= 0x7e for b in data):
        raise Failure("ticket-bytes", "TKT-005")
    s = _read(data.decode("ascii"))
    if not _ID.match(s["id"]):
        raise Failure("ticket-id", "TKT-007")
    times = [_time_of(s[name]) for name in ("issue_instant", "not_before", "not_on_or_after")]
    authn = s["authn"] and (_time_of(s["authn"][0]), s["authn"][1])
    if s["reference"] != "#" + s["id"]:
        raise Failure("ticket-reference", "TKT-009")
    if s["algorithms"] != ALGORITHMS:
        raise Failure("ticket-algorithm", "TKT-010")
    if not _SUBJECT.match(s["subject"]):
        raise Failure("ticket-subject", "TKT-011")
    confirmation = _confirmation_of(s["key"])
    authz, attributes = _authz_of(s["authz"]), _attributes_of(s["attributes"])
    if not authn and not authz and not s["attributes"]:
        raise Failure("ticket-empty", "TKT-018")
    return Ticket(s["id"], times[0], s["issuer"], s["digest"], s["signature"], s["subject"], confirmation, times[1], times[2],
                  s["audience"], authn, authz, attributes, s["unsigned"])


def from_base64url(text):
    data = base64url_strict(text)
    if data is None:
        raise Failure("ticket-encoding", "TKT-003")
    return data


# ---- 4.3 verify --------------------------------------------------------------------------------------------------

def signed_info(ticket_id, digest):
    """What is signed: the canonical form of ds:SignedInfo (section 4.1, step 3). It has the namespace that the element in the
    ticket inherits, and is rebuilt from constants and the digest."""
    return signed_info_element(ticket_id, digest, f' xmlns:ds="{DSIG}"').encode()


def signed_info_element(ticket_id, digest, namespace=""):
    value = base64.b64encode(digest).decode()
    return (f'<ds:SignedInfo{namespace}><ds:CanonicalizationMethod Algorithm="{C14N}"></ds:CanonicalizationMethod>'
            f'<ds:SignatureMethod Algorithm="{RSA_SHA256}"></ds:SignatureMethod><ds:Reference URI="#{ticket_id}">'
            f'<ds:Transforms><ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>'
            f'<ds:Transform Algorithm="{C14N}"></ds:Transform></ds:Transforms>'
            f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod><ds:DigestValue>{value}</ds:DigestValue>'
            f'</ds:Reference></ds:SignedInfo>')


def configuration(keys):
    """name -> [SPKI], of (name, SPKI). More than two keys of one issuer are refused, and never cut to two (TKT-021)."""
    issuers = {}
    for name, key in keys:
        issuers.setdefault(name, []).append(key)
        if len(issuers[name]) > 2:
            raise Failure("ticket-signature", "TKT-021", f"{name} has more than two keys: this is no configuration")
    return issuers


def verify(data, now, audience, issuers, proved=None, revoked=(), possession=True):
    """Parse and believe. `issuers`: a configuration; `proved`: the SPKI that the presenter proved to hold, or None;
    `possession=False` leaves TKT-025 out, for the handshake puts HSK-024 in its place."""
    t = parse(data)
    if t.issuer not in issuers:
        raise Failure("ticket-issuer", "TKT-019")
    if t.digest != H(t.unsigned):
        raise Failure("ticket-digest", "TKT-020")
    message = signed_info(t.id, t.digest)
    if not any(rsa_verify(key, t.signature, message) for key in issuers[t.issuer]):
        raise Failure("ticket-signature", "TKT-021")
    if t.not_before > now + SKEW:
        raise Failure("ticket-not-yet-valid", "TKT-022")
    if t.not_on_or_after <= now:
        raise Failure("ticket-expired", "TKT-014")
    if not 1 <= t.not_on_or_after - t.not_before <= LIFETIME:
        raise Failure("ticket-lifetime", "TKT-023")
    if t.audience != audience:
        raise Failure("ticket-audience", "TKT-024")
    if possession and t.confirmation is not None and t.confirmation != proved:
        raise Failure("ticket-possession", "TKT-025")
    if t.subject in revoked:
        raise Failure("ticket-revoked", "TKT-026")
    return t


# ---- 4.4 decide by a set -----------------------------------------------------------------------------------------

def decide(header, resource, action, now, audience, issuers, revoked=()):
    """The principal to whom the set of `header` grants the action, or a Failure."""
    elements = header.split(",")
    if len(elements) > SET_LARGEST:
        raise Failure("ticket-set", "TKT-027")
    tickets = [verify(from_base64url(e), now, audience, issuers, None, revoked) for e in elements]      # TKT-028
    if len({t.subject for t in tickets}) != 1:
        raise Failure("ticket-set-subject", "TKT-029")
    if not any(t.authn for t in tickets):                           # then no decision is looked at
        raise Failure("action-not-permitted", "TKT-035", "no authentication ticket")
    decisions = {d for t in tickets for d, r, actions in t.authz if r == resource and action in actions}
    if "Deny" in decisions:
        raise Failure("action-denied", "TKT-030")
    if "Permit" not in decisions:
        raise Failure("action-not-permitted", "TKT-035")
    return tickets[0].subject


# ---- 4.5 the P2P predicate ---------------------------------------------------------------------------------------

@dataclass
class Grounds:
    """Why two devices may talk: the user who claims both, if any, and folder -> (initiator's role, responder's role). `owner` is
    the user who claims the initiator, if the ticket says so."""
    initiator: str
    fingerprint: str
    user: str
    folders: dict
    owner: str = None

    def permits_all_of(self, other):
        """HSK-057: nothing of `other` is missing here."""
        return ((other.user is None or other.user == self.user)
                and all(self.folders.get(f) == roles for f, roles in other.folders.items()))


def mapped(t):
    """The folders that a pair ticket names."""
    return {pair.split(" ")[0] for pair in t.attributes["mapping"]}


def relate(t, responder, responder_spki):
    """The grounds on which a verified pair ticket relates its subject to the responder."""
    if not t.subject.startswith(DEVICE) or t.confirmation is None:
        raise Failure("pair-bearer", "TKT-034")
    x = t.subject.removeprefix(DEVICE)
    if t.attributes["key"].get(responder) != H(responder_spki).hex():
        raise Failure("pair-responder-key", "TKT-033")
    claims, mappings = t.attributes["claim"], t.attributes["mapping"]
    user = claims.get(x) if claims.get(x) == claims.get(responder) else None
    folders = {}
    for folder in sorted(mapped(t)):
        roles = mappings.get(f"{folder} {x}"), mappings.get(f"{folder} {responder}")
        if all(roles):
            folders[folder] = roles
    if user is None and not folders:
        raise Failure("pair-unrelated", "TKT-032")
    return Grounds(x, H(t.confirmation).hex(), user, folders, claims.get(x))
