"""Judges tickets with signxml and lxml.

Reads one JSON object a line, {"ticket": base64, "keys": [SPKI in base64]}, and answers each with one:
{"refused": null or why, "signed_all": whether what was signed is the ticket without its signature,
"canonical": whether lxml's exclusive canonical form of the ticket is the ticket}.

With --check FILE: exits 0 if the pinned packages of a requirements file are installed.
"""

import base64
import datetime
import functools
import importlib.metadata
import json
import re
import sys


def check(requirements):
    for line in open(requirements):
        name, version = line.strip().split("==")
        if importlib.metadata.version(name) != version:
            sys.exit(1)


@functools.cache
def certificate(spki):
    """signxml trusts certificates, not keys: wrap the key. Nobody looks at who signed the certificate."""
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "issuer")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    builder = builder.public_key(serialization.load_der_public_key(base64.b64decode(spki)))
    return builder.sign(signer(), hashes.SHA256())


@functools.cache
def signer():
    return rsa.generate_private_key(65537, 2048)


def canonical(ticket):
    # As strict as lxml gets: no network, no entities, no recovery.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.tostring(etree.fromstring(ticket, parser), method="c14n", exclusive=True, with_comments=False)


def judge(ticket, keys):
    if ticket is None:
        return {"refused": "not base64", "signed_all": False, "canonical": False}
    ticket = base64.b64decode(ticket)
    answer = {"refused": "no key", "signed_all": False}
    for key in keys:
        try:
            result = XMLVerifier().verify(ticket, x509_cert=certificate(key))
        # Whatever a parser or a verifier throws at bad input is a refusal.
        except Exception as error:
            answer["refused"] = f"{type(error).__name__}: {error}"
            continue
        unsigned = re.sub(rb"<ds:Signature .*</ds:Signature>", b"", ticket, flags=re.S)
        answer = {"refused": None, "signed_all": result.signed_data == unsigned}
        break
    try:
        answer["canonical"] = canonical(ticket) == ticket
    except Exception:
        answer["canonical"] = False
    return answer


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(sys.argv[2])
        sys.exit()
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from lxml import etree
    from signxml import XMLVerifier

    for line in sys.stdin:
        print(json.dumps(judge(**json.loads(line))), flush=True)
