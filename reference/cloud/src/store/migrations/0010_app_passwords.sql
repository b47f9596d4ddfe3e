-- Passwords for the network drive (spec/identity.md, section 4.10). They are random: a plain hash is enough.
CREATE TABLE app_passwords (
    id text NOT NULL PRIMARY KEY,
    user_id text NOT NULL,
    hash text NOT NULL UNIQUE,          -- SHA-256
    label text NOT NULL,
    created bigint NOT NULL,
    used bigint NOT NULL                -- the last sign-in; 0 before the first
);
CREATE INDEX app_passwords_by_user ON app_passwords (user_id, created);

-- By which of them a session began: it ends with it.
ALTER TABLE sessions ADD COLUMN app_password text;
CREATE INDEX sessions_by_app_password ON sessions (app_password);
