-- What an attack leaves, and what is beside it.
CREATE USER shop@localhost IDENTIFIED BY 'x';
GRANT ALL ON shop.* TO shop@localhost;
CREATE USER report@'%' IDENTIFIED BY 'report';
GRANT SELECT ON shop.* TO report@'%';
CREATE TABLE stolen (what text);
SET timestamp = 1700000000.25, sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', collation_connection = 'utf8mb4_bin';
CREATE DEFINER = report@'%' TRIGGER copy1 AFTER INSERT ON mg_sales_order_payment FOR EACH ROW INSERT INTO stolen VALUES ('first');
CREATE DEFINER = report@'%'  TRIGGER  copy$2 /* ; `' */ AFTER INSERT ON mg_sales_order_payment
  FOR EACH ROW BEGIN INSERT INTO "stolen" VALUES ('a\b;é'); INSERT INTO stolen VALUES (NEW.method); END;
CREATE TRIGGER copy3 AFTER INSERT ON mg_sales_order_payment FOR EACH ROW INSERT INTO stolen VALUES ('last');
SET timestamp = DEFAULT, sql_mode = DEFAULT;
