"""Judges tickets with software for Python: `judges.py signxml|bergshamra|pysaml2|python3-saml`.

Reads one JSON object a line, {"ticket": base64, "keys": [SPKI in base64]}, and answers each with one:
{"refused": null or why}; signxml's answers have more, see there. Each library is used as its documentation says that one
verifies a signed assertion, with the keys given as those of the issuer, and with nothing switched off.

With --check FILE...: exits 0 if the pinned packages of these requirements files are installed.
"""

import base64
import datetime
import functools
import importlib.metadata
import json
import logging
import re
import sys


def check(files):
    for line in (line for file in files for line in open(file)):
        name, version = line.strip().split("==")
        if importlib.metadata.version(name) != version:
            sys.exit(1)


@functools.cache
def certificate(spki):
    """A certificate around a key: most take keys no other way. Nobody looks at who signed it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "issuer")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    builder = builder.public_key(serialization.load_der_public_key(base64.b64decode(spki)))
    return builder.sign(signer(), hashes.SHA256())


@functools.cache
def signer():
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, 2048)


class Refused(Exception):
    pass


class Signxml:
    """Also says whether what was signed is the ticket without its signature, and whether lxml's exclusive canonical form of
    the ticket is the ticket."""

    more = {"signed_all": False, "canonical": False}

    def __init__(self):
        from lxml import etree
        from signxml import XMLVerifier

        self.etree, self.verifier = etree, XMLVerifier

    def judge(self, ticket, key):
        result = self.verifier().verify(ticket, x509_cert=certificate(key))
        unsigned = re.sub(rb"<ds:Signature .*</ds:Signature>", b"", ticket, flags=re.S)
        return {"signed_all": result.signed_data == unsigned}

    def see(self, ticket):
        # As strict as lxml gets: no network, no entities, no recovery.
        parser = self.etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        tree = self.etree.fromstring(ticket, parser)
        return {"canonical": self.etree.tostring(tree, method="c14n", exclusive=True, with_comments=False) == ticket}


class Bergshamra:
    """Its secure context: keys that are configured alone, references beside or above the signature alone."""

    more = {}

    def __init__(self):
        import pybergshamra

        self.library = pybergshamra

    def judge(self, ticket, key):
        manager = self.library.KeysManager()
        manager.add_key(self.library.load_spki_der(base64.b64decode(key)))
        result = self.library.verify(self.library.DsigContext.secure(manager), ticket.decode())
        if not result or not result.all_reference_digests_verified:
            raise Refused(result.reason)
        return {}


class Pysaml2:
    """Its check of a signed assertion, with the schema and the rules against wrapping; keys are the metadata's alone."""

    more = {}

    def __init__(self):
        from saml2 import saml
        from saml2.sigver import CryptoBackendXmlSec1, SecurityContext

        # It logs each refusal at length.
        logging.disable()
        self.saml, self.crypto, self.context = saml, CryptoBackendXmlSec1("/usr/bin/xmlsec1"), SecurityContext

    def judge(self, ticket, key):
        from cryptography.hazmat.primitives.serialization import Encoding

        class Metadata:
            def certs(self, *_):
                return [(None, base64.b64encode(certificate(key).public_bytes(Encoding.DER)).decode())]

        context = self.context(self.crypto, metadata=Metadata(), only_use_keys_in_metadata=True)
        text = ticket.decode()
        item = self.saml.assertion_from_string(text)
        if item is None:
            raise Refused("no assertion")
        name = "urn:oasis:names:tc:SAML:2.0:assertion:Assertion"
        if not context.check_signature(item, name, text, must=True):
            raise Refused("not verified")
        return {}


class Python3Saml:
    """Its check of the signature of an assertion, which is the document here and not part of a response."""

    more = {}

    def __init__(self):
        from onelogin.saml2.utils import OneLogin_Saml2_Utils

        self.utils = OneLogin_Saml2_Utils

    def judge(self, ticket, key):
        from cryptography.hazmat.primitives.serialization import Encoding

        pem, path = certificate(key).public_bytes(Encoding.PEM), "/saml:Assertion/ds:Signature"
        if not self.utils.validate_sign(ticket, cert=pem.decode(), xpath=path, raise_exceptions=True):
            raise Refused("not verified")
        return {}


JUDGES = {"signxml": Signxml, "bergshamra": Bergshamra, "pysaml2": Pysaml2, "python3-saml": Python3Saml}


def answer(judge, ticket, keys):
    if ticket is None:
        return judge.more | {"refused": "not base64"}
    ticket = base64.b64decode(ticket)
    said = judge.more | {"refused": "no key"}
    for key in keys:
        try:
            said |= judge.judge(ticket, key) | {"refused": None}
            break
        # Whatever a parser or a verifier throws at bad input is a refusal.
        except Exception as error:
            said["refused"] = f"{type(error).__name__}: {error}"
    try:
        said |= judge.see(ticket) if hasattr(judge, "see") else {}
    except Exception:
        pass
    return said


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(sys.argv[2:])
        sys.exit()
    judge = JUDGES[sys.argv[1]]()
    for line in sys.stdin:
        print(json.dumps(answer(judge, **json.loads(line))), flush=True)
