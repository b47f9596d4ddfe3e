-- Secrets that all processes of a cloud share, in hexadecimal.
CREATE TABLE secrets (
    name text NOT NULL PRIMARY KEY,
    value text NOT NULL
);

-- Challenges that wait for their answers.
CREATE TABLE challenges (
    id text NOT NULL PRIMARY KEY,
    device_id text NOT NULL,            -- of a device, or of none (IDN-009)
    purpose text NOT NULL,              -- sign-in, claim
    source text NOT NULL,               -- the address that asked
    expected text NOT NULL,             -- SHA-256 of the right answer
    issued bigint NOT NULL,
    used bigint NOT NULL                -- 0, 1
);
CREATE INDEX challenges_by_device ON challenges (device_id, purpose, source, issued);
CREATE INDEX challenges_by_time ON challenges (issued);

-- Limits: a key is free again at its time, in milliseconds since 1970. What is free is forgotten.
CREATE TABLE throttle (
    key text NOT NULL PRIMARY KEY,      -- SHA-256 of what is limited
    busy_until bigint NOT NULL
);
CREATE INDEX throttle_by_time ON throttle (busy_until);

-- From where a user signed in, lest strangers keep the user out (IDN-024).
CREATE TABLE known_sources (
    user_id text NOT NULL,
    source text NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (user_id, source)
);

-- A token is that of a session. Those of before go: who has one signs in again.
DROP TABLE tokens;
CREATE TABLE sessions (
    id text NOT NULL PRIMARY KEY,
    hash text NOT NULL UNIQUE,          -- SHA-256 of the token: a stolen database signs nobody in
    user_id text NOT NULL,
    class text NOT NULL,                -- AuthnContextClassRef
    provider text NOT NULL,             -- password, passkey, or the name of a configured one
    agent text NOT NULL,                -- as the client calls itself
    source text NOT NULL,
    created bigint NOT NULL,
    used bigint NOT NULL,               -- last, to the minute
    expires bigint NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires);

-- Users of other providers (IDN-041).
CREATE TABLE federated_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id text NOT NULL,
    provider text NOT NULL,             -- the name at the time
    created bigint NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX federated_identities_by_user ON federated_identities (user_id);

-- Sign-ins at other providers that are under way, and passkey ceremonies.
CREATE TABLE ceremonies (
    hash text NOT NULL PRIMARY KEY,     -- SHA-256 of what only the client that began it has
    kind text NOT NULL,
    user_id text,                       -- for whom; NULL until it is known
    state text NOT NULL,                -- JSON
    issued bigint NOT NULL
);
CREATE INDEX ceremonies_by_time ON ceremonies (issued);
