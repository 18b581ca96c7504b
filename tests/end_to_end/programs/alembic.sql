-- Alembic: alembic_version, batch_alter_table's copies, server defaults, named constraints.
BEGIN;
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE account (
    id INTEGER NOT NULL,
    name VARCHAR(50) NOT NULL,
    description VARCHAR(200),
    balance NUMERIC(10, 2) DEFAULT '0' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT uq_account_name UNIQUE (name),
    CONSTRAINT ck_account_balance CHECK (balance >= 0)
);
CREATE INDEX ix_account_description ON account (description);
INSERT INTO alembic_version (version_num) VALUES ('1975ea83b712') RETURNING version_num;
COMMIT;
INSERT INTO account (name, balance) VALUES ('ada', 12.5), ('grace', 7);
BEGIN;
ALTER TABLE account ADD COLUMN last_transaction_date DATETIME;
UPDATE alembic_version SET version_num='ae1027a6acf' WHERE alembic_version.version_num = '1975ea83b712';
COMMIT;
BEGIN;
CREATE TABLE _alembic_tmp_account (
    id INTEGER NOT NULL,
    name VARCHAR(80) NOT NULL,
    balance NUMERIC(10, 2) DEFAULT '0' NOT NULL,
    last_transaction_date DATETIME,
    owner_id INTEGER,
    PRIMARY KEY (id),
    CONSTRAINT fk_account_owner FOREIGN KEY(owner_id) REFERENCES account (id),
    CONSTRAINT uq_account_name UNIQUE (name)
);
INSERT INTO _alembic_tmp_account (id, name, balance, last_transaction_date) SELECT account.id, account.name, account.balance, account.last_transaction_date
FROM account;
DROP TABLE account;
ALTER TABLE _alembic_tmp_account RENAME TO account;
CREATE INDEX ix_account_owner ON account (owner_id);
UPDATE alembic_version SET version_num='27c6a30d7c24' WHERE alembic_version.version_num = 'ae1027a6acf';
COMMIT;
BEGIN;
ALTER TABLE account DROP COLUMN last_transaction_date;
DROP INDEX ix_account_owner;
CREATE TABLE tag (id INTEGER NOT NULL, label TEXT DEFAULT (lower('NONE')), added DATETIME DEFAULT (CURRENT_DATE), PRIMARY KEY (id));
UPDATE alembic_version SET version_num='a1b2c3d4e5f6' WHERE alembic_version.version_num = '27c6a30d7c24';
COMMIT;
INSERT INTO tag (id, added) VALUES (1, '2024-01-01');
UPDATE account SET owner_id = 1 WHERE name = 'grace';
DELETE FROM alembic_version WHERE alembic_version.version_num = 'a1b2c3d4e5f6';
INSERT INTO alembic_version (version_num) VALUES ('b1b2c3d4e5f6');
