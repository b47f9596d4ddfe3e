-- The entries of a folder as devices sign them (GPH-180), which this service does not read: base64.
CREATE TABLE states (
    folder_id text NOT NULL,
    id text NOT NULL,
    state text NOT NULL,
    etag text NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (folder_id, id)
);
CREATE INDEX states_by_seq ON states (folder_id, seq);

-- How far each writer of a folder has come, by its own word (GPH-182): base64.
CREATE TABLE heads (
    folder_id text NOT NULL,
    id text NOT NULL,
    state text NOT NULL,
    etag text NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (folder_id, id)
);
