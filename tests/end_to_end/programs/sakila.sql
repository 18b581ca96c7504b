-- Sakila as its SQLite port has it: triggers for last_update, views, many indexes, CHECKs, foreign keys.
PRAGMA foreign_keys = ON;
CREATE TABLE actor (
  actor_id numeric NOT NULL,
  first_name VARCHAR(45) NOT NULL,
  last_name VARCHAR(45) NOT NULL,
  last_update TIMESTAMP NOT NULL,
  PRIMARY KEY (actor_id)
);
CREATE INDEX idx_actor_last_name ON actor(last_name);
CREATE TRIGGER actor_trigger_ai AFTER INSERT ON actor
BEGIN
  UPDATE actor SET last_update = '2024-02-15 10:00:00' WHERE rowid = new.rowid;
END;
CREATE TRIGGER actor_trigger_au AFTER UPDATE ON actor
BEGIN
  UPDATE actor SET last_update = '2024-02-15 11:00:00' WHERE rowid = new.rowid;
END;
CREATE TABLE country (
  country_id SMALLINT NOT NULL,
  country VARCHAR(50) NOT NULL,
  last_update TIMESTAMP,
  PRIMARY KEY (country_id)
);
CREATE TABLE city (
  city_id int NOT NULL,
  city VARCHAR(50) NOT NULL,
  country_id SMALLINT NOT NULL,
  last_update TIMESTAMP NOT NULL,
  PRIMARY KEY (city_id),
  CONSTRAINT fk_city_country FOREIGN KEY (country_id) REFERENCES country (country_id) ON DELETE NO ACTION ON UPDATE CASCADE
);
CREATE INDEX idx_fk_country_id ON city(country_id);
CREATE TABLE language (
  language_id SMALLINT NOT NULL,
  name CHAR(20) NOT NULL,
  last_update TIMESTAMP NOT NULL,
  PRIMARY KEY (language_id)
);
CREATE TABLE category (
  category_id SMALLINT NOT NULL,
  name VARCHAR(25) NOT NULL,
  last_update TIMESTAMP NOT NULL,
  PRIMARY KEY (category_id)
);
CREATE TABLE film (
  film_id int NOT NULL,
  title VARCHAR(255) NOT NULL,
  description BLOB SUB_TYPE TEXT DEFAULT NULL,
  release_year VARCHAR(4) DEFAULT NULL,
  language_id SMALLINT NOT NULL,
  original_language_id SMALLINT DEFAULT NULL,
  rental_duration SMALLINT DEFAULT 3 NOT NULL,
  rental_rate DECIMAL(4,2) DEFAULT 4.99 NOT NULL,
  length SMALLINT DEFAULT NULL,
  replacement_cost DECIMAL(5,2) DEFAULT 19.99 NOT NULL,
  rating VARCHAR(10) DEFAULT 'G',
  special_features VARCHAR(100) DEFAULT NULL,
  last_update TIMESTAMP NOT NULL,
  PRIMARY KEY (film_id),
  CONSTRAINT CHECK_special_features CHECK(special_features is null or
                                                           special_features like '%Trailers%' or
                                                           special_features like '%Commentaries%' or
                                                           special_features like '%Deleted Scenes%' or
                                                           special_features like '%Behind the Scenes%'),
  CONSTRAINT CHECK_special_rating CHECK(rating in ('G','PG','PG-13','R','NC-17')),
  CONSTRAINT fk_film_language FOREIGN KEY (language_id) REFERENCES language (language_id),
  CONSTRAINT fk_film_language_original FOREIGN KEY (original_language_id) REFERENCES language (language_id)
);
CREATE INDEX idx_fk_language_id ON film(language_id);
CREATE INDEX idx_fk_original_language_id ON film(original_language_id);
CREATE TABLE film_actor (
  actor_id int NOT NULL,
  film_id int NOT NULL,
  last_update TIMESTAMP NOT NULL,
  PRIMARY KEY (actor_id, film_id),
  CONSTRAINT fk_film_actor_actor FOREIGN KEY (actor_id) REFERENCES actor (actor_id) ON DELETE NO ACTION ON UPDATE CASCADE,
  CONSTRAINT fk_film_actor_film FOREIGN KEY (film_id) REFERENCES film (film_id) ON DELETE NO ACTION ON UPDATE CASCADE
);
CREATE INDEX idx_fk_film_actor_film ON film_actor(film_id);
CREATE TABLE film_category (
  film_id int NOT NULL,
  category_id SMALLINT NOT NULL,
  last_update TIMESTAMP NOT NULL,
  PRIMARY KEY (film_id, category_id),
  CONSTRAINT fk_film_category_film FOREIGN KEY (film_id) REFERENCES film (film_id) ON DELETE NO ACTION ON UPDATE CASCADE,
  CONSTRAINT fk_film_category_category FOREIGN KEY (category_id) REFERENCES category (category_id) ON DELETE NO ACTION ON UPDATE CASCADE
);
CREATE TABLE film_text (
  film_id SMALLINT NOT NULL,
  title VARCHAR(255) NOT NULL,
  description BLOB SUB_TYPE TEXT,
  PRIMARY KEY (film_id)
);
CREATE TABLE rental (
  rental_id INT NOT NULL,
  rental_date TIMESTAMP NOT NULL,
  inventory_id INT NOT NULL,
  customer_id INT NOT NULL,
  return_date TIMESTAMP DEFAULT NULL,
  staff_id SMALLINT NOT NULL,
  last_update TIMESTAMP NOT NULL,
  PRIMARY KEY (rental_id)
);
CREATE UNIQUE INDEX idx_rental_uq ON rental (rental_date, inventory_id, customer_id);
CREATE TRIGGER rental_trigger_ai AFTER INSERT ON rental
BEGIN
  UPDATE rental SET last_update = '2024-02-15 10:00:00' WHERE rowid = new.rowid;
END;
CREATE TRIGGER rental_trigger_au AFTER UPDATE ON rental
BEGIN
  UPDATE rental SET last_update = '2024-02-15 11:00:00' WHERE rowid = new.rowid;
END;
CREATE TABLE payment (
  payment_id int NOT NULL,
  customer_id INT NOT NULL,
  staff_id SMALLINT NOT NULL,
  rental_id INT DEFAULT NULL,
  amount DECIMAL(5,2) NOT NULL,
  payment_date TIMESTAMP NOT NULL,
  last_update TIMESTAMP NOT NULL,
  PRIMARY KEY (payment_id),
  CONSTRAINT fk_payment_rental FOREIGN KEY (rental_id) REFERENCES rental (rental_id) ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE VIEW film_list AS
SELECT film.film_id AS FID, film.title AS title, category.name AS category, film.rental_rate AS price,
       actor.first_name || ' ' || actor.last_name AS actors
FROM category LEFT JOIN film_category ON category.category_id = film_category.category_id
     LEFT JOIN film ON film_category.film_id = film.film_id
     JOIN film_actor ON film.film_id = film_actor.film_id
     JOIN actor ON film_actor.actor_id = actor.actor_id;
CREATE VIEW sales_by_film_category AS
SELECT c.name AS category, SUM(p.amount) AS total_sales
FROM payment AS p INNER JOIN rental AS r ON p.rental_id = r.rental_id
     INNER JOIN film_category AS fc ON fc.film_id = r.inventory_id
     INNER JOIN category AS c ON fc.category_id = c.category_id
GROUP BY c.name;
INSERT INTO language VALUES (1, 'English', '2006-02-15 05:02:19'), (2, 'Italian', '2006-02-15 05:02:19');
INSERT INTO category VALUES (1, 'Action', '2006-02-15 04:46:27'), (2, 'Animation', '2006-02-15 04:46:27');
INSERT INTO actor VALUES (1, 'PENELOPE', 'GUINESS', '2006-02-15'), (2, 'NICK', 'WAHLBERG', '2006-02-15');
INSERT INTO country VALUES (1, 'Afghanistan', '2006-02-15'), (2, 'Algeria', '2006-02-15');
INSERT INTO city VALUES (1, 'Kabul', 1, '2006-02-15'), (2, 'Batna', 2, '2006-02-15');
INSERT INTO film (film_id, title, description, release_year, language_id, special_features, last_update)
  VALUES (1, 'ACADEMY DINOSAUR', 'A Epic Drama', '2006', 1, 'Deleted Scenes,Behind the Scenes', '2006-02-15'),
         (2, 'ACE GOLDFINGER', 'A Astounding Epistle', '2006', 1, 'Trailers,Deleted Scenes', '2006-02-15');
INSERT INTO film_actor VALUES (1, 1, '2006-02-15'), (2, 1, '2006-02-15'), (2, 2, '2006-02-15');
INSERT INTO film_category VALUES (1, 1, '2006-02-15'), (2, 2, '2006-02-15');
INSERT INTO film_text SELECT film_id, title, description FROM film;
INSERT INTO rental VALUES (1, '2005-05-24 22:53:30', 1, 130, '2005-05-26 22:04:30', 1, '2006-02-15'),
                          (2, '2005-05-24 22:54:33', 2, 459, NULL, 1, '2006-02-15');
INSERT INTO payment VALUES (1, 130, 1, 1, 2.99, '2005-05-25', '2006-02-15'), (2, 459, 1, 2, 0.99, '2005-05-28', '2006-02-15');
UPDATE rental SET return_date = '2005-06-01 22:12:39' WHERE rental_id = 2;
UPDATE actor SET first_name = 'NICHOLAS' WHERE actor_id = 2;
UPDATE country SET country_id = 3 WHERE country_id = 2;
DELETE FROM rental WHERE rental_id = 1;
INSERT INTO film (film_id, title, language_id, rating, last_update) VALUES (3, 'BAD', 1, 'X', '2006-02-15');
DELETE FROM language WHERE language_id = 1;
