-- The creator of a folder always is an owner of it (GPH-130). Before, another owner could take that away.
UPDATE members SET role = 'owner', etag = folder_id WHERE role <> 'owner'
    AND EXISTS (SELECT 1 FROM folders f WHERE f.id = members.folder_id AND f.creator = members.user_id);
INSERT INTO members (folder_id, user_id, role, etag) SELECT f.id, f.creator, 'owner', f.id FROM folders f
    WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.folder_id = f.id AND m.user_id = f.creator);
