-- Objects, uploads, and what the cloud does not hold (spec/storage.md).

-- Which object has the bytes of a media. Objects are written once and never come back under the same name.
CREATE TABLE blobs (
    hash text NOT NULL PRIMARY KEY,
    size bigint NOT NULL,
    object text NOT NULL UNIQUE
);
INSERT INTO blobs (hash, size, object) SELECT DISTINCT hash, size, hash FROM media;

-- Until when a media stays that no entry has named since its last PUT; 0 for one that an entry has named.
ALTER TABLE media ADD COLUMN until bigint NOT NULL DEFAULT 0;
CREATE INDEX media_by_until ON media (until);

CREATE INDEX entries_by_hash ON entries (folder_id, hash);

-- Media that no entry names was kept for ever, and stays: until 2100.
UPDATE media SET until = 4102444800 WHERE NOT EXISTS
    (SELECT 1 FROM entries e WHERE e.folder_id = media.folder_id AND e.hash = media.hash AND e.deleted = 0);

-- Bytes on their way in, which count against the quota of `user_id`, the folder's creator.
CREATE TABLE uploads (
    id text NOT NULL PRIMARY KEY,
    folder_id text NOT NULL,
    user_id text NOT NULL,
    hash text NOT NULL,
    length bigint NOT NULL,             -- what was announced
    received bigint NOT NULL,           -- what counts
    resumable bigint NOT NULL,          -- 1: a node of the graph; 0: a PUT under way
    expires bigint NOT NULL
);
CREATE INDEX uploads_by_folder ON uploads (folder_id);
CREATE INDEX uploads_by_user ON uploads (user_id);
CREATE INDEX uploads_by_expiry ON uploads (expires);

CREATE TABLE pieces (
    upload_id text NOT NULL,
    start bigint NOT NULL,
    size bigint NOT NULL,
    object text NOT NULL UNIQUE,
    PRIMARY KEY (upload_id, start)
);

-- What live entries of folders with storage `cloud` name and the folder does not hold.
CREATE TABLE missing (
    folder_id text NOT NULL,
    hash text NOT NULL,
    user_id text NOT NULL,              -- the folder's creator
    size bigint NOT NULL,
    PRIMARY KEY (folder_id, hash)
);
CREATE INDEX missing_in_order ON missing (user_id, size, hash, folder_id);
INSERT INTO missing (folder_id, hash, user_id, size)
    SELECT e.folder_id, e.hash, f.creator, max(e.size) FROM entries e JOIN folders f ON f.id = e.folder_id
    WHERE e.deleted = 0 AND e.hash IS NOT NULL AND f.storage = 'cloud' AND NOT EXISTS
        (SELECT 1 FROM media m WHERE m.folder_id = e.folder_id AND m.hash = e.hash)
    GROUP BY e.folder_id, e.hash, f.creator;
