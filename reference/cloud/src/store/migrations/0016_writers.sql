-- The Ed25519 key that a device signs its changes with, in hexadecimal; empty for who has none (GPH-150).
ALTER TABLE devices ADD COLUMN signing_key text NOT NULL DEFAULT '';

-- Who writes, or once wrote, in a folder (GPH-151): a card that was given out stays good. The key of the issuer that signed
-- the card last, and its signature in base64.
CREATE TABLE writers (
    folder_id text NOT NULL,
    device_id text NOT NULL,
    signing_key text NOT NULL,
    signed_by text NOT NULL,
    signature text NOT NULL,
    PRIMARY KEY (folder_id, device_id)
);
