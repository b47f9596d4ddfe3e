-- Who waits for whom at a relay (spec/graph.md, GPH-127): the newest for each pair. Passes are not kept: they follow from
-- the circuit and the relay key.

CREATE TABLE rendezvous (
    caller text NOT NULL,               -- the device that asked
    called text NOT NULL,
    circuit text NOT NULL,
    token text NOT NULL,                -- rdv_token of M1
    relay text NOT NULL,                -- host:port
    expires bigint NOT NULL,
    PRIMARY KEY (caller, called)
);
CREATE INDEX rendezvous_by_called ON rendezvous (called);
