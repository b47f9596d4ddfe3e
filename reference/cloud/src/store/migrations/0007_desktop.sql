-- What the writer of an entry says beside its content: JSON with `modified` and `properties`.
ALTER TABLE entries ADD COLUMN attributes text NOT NULL DEFAULT '{}';
