-- What is bounded beside bytes (GPH-132 to GPH-137).

-- Rows in `entries`, and what they take: path, version and attributes in bytes, and 256 for the rest.
ALTER TABLE folders ADD COLUMN entries bigint NOT NULL DEFAULT 0;
ALTER TABLE folders ADD COLUMN metadata bigint NOT NULL DEFAULT 0;
UPDATE folders SET
    entries = (SELECT count(*) FROM entries e WHERE e.folder_id = folders.id),
    metadata = (SELECT coalesce(sum(256 + octet_length(path) + octet_length(version) + octet_length(attributes)), 0)
        FROM entries e WHERE e.folder_id = folders.id);
CREATE INDEX folders_by_creator ON folders (creator);

-- Of all folders that the user has made.
ALTER TABLE users ADD COLUMN metadata bigint NOT NULL DEFAULT 0;
UPDATE users SET metadata = (SELECT coalesce(sum(f.metadata), 0) FROM folders f WHERE f.creator = users.id);

-- When the device took its state.
ALTER TABLE devices ADD COLUMN since bigint NOT NULL DEFAULT 0;
CREATE INDEX devices_by_state ON devices (state, since);
