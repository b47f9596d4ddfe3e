CREATE TABLE invitations (
    id text NOT NULL PRIMARY KEY,
    folder_id text NOT NULL,
    inviter text NOT NULL,
    name text NOT NULL,                 -- whom the inviter named
    user_id text,                       -- who that is; nobody, for ever, if nobody had the name (GPH-087)
    role text NOT NULL,
    expires bigint NOT NULL,
    etag text NOT NULL,
    UNIQUE (folder_id, name)
);
CREATE INDEX invitations_by_user ON invitations (user_id);
CREATE INDEX invitations_by_expiry ON invitations (expires);

-- By name, not by user: to write somebody down tells nothing about who has an account.
CREATE TABLE contacts (
    user_id text NOT NULL,
    name text NOT NULL,
    blocked bigint NOT NULL,            -- 0, 1
    note text NOT NULL,
    etag text NOT NULL,
    PRIMARY KEY (user_id, name)
);

CREATE TABLE profiles (
    user_id text NOT NULL PRIMARY KEY,
    display_name text NOT NULL,
    about text NOT NULL,
    etag text NOT NULL
);
