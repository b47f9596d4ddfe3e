-- The issuer's keys, one, or two while one replaces the other (`spec/identity.md`, section 4.6).
CREATE TABLE issuer_keys (
    fingerprint text NOT NULL PRIMARY KEY,
    spki text NOT NULL,                 -- base64
    sealed text NOT NULL,               -- the private key under the master key, which is not in the database
    state text NOT NULL,                -- next, active, retiring
    since bigint NOT NULL               -- when it took that state
);
