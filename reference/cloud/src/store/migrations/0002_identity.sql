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
