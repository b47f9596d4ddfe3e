-- Queues of notifications (spec/graph.md, section 4.7). What is to be told is not kept here: it is what the feed has
-- above `seen`, so a queue takes one row for each subscription however much changes.

CREATE TABLE queues (
    id text NOT NULL PRIMARY KEY,
    owner text NOT NULL,                -- the device, or the user where a person asks
    user_id text NOT NULL,
    device_id text,                     -- where a device asks
    made bigint NOT NULL,               -- counts the queues of an owner
    seq bigint NOT NULL,                -- of the last notification
    expires bigint NOT NULL
);
CREATE INDEX queues_by_owner ON queues (owner, made);
CREATE INDEX queues_by_expiry ON queues (expires);

CREATE TABLE subscriptions (
    queue_id text NOT NULL,
    feed text NOT NULL,                 -- the folder, user or device
    kind text NOT NULL,                 -- folder, mesh, presence
    seen bigint NOT NULL,               -- the number of the feed that was told last
    told bigint NOT NULL,               -- with which notification; 0 is none
    lost bigint NOT NULL,               -- 1 once it was told that the right to it is gone
    PRIMARY KEY (queue_id, feed)
);
