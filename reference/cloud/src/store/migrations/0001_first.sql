-- Identifiers and hashes are lower-case hexadecimal text, times are seconds since 1970, counters and sizes bigint.
-- The text is meant for SQLite and PostgreSQL alike.

CREATE TABLE users (
    id text NOT NULL PRIMARY KEY,
    name text NOT NULL UNIQUE,
    password text NOT NULL,             -- argon2id, PHC string (IDN-006)
    used bigint NOT NULL DEFAULT 0      -- bytes charged to the user (STO-002)
);

CREATE TABLE tokens (
    hash text NOT NULL PRIMARY KEY,     -- SHA-256 of the token: a stolen database signs nobody in
    user_id text NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX tokens_by_expiry ON tokens (expires);

CREATE TABLE devices (
    id text NOT NULL PRIMARY KEY,
    user_id text NOT NULL,
    name text NOT NULL,
    spki text NOT NULL,                 -- base64
    fingerprint text NOT NULL,
    state text NOT NULL,                -- pending, claimed, revoked
    etag text NOT NULL
);
CREATE INDEX devices_by_user ON devices (user_id);
CREATE INDEX devices_by_fingerprint ON devices (fingerprint);

CREATE TABLE endpoints (
    device_id text NOT NULL PRIMARY KEY,
    addresses text NOT NULL,            -- JSON array
    expires bigint NOT NULL
);

CREATE TABLE folders (
    id text NOT NULL PRIMARY KEY,
    name text NOT NULL,
    storage text NOT NULL,              -- cloud, p2p
    creator text NOT NULL,              -- the user whose quota is charged
    etag text NOT NULL
);

CREATE TABLE members (
    folder_id text NOT NULL,
    user_id text NOT NULL,
    role text NOT NULL,                 -- owner, contributor, reader
    etag text NOT NULL,
    PRIMARY KEY (folder_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE mappings (
    folder_id text NOT NULL,
    device_id text NOT NULL,
    etag text NOT NULL,
    PRIMARY KEY (folder_id, device_id)
);
CREATE INDEX mappings_by_device ON mappings (device_id);

CREATE TABLE entries (
    folder_id text NOT NULL,
    id text NOT NULL,
    path text NOT NULL,
    kind text NOT NULL,                 -- file, directory
    size bigint NOT NULL,
    hash text,                          -- files only
    version text NOT NULL,              -- JSON object from device to counter
    deleted bigint NOT NULL,            -- 0, 1
    etag text NOT NULL,
    PRIMARY KEY (folder_id, id)
);

CREATE TABLE media (
    folder_id text NOT NULL,
    hash text NOT NULL,
    size bigint NOT NULL,
    PRIMARY KEY (folder_id, hash)
);
CREATE INDEX media_by_hash ON media (hash);
