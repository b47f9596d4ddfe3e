-- Encrypted folders (GPH-200): the generation of the key record, 0 where there is none; and how far the folder's feed was
-- when it became encrypted, for no watermark from before is known any more (GPH-204).
ALTER TABLE folders ADD COLUMN generation bigint NOT NULL DEFAULT 0;
ALTER TABLE folders ADD COLUMN encrypted_at bigint NOT NULL DEFAULT 0;

-- The key record of a folder, in base64, and of it what the next one is compared with.
CREATE TABLE folder_keys (
    folder_id text PRIMARY KEY,
    record text NOT NULL,
    key_check text NOT NULL,
    etag text NOT NULL
);
