-- Passkeys (spec/identity.md, section 4.9). There is no secret in them.
CREATE TABLE passkeys (
    id text NOT NULL PRIMARY KEY,
    user_id text NOT NULL,
    credential text NOT NULL UNIQUE,    -- base64url, as the authenticator names it
    public_key text NOT NULL,           -- COSE_Key in base64url
    counter bigint NOT NULL,            -- of the last ceremony (IDN-055)
    label text NOT NULL,
    created bigint NOT NULL,
    used bigint NOT NULL                -- the last sign-in; 0 before the first
);
CREATE INDEX passkeys_by_user ON passkeys (user_id, created);
