-- calibre's metadata.db: triggers that call functions of SQLite alone, NOCASE collations, views with subqueries.
PRAGMA user_version = 26;
CREATE TABLE authors ( id   INTEGER PRIMARY KEY,
                              name TEXT NOT NULL COLLATE NOCASE,
                              sort TEXT COLLATE NOCASE,
                              link TEXT NOT NULL DEFAULT "",
                              UNIQUE(name)
                             );
CREATE TABLE books ( id      INTEGER PRIMARY KEY AUTOINCREMENT,
                             title     TEXT NOT NULL DEFAULT 'Unknown' COLLATE NOCASE,
                             sort      TEXT COLLATE NOCASE,
                             timestamp TIMESTAMP DEFAULT '2024-01-01 00:00:00+00:00',
                             series_index REAL NOT NULL DEFAULT 1.0,
                             author_sort TEXT COLLATE NOCASE,
                             path TEXT NOT NULL DEFAULT "",
                             uuid TEXT,
                             has_cover BOOL DEFAULT 0,
                             last_modified TIMESTAMP NOT NULL DEFAULT "2000-01-01 00:00:00+00:00");
CREATE TABLE books_authors_link ( id INTEGER PRIMARY KEY,
                                          book INTEGER NOT NULL,
                                          author INTEGER NOT NULL,
                                          UNIQUE(book, author)
                                        );
CREATE TABLE data ( id     INTEGER PRIMARY KEY,
                            book   INTEGER NOT NULL,
                            format TEXT NOT NULL COLLATE NOCASE,
                            uncompressed_size INTEGER NOT NULL,
                            name TEXT NOT NULL,
                            UNIQUE(book, format)
);
CREATE TABLE comments ( id INTEGER PRIMARY KEY,
                              book INTEGER NOT NULL,
                              text TEXT NOT NULL COLLATE NOCASE,
                              UNIQUE(book)
                            );
CREATE TABLE identifiers  ( id     INTEGER PRIMARY KEY,
                                    book   INTEGER NOT NULL,
                                    type   TEXT NOT NULL DEFAULT "isbn" COLLATE NOCASE,
                                    val    TEXT NOT NULL COLLATE NOCASE,
                                    UNIQUE(book, type)
);
CREATE TABLE library_id ( id   INTEGER PRIMARY KEY,
                                  uuid TEXT NOT NULL,
                                  UNIQUE(uuid)
);
CREATE TABLE preferences(id INTEGER PRIMARY KEY,
                                 key TEXT NOT NULL,
                                 val TEXT NOT NULL,
                                 UNIQUE(key));
CREATE INDEX authors_idx ON books (author_sort COLLATE NOCASE);
CREATE INDEX books_authors_link_aidx ON books_authors_link (author);
CREATE INDEX books_authors_link_bidx ON books_authors_link (book);
CREATE INDEX formats_idx ON data (format);
CREATE VIEW meta AS
        SELECT id, title,
               (SELECT group_concat(name, ' & ') FROM authors WHERE authors.id IN (SELECT author FROM books_authors_link WHERE book=books.id)) authors,
               timestamp,
               (SELECT MAX(uncompressed_size) FROM data WHERE book=books.id) size,
               (SELECT text FROM comments WHERE book=books.id) comments,
               series_index, sort, author_sort, path, uuid
        FROM books;
CREATE TRIGGER books_delete_trg
            AFTER DELETE ON books
            BEGIN
                DELETE FROM books_authors_link WHERE book=OLD.id;
                DELETE FROM data WHERE book=OLD.id;
                DELETE FROM comments WHERE book=OLD.id;
                DELETE FROM identifiers WHERE book=OLD.id;
        END;
CREATE TRIGGER books_insert_trg AFTER INSERT ON books
        BEGIN
            UPDATE books SET sort=upper(NEW.title),uuid='u-' || NEW.id WHERE id=NEW.id;
        END;
CREATE TRIGGER books_update_trg
            AFTER UPDATE ON books
            BEGIN
            UPDATE books SET sort=upper(NEW.title)
                         WHERE id=NEW.id AND OLD.title <> NEW.title;
            END;
CREATE TRIGGER fkc_comments_insert
        BEFORE INSERT ON comments
        BEGIN
            SELECT CASE
                WHEN (SELECT id from books WHERE id=NEW.book) IS NULL
                THEN RAISE(ABORT, 'Foreign key violation: book not in books')
            END;
        END;
CREATE TRIGGER fkc_data_insert
        BEFORE INSERT ON data
        BEGIN
            SELECT CASE
                WHEN (SELECT id from books WHERE id=NEW.book) IS NULL
                THEN RAISE(ABORT, 'Foreign key violation: book not in books')
            END;
        END;
CREATE TRIGGER fkc_delete_on_authors
        BEFORE DELETE ON authors
        BEGIN
            SELECT CASE
                WHEN (SELECT COUNT(id) FROM books_authors_link WHERE author=OLD.id) > 0
                THEN RAISE(ABORT, 'Foreign key violation: authors is still referenced')
            END;
        END;
INSERT INTO library_id VALUES (1, 'f3a1a3e2');
INSERT INTO preferences (key, val) VALUES ('bools_are_tristate', 'true'), ('user_categories', '{}');
INSERT INTO authors (name, sort) VALUES ('Ursula K. Le Guin', 'Le Guin, Ursula K.'), ('Italo Calvino', 'Calvino, Italo');
INSERT INTO books (title, author_sort, path) VALUES ('The Dispossessed', 'Le Guin, Ursula K.', 'Ursula/1');
INSERT INTO books (title, author_sort, path) VALUES ('Invisible Cities', 'Calvino, Italo', 'Italo/2');
INSERT INTO books_authors_link (book, author) VALUES (1, 1), (2, 2);
INSERT INTO data (book, format, uncompressed_size, name) VALUES (1, 'EPUB', 412233, 'dispossessed'), (2, 'PDF', 99, 'cities');
INSERT INTO comments (book, text) VALUES (1, '<p>An ambiguous utopia</p>');
INSERT INTO comments (book, text) VALUES (77, 'no such book');
INSERT INTO identifiers (book, type, val) VALUES (1, 'isbn', '9780061054884'), (2, 'isbn', '9780156453806');
UPDATE books SET title = 'The Dispossessed: A Novel' WHERE id = 1;
UPDATE books SET has_cover = 1, last_modified = '2024-05-01 00:00:00+00:00' WHERE id = 2;
DELETE FROM authors WHERE name = 'italo calvino';
INSERT OR REPLACE INTO preferences (key, val) VALUES ('bools_are_tristate', 'false');
DELETE FROM books WHERE id = 2;
