"""The primitives of the specification: spec/README.md "Conventions", spec/handshake.md section 2.

Everything here is a thin name over the standard library or `cryptography`, but for three things that neither offers:
OAEP with a given seed (needed for reproducible tests), strict SPKI reading, and canonical base64.
"""

import base64
import binascii
import hashlib
import hmac as _hmac
import os
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

try:                                    # ML-KEM-768 needs a recent `cryptography` with a recent OpenSSL below it
    from cryptography.hazmat.primitives.asymmetric import mlkem
    mlkem.MLKEM768PrivateKey.from_seed_bytes(bytes(64))
    HAVE_MLKEM = True
except Exception:                       # pragma: no cover - depends on the installed library
    HAVE_MLKEM = False

EXPONENT = 65537


class Failure(Exception):
    """Something that the specification says to reject: the error's name and the sentence that demands it."""

    def __init__(self, reason, requirement, detail="", answer="silent"):
        super().__init__(f"{reason} ({requirement}) {detail}".rstrip())
        self.reason, self.requirement, self.detail = reason, requirement, detail
        self.answer = answer            # what a responder sends before it closes; see handshake.py


# ---- hashes and keys (README.md, "Conventions") ------------------------------------------------------------------

def H(*parts):
    """SHA-256 of the concatenation."""
    return hashlib.sha256(b"".join(parts)).digest()


def HMAC(key, *parts):
    return _hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def equal(a, b):
    """Comparison in constant time."""
    return _hmac.compare_digest(a, b)


def extract(salt, ikm):
    """HKDF-Extract, RFC 5869."""
    return HMAC(salt, ikm)


def expand(prk, info, length):
    """HKDF-Expand, RFC 5869."""
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = HMAC(prk, block, info, bytes([counter]))
        out += block
        counter += 1
    return out[:length]


def aes_ctr(key, counter_block, data):
    """AES-128 in counter mode. `cryptography` counts in all 128 bits, record.md in the last 32: a record has at most 4,096
    blocks and begins at 0, so that the two are the same."""
    context = Cipher(algorithms.AES(key), modes.CTR(counter_block)).encryptor()
    return context.update(data) + context.finalize()


def etm_seal(k48, aad, plaintext):
    """EtM(K48, aad, p) of handshake.md section 2."""
    c = aes_ctr(k48[:16], bytes(16), plaintext)
    return c + HMAC(k48[16:], aad, c)


def etm_open(k48, aad, box):
    """The plaintext, or None when the box does not authenticate. The MAC comes first."""
    if len(box) < 32:
        return None
    c, tag = box[:-32], box[-32:]
    if not equal(HMAC(k48[16:], aad, c), tag):
        return None
    return aes_ctr(k48[:16], bytes(16), c)


# ---- base64 ------------------------------------------------------------------------------------------------------

_B64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z")
_B64URL = re.compile(r"[A-Za-z0-9_-]*\Z")


def base64_strict(text):
    """Bytes of canonical base64 (RFC 4648 section 4, with padding, no stray bits), or None."""
    if not _B64.match(text):
        return None
    data = base64.b64decode(text)
    return data if base64.b64encode(data).decode() == text else None


def base64url_strict(text):
    """Bytes of canonical base64url (section 5, without padding, no stray bits), or None."""
    if not _B64URL.match(text) or len(text) % 4 == 1:
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return data if base64url(data) == text else None


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# ---- RSA ---------------------------------------------------------------------------------------------------------

_RSA_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")     # rsaEncryption with NULL


def _der(tag, content):
    n = len(content)
    if n < 128:
        return bytes([tag, n]) + content
    size = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def _der_integer(value):
    return _der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def spki_of(n, e=EXPONENT):
    """The DER SubjectPublicKeyInfo of an RSA key (README.md)."""
    key = _der(0x30, _der_integer(n) + _der_integer(e))
    return _der(0x30, _RSA_ALGORITHM + _der(3, b"\0" + key))


def modulus_of_device_key(spki):
    """The modulus of an SPKI that a device may have (TKT-012, HSK-020): RSA, 2,048 to 3,072 bits, exponent 65537, DER.
    None for any other bytes. There is one DER form, so the bytes are taken apart with a general reader and written again."""
    try:
        key = serialization.load_der_public_key(spki)
    except Exception:
        return None
    if not isinstance(key, rsa.RSAPublicKey):
        return None
    numbers = key.public_numbers()
    if numbers.e != EXPONENT or numbers.n % 2 == 0 or not 2048 <= numbers.n.bit_length() <= 3072:
        return None
    return numbers.n if spki_of(numbers.n) == bytes(spki) else None


def public_spki(private_key):
    numbers = private_key.public_key().public_numbers()
    return spki_of(numbers.n, numbers.e)


def load_private_pem(path):
    with open(path, "rb") as f:
        return serialization.load_pem_private_key(f.read(), None)


def load_private_der(der):
    return serialization.load_der_private_key(der, None)


def rsa_sign(private_key, message):
    """RSASSA-PKCS1-v1_5 with SHA-256."""
    return private_key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def rsa_verify(spki, signature, message):
    """Whether the signature is good. OpenSSL wants exactly as many bytes as the modulus has, and a number below it."""
    key = serialization.load_der_public_key(spki)
    if len(signature) != (key.key_size + 7) // 8:
        return False
    try:
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        return True
    except InvalidSignature:
        return False


def _mgf1(seed, length):
    out = b"".join(H(seed, i.to_bytes(4, "big")) for i in range((length + 31) // 32))
    return out[:length]


def _xor(a, b):
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def oaep_encrypt(n, label, message, seed):
    """OAEP(pk, label, k, seed) of handshake.md section 2: RFC 8017 section 7.1.1, SHA-256 for hash and MGF1."""
    size = (n.bit_length() + 7) // 8
    block = H(label) + bytes(size - len(message) - 66) + b"\1" + message
    masked_block = _xor(block, _mgf1(seed, len(block)))
    masked_seed = _xor(seed, _mgf1(masked_block, 32))
    encoded = int.from_bytes(masked_seed + masked_block, "big")
    return pow(encoded, EXPONENT, n).to_bytes(size, "big")


def oaep_decrypt(private_key, label, ciphertext):
    """The message, or None. A ciphertext that is not as long as the modulus is a failed decryption like any other (HSK-017)."""
    try:
        scheme = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=label)
        if len(ciphertext) != (private_key.key_size + 7) // 8:
            return None
        return private_key.decrypt(bytes(ciphertext), scheme)
    except ValueError:
        return None


# ---- shares ------------------------------------------------------------------------------------------------------

def x25519_public(secret):
    return x25519.X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519_shared(secret, public):
    """RFC 7748. The caller looks at 32 zeros itself (HSK-043, STO-076); the library refuses them, so they are put back."""
    try:
        key = x25519.X25519PrivateKey.from_private_bytes(secret)
        return key.exchange(x25519.X25519PublicKey.from_public_bytes(bytes(public)))
    except ValueError:
        return bytes(32)


def mlkem_from_seed(seed):
    """The decapsulation key of `d || z`, 64 bytes (FIPS 203)."""
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(seed)


def mlkem_encapsulation_key(private_key):
    return private_key.public_key().public_bytes_raw()


def mlkem_key_is_canonical(key):
    """FIPS 203 section 7.2, HSK-044: 3 times 256 coefficients of 12 bits, each below 3,329."""
    for i in range(0, 1152, 3):
        word = int.from_bytes(key[i:i + 3], "little")
        if word & 0xfff >= 3329 or word >> 12 >= 3329:
            return False
    return True


def mlkem_encapsulate(key):
    """(shared secret, ciphertext). `cryptography` draws its own randomness here."""
    return mlkem.MLKEM768PublicKey.from_public_bytes(bytes(key)).encapsulate()


def mlkem_decapsulate(private_key, ciphertext):
    return private_key.decapsulate(bytes(ciphertext))


def draw(n):
    return os.urandom(n)
