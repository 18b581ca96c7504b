-- sqlite-utils: insert --pk --alter, enable-fts --create-triggers, enable-counts, transform.
CREATE TABLE [articles] (
   [id] INTEGER PRIMARY KEY,
   [title] TEXT,
   [body] TEXT,
   [tags] TEXT
);
INSERT INTO [articles] ([id], [title], [body], [tags]) VALUES (1, 'Pages', 'A page of a b-tree', '["db"]'), (2, 'Logs', 'A log of pages', '[]');
ALTER TABLE [articles] ADD COLUMN [author_id] INTEGER;
CREATE INDEX [idx_articles_author_id]
    ON [articles] ([author_id]);
CREATE VIRTUAL TABLE [articles_fts] USING FTS5 (
    [title], [body],
    content=[articles]
);
INSERT INTO [articles_fts] (rowid, [title], [body])
    SELECT rowid, [title], [body] FROM [articles];
CREATE TRIGGER [articles_ai] AFTER INSERT ON [articles] BEGIN
  INSERT INTO [articles_fts] (rowid, [title], [body]) VALUES (new.rowid, new.[title], new.[body]);
END;
CREATE TRIGGER [articles_ad] AFTER DELETE ON [articles] BEGIN
  INSERT INTO [articles_fts] ([articles_fts], rowid, [title], [body]) VALUES('delete', old.rowid, old.[title], old.[body]);
END;
CREATE TRIGGER [articles_au] AFTER UPDATE ON [articles] BEGIN
  INSERT INTO [articles_fts] ([articles_fts], rowid, [title], [body]) VALUES('delete', old.rowid, old.[title], old.[body]);
  INSERT INTO [articles_fts] (rowid, [title], [body]) VALUES (new.rowid, new.[title], new.[body]);
END;
INSERT INTO [articles] ([id], [title], [body]) VALUES (3, 'Undo', 'What a checkpoint wrote over');
UPDATE [articles] SET [title] = 'Write-ahead logs' WHERE [id] = 2;
DELETE FROM [articles] WHERE [id] = 1;
INSERT INTO [articles_fts] ([articles_fts]) VALUES ('rebuild');
INSERT INTO [articles_fts] ([articles_fts]) VALUES ('optimize');
CREATE TABLE [_counts] (
   [table] TEXT PRIMARY KEY,
   count INTEGER DEFAULT 0
);
CREATE TABLE [dogs] ([name] TEXT, [age] TEXT);
CREATE TRIGGER IF NOT EXISTS [dogs_counts_insert] AFTER INSERT ON [dogs]
BEGIN
    INSERT OR REPLACE INTO [_counts]
    VALUES (
        'dogs',
        COALESCE(
            (SELECT count FROM [_counts] WHERE [table] = 'dogs'),
        0
        ) + 1
    );
END;
CREATE TRIGGER IF NOT EXISTS [dogs_counts_delete] AFTER DELETE ON [dogs]
BEGIN
    INSERT OR REPLACE INTO [_counts]
    VALUES (
        'dogs',
        COALESCE(
            (SELECT count FROM [_counts] WHERE [table] = 'dogs'),
        0
        ) - 1
    );
END;
INSERT OR REPLACE INTO [_counts] SELECT 'dogs', count(*) FROM [dogs];
INSERT INTO [dogs] ([name], [age]) VALUES ('Cleo', '5');
INSERT INTO [dogs] ([name], [age]) VALUES ('Pancakes', '4');
DELETE FROM [dogs] WHERE [name] = 'Pancakes';
CREATE TABLE [cats] ([id] INTEGER PRIMARY KEY, [name] TEXT, [age] TEXT);
INSERT INTO [cats] VALUES (1, 'Tom', '5'), (2, 'Kitty', NULL);
PRAGMA foreign_keys=OFF;
BEGIN;
CREATE TABLE [cats_new_6c2f1a] (
   [id] INTEGER PRIMARY KEY,
   [name] TEXT NOT NULL DEFAULT '',
   [age_in_years] INTEGER
);
INSERT INTO [cats_new_6c2f1a] ([rowid], [id], [name], [age_in_years])
   SELECT [rowid], [id], [name], [age] FROM [cats];
DROP TABLE [cats];
ALTER TABLE [cats_new_6c2f1a] RENAME TO [cats];
COMMIT;
PRAGMA foreign_keys=ON;
INSERT INTO [cats] ([name], [age_in_years]) VALUES ('Felix', 3);
