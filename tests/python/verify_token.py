"""Checks a pickup code with none of our code: base45, COSE_Sign1 and CWT of other people.

Reads the code's text from standard input's place, the first argument, and the Ed25519 public key as
hex from the second. Prints the claims as JSON.
"""

import json
import sys

import base45
import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cwt import COSE, COSEKey

PREFIX = "LK1:"
AAD = b"locker-pickup-v1"
# RFC 9052, section 2: the CBOR tag of a COSE_Sign1. Our codes leave it out to stay small.
COSE_SIGN1_TAG = b"\xd2"
# RFC 8392 and RFC 9200; the negative ones are ours.
CLAIM_EXP, CLAIM_CTI, CLAIM_SCOPE, CLAIM_BANK = 4, 7, 9, -65537


def main() -> None:
    text, public_key = sys.argv[1], bytes.fromhex(sys.argv[2])
    if not text.startswith(PREFIX):
        sys.exit("the code does not begin with LK1:")
    message = COSE_SIGN1_TAG + base45.b45decode(text[len(PREFIX) :])

    pem = Ed25519PublicKey.from_public_bytes(public_key).public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    kid = cbor2.loads(cbor2.loads(message).value[0])[4]
    key = COSEKey.from_pem(pem, kid=kid)
    claims = cbor2.loads(COSE.new().decode(message, key, external_aad=AAD))

    try:
        COSE.new().decode(message, key, external_aad=b"something else")
        sys.exit("a signature for something else was accepted")
    except Exception as error:  # The library raises several kinds.
        if isinstance(error, SystemExit):
            raise

    print(
        json.dumps(
            {
                "kid": kid.hex(),
                "exp": claims[CLAIM_EXP],
                "cti_bytes": len(claims[CLAIM_CTI]),
                "scope": claims[CLAIM_SCOPE],
                "bank_tag": claims[CLAIM_BANK],
            }
        )
    )


if __name__ == "__main__":
    main()
