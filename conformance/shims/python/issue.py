"""Writing tickets: spec/ticket.md section 4.1, for tests and for whoever wants to see where the bytes come from.

The grammar is written down a second time here, from left to right, as ticket.py reads it.
"""

import base64
import time

from crypto import Failure, H, draw, modulus_of_device_key, rsa_sign
from ticket import ATTRIBUTE, DSIG, KINDS, LIFETIME, SAML, parse, signed_info, signed_info_element


def _stamp(seconds):
    """A time in the form of the grammar. Years beyond 9999 have no form."""
    try:
        t = time.gmtime(seconds)
    except (OverflowError, ValueError, OSError):
        raise Failure("ticket-time-syntax", "TKT-001")
    return f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}Z"


def _write_subject(f):
    method = "holder-of-key" if f["confirmation"] else "bearer"
    key = ""
    if f["confirmation"]:
        n = modulus_of_device_key(f["confirmation"])
        if n is None:
            raise Failure("ticket-confirmation-key", "TKT-001")
        modulus = base64.b64encode(n.to_bytes((n.bit_length() + 7) // 8, "big")).decode()
        key = (f'<saml2:SubjectConfirmationData><ds:KeyInfo xmlns:ds="{DSIG}"><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}'
               '</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>'
               '</saml2:SubjectConfirmationData>')
    return (f'<saml2:Subject><saml2:NameID Format="{SAML}nameid-format:persistent">{f["subject"]}</saml2:NameID>'
            f'<saml2:SubjectConfirmation Method="{SAML}cm:{method}">{key}</saml2:SubjectConfirmation></saml2:Subject>')


def _write_statements(f):
    out = []
    if f["authn"]:
        out.append(f'<saml2:AuthnStatement AuthnInstant="{_stamp(f["authn"]["instant"])}"><saml2:AuthnContext>'
                   f'<saml2:AuthnContextClassRef>{f["authn"]["class"]}</saml2:AuthnContextClassRef>'
                   '</saml2:AuthnContext></saml2:AuthnStatement>')
    for a in f["authz"]:
        actions = "".join(f'<saml2:Action Namespace="urn:oasis:names:tc:SAML:1.0:action:rwedc">{x}</saml2:Action>'
                          for x in a["actions"])
        out.append(f'<saml2:AuthzDecisionStatement Decision="{a["decision"]}" Resource="{a["resource"]}">{actions}'
                   '</saml2:AuthzDecisionStatement>')
    attributes = "".join(
        f'<saml2:Attribute Name="{ATTRIBUTE}{kind}">'
        + "".join(f'<saml2:AttributeValue>{v}</saml2:AttributeValue>' for v in f["attributes"][kind]) + '</saml2:Attribute>'
        for kind in KINDS if f["attributes"].get(kind))
    if attributes:
        out.append(f'<saml2:AttributeStatement>{attributes}</saml2:AttributeStatement>')
    return "".join(out)


def issue(f, issuer_key):
    """The bytes of the ticket with the fields `f` (the names of vectors/README.md, TicketIssue).

    Whatever comes out is parsed again and has to say what was asked for, so that no field can smuggle markup in (TKT-001)."""
    ticket_id = "_" + draw(16).hex() if f.get("id") is None else f["id"]
    head = (f'<saml2:Assertion xmlns:saml2="{SAML}assertion" ID="{ticket_id}" IssueInstant="{_stamp(f["issue_instant"])}" '
            f'Version="2.0"><saml2:Issuer>{f["issuer"]}</saml2:Issuer>')
    tail = (_write_subject(f) + f'<saml2:Conditions NotBefore="{_stamp(f["not_before"])}" '
            f'NotOnOrAfter="{_stamp(f["not_on_or_after"])}"><saml2:AudienceRestriction><saml2:Audience>{f["audience"]}'
            '</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>' + _write_statements(f) + '</saml2:Assertion>')
    digest = H((head + tail).encode())
    value = base64.b64encode(rsa_sign(issuer_key, signed_info(ticket_id, digest))).decode()
    data = (f'{head}<ds:Signature xmlns:ds="{DSIG}">{signed_info_element(ticket_id, digest)}'
            f'<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature>{tail}').encode()
    t = parse(data)
    said = [(d, r, a) for d, r, a in t.authz]
    asked = [(a["decision"], a["resource"], a["actions"]) for a in f["authz"]]
    if (t.id, t.issuer, t.subject, t.audience, said) != (ticket_id, f["issuer"], f["subject"], f["audience"], asked):
        raise Failure("ticket-syntax", "TKT-001")
    if not 1 <= t.not_on_or_after - t.not_before <= LIFETIME:
        raise Failure("ticket-lifetime", "TKT-002")
    return data
