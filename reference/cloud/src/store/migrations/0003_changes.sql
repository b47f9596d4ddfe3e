-- What changes, in an order that can be asked for (spec/graph.md, section 4.6).

-- A feed for each folder, each user's mesh and each device's presence, by its identifier. Raising `seq` locks the row
-- until the transaction ends, so that numbers become visible in their order.
CREATE TABLE feeds (
    id text NOT NULL PRIMARY KEY,
    seq bigint NOT NULL                 -- of the last change
);

-- One row. Another value makes all watermarks unknown: a restored backup gets one.
CREATE TABLE epochs (
    id bigint NOT NULL PRIMARY KEY,     -- 1
    value text NOT NULL
);

CREATE TABLE changes (
    feed text NOT NULL,
    seq bigint NOT NULL,
    time bigint NOT NULL,
    user_id text NOT NULL,
    device_id text,                     -- if a device acted
    verb text NOT NULL,
    node text NOT NULL,                 -- path
    detail text NOT NULL,               -- JSON object
    PRIMARY KEY (feed, seq)
);
CREATE INDEX changes_by_time ON changes (feed, time, seq);

ALTER TABLE entries ADD COLUMN seq bigint NOT NULL DEFAULT 0;   -- of its last change, in the folder's feed
UPDATE entries SET seq = n.seq FROM
    (SELECT folder_id, id, row_number() OVER (PARTITION BY folder_id ORDER BY id) AS seq FROM entries) n
    WHERE n.folder_id = entries.folder_id AND n.id = entries.id;
INSERT INTO feeds (id, seq) SELECT folder_id, max(seq) FROM entries GROUP BY folder_id;
CREATE UNIQUE INDEX entries_by_seq ON entries (folder_id, seq);
