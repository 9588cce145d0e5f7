-- The tables of the stand-in shop: names and columns as Magento 2.4 has them, those that are used; prefix mg_.
create table mg_store_website (website_id smallint primary key, code varchar(32), default_group_id smallint, is_default smallint);
create table mg_store_group (group_id smallint primary key, website_id smallint, code varchar(32), default_store_id smallint);
create table mg_store (store_id smallint primary key, code varchar(32), website_id smallint, group_id smallint, is_active smallint);
insert into mg_store_website values (0, 'admin', 0, 0), (1, 'base', 1, 1), (2, 'second', 2, 0);
insert into mg_store_group values (0, 0, 'default', 0), (1, 1, 'main', 1), (2, 2, 'us_store', 3);
insert into mg_store values (0, 'admin', 0, 0, 1), (1, 'de', 1, 1, 1), (2, 'fr', 1, 1, 1), (3, 'us', 2, 2, 1), (4, 'old', 1, 1, 0);

create table mg_core_config_data (config_id int primary key auto_increment, scope varchar(8) default 'default', scope_id int default 0,
  path varchar(255), value text, updated_at timestamp default current_timestamp on update current_timestamp, unique (scope, scope_id, path));
insert into mg_core_config_data (scope, scope_id, path, value) values
  ('default', 0, 'web/url/use_store', '0'), ('default', 0, 'design/head/includes', '<link rel="stylesheet" href="/static/shop.css">'),
  ('default', 0, 'payment/checkmo/active', '1'), ('default', 0, 'payment/hosted/active', '1'), ('websites', 2, 'payment/hosted/active', '0'),
  ('default', 0, 'csp/mode/storefront_checkout_index_index/report_only', '0');

create table mg_cms_page (page_id int primary key auto_increment, identifier varchar(100), title varchar(255), is_active smallint, content mediumtext,
  layout_update_xml text, custom_layout_update_xml text, update_time timestamp default current_timestamp on update current_timestamp);
insert into mg_cms_page (identifier, title, is_active, content) values ('home', 'Home', 1, '<h1>Welcome</h1>');
create table mg_cms_page_store (page_id int, store_id smallint, primary key (page_id, store_id));
insert into mg_cms_page_store values (1, 0);
create table mg_cms_block (block_id int primary key auto_increment, identifier varchar(255), title varchar(255), content mediumtext, is_active smallint,
  update_time timestamp default current_timestamp on update current_timestamp);
insert into mg_cms_block (identifier, title, content, is_active) values ('checkout_note', 'Note', '<p>We ship within a day.</p>', 1);
create table mg_cms_block_store (block_id int, store_id smallint, primary key (block_id, store_id));
insert into mg_cms_block_store values (1, 0);
create table mg_layout_update (layout_update_id int primary key auto_increment, handle varchar(255), xml text,
  updated_at timestamp default current_timestamp on update current_timestamp);
create table mg_layout_link (layout_link_id int primary key auto_increment, store_id smallint, theme_id int default 1, layout_update_id int);

create table mg_catalog_product_entity (entity_id int primary key auto_increment, sku varchar(64), price decimal(20,6));
insert into mg_catalog_product_entity (sku, price) select concat('sku-', seq), seq from seq_1_to_100;
-- Addresses of pages by view; what another view has and this one doesn't is 404 here.
create table mg_url_rewrite (url_rewrite_id int primary key auto_increment, entity_type varchar(32), request_path varchar(255), store_id smallint, unique (request_path, store_id));
insert into mg_url_rewrite (entity_type, request_path, store_id) select 'category', 'bags.html', store_id from mg_store where store_id > 0
  union all select 'product', 'bag.html', store_id from mg_store where store_id > 0;
create table mg_quote (entity_id int primary key auto_increment, store_id smallint, created_at timestamp default current_timestamp,
  updated_at timestamp default current_timestamp on update current_timestamp, is_active smallint default 1, customer_id int, customer_email varchar(255), reserved_order_id varchar(64));
create table mg_quote_id_mask (entity_id int primary key auto_increment, quote_id int, masked_id varchar(32), key (masked_id),
  foreign key (quote_id) references mg_quote (entity_id) on delete cascade);
create table mg_quote_item (item_id int primary key auto_increment, quote_id int, sku varchar(255), qty decimal(12,4), price decimal(12,4), key (quote_id),
  foreign key (quote_id) references mg_quote (entity_id) on delete cascade);
create table mg_quote_payment (payment_id int primary key auto_increment, quote_id int, created_at timestamp default current_timestamp,
  updated_at timestamp default current_timestamp, method varchar(255), cc_number_enc varchar(255), cc_cid_enc varchar(255), additional_information text, key (quote_id));
create table mg_sales_order (entity_id int primary key auto_increment, state varchar(32), status varchar(32), store_id smallint, grand_total decimal(20,4),
  increment_id varchar(50), customer_email varchar(128), remote_ip varchar(45), quote_id int, created_at timestamp default current_timestamp,
  updated_at timestamp default current_timestamp on update current_timestamp, base_grand_total decimal(20,4), base_currency_code varchar(3), key (store_id), key (created_at));
create table mg_sales_order_payment (entity_id int primary key auto_increment, parent_id int, method varchar(128), amount_ordered decimal(20,4), cc_last_4 varchar(100),
  cc_number_enc varchar(128), additional_information text, key (parent_id));
create table mg_vault_payment_token (entity_id int primary key auto_increment, gateway_token varchar(255), details text);
create table mg_customer_entity (entity_id int primary key auto_increment, website_id smallint, email varchar(255), store_id smallint, password_hash varchar(128),
  updated_at timestamp default current_timestamp on update current_timestamp, session_cutoff timestamp null);

create table mg_admin_user (user_id int primary key auto_increment, username varchar(40), password varchar(255), email varchar(128), is_active smallint,
  logdate timestamp null, lognum smallint default 0, failures_num smallint default 0, rp_token text, rp_token_created_at timestamp null,
  created timestamp default current_timestamp, modified timestamp default current_timestamp on update current_timestamp);
create table mg_admin_user_session (id int primary key auto_increment, session_id varchar(1), user_id int, status smallint, created_at timestamp default current_timestamp,
  updated_at timestamp default current_timestamp on update current_timestamp, ip varchar(15));
create table mg_password_reset_request_event (id int primary key auto_increment, request_type smallint, account_reference varchar(255), created_at timestamp, ip varchar(15));
create table mg_oauth_token (entity_id int primary key auto_increment, consumer_id int, admin_id int, customer_id int, type varchar(16), token varchar(32), secret varchar(128),
  user_type int, revoked smallint, created_at timestamp default current_timestamp);
create table mg_oauth_consumer (entity_id int primary key auto_increment, name varchar(255), `key` varchar(32), secret varchar(128), created_at timestamp default current_timestamp);
create table mg_paypal_cert (cert_id int primary key auto_increment, website_id smallint, content text);
create table mg_tfa_user_config (config_id int primary key auto_increment, user_id int, encoded_config text);
create table mg_integration (integration_id int primary key auto_increment, name varchar(255) unique, email varchar(255), endpoint varchar(255), status smallint,
  consumer_id int, created_at timestamp default current_timestamp, updated_at timestamp default current_timestamp on update current_timestamp);
create table mg_jwt_auth_revoked (user_type_id int, user_id int, revoke_before bigint, primary key (user_type_id, user_id));
create table mg_queue_poison_pill (version varchar(255) primary key);
create table mg_cron_schedule (schedule_id int primary key auto_increment, job_code varchar(255), status varchar(7), messages text, created_at timestamp, scheduled_at timestamp null,
  executed_at timestamp null, finished_at timestamp null);

-- Orders' trails and what administrators did (`magento.md` §4.6); the last six tables only Commerce or Mage-OS's add-on has.
create table mg_sales_order_status_history (entity_id int primary key auto_increment, parent_id int, is_customer_notified int, comment text, status varchar(32),
  created_at timestamp default current_timestamp, entity_name varchar(32));
create table mg_sales_order_status_change_history (entity_id int primary key auto_increment, order_id int, status varchar(32), created_at timestamp default current_timestamp);
create table mg_admin_user_expiration (user_id int primary key, expires_at timestamp);
create table mg_oauth_token_request_log (log_id int primary key auto_increment, user_name varchar(255), user_type smallint, failures_count smallint, lock_expires_at timestamp);
create table mg_magento_login_as_customer_log (log_id int primary key auto_increment, time timestamp null, user_id int, user_name varchar(40), customer_id int, customer_email varchar(40));
create table mg_import_history (history_id int primary key auto_increment, started_at timestamp default current_timestamp, user_id int, imported_file varchar(255),
  execution_time varchar(255), summary varchar(255), error_file varchar(255));
create table mg_magento_bulk (id int primary key auto_increment, uuid varbinary(39), user_id int, user_type int, description varchar(255), operation_count int,
  start_time timestamp default current_timestamp);
create table mg_magento_operation (id int primary key auto_increment, bulk_uuid varbinary(39), topic_name varchar(255), serialized_data blob, result_serialized_data blob,
  status smallint, error_code smallint, result_message varchar(255));
create table mg_adminnotification_inbox (notification_id int primary key auto_increment, severity smallint, date_added timestamp default current_timestamp, title varchar(255),
  description text, url varchar(255), is_read smallint, is_remove smallint);
create table mg_patch_list (patch_id int primary key auto_increment, patch_name varchar(1024));
create table mg_magento_logging_event (log_id int primary key auto_increment, ip bigint, x_forwarded_ip bigint, event_code varchar(100), time timestamp null, action varchar(20),
  info varchar(255), status varchar(15), user varchar(40), user_id int, fullaction varchar(200), error_message text);
create table mg_magento_logging_event_changes (id int primary key auto_increment, source_name varchar(150), event_id int, source_id int, original_data text, result_data text);
create table mg_admin_activity (entity_id int primary key auto_increment, username varchar(40), name varchar(64), admin_id int, store_id smallint, scope varchar(15), action_type varchar(32),
  remote_ip varchar(40), forwarded_ip varchar(40), user_agent text, module varchar(50), fullaction varchar(200), item_name varchar(255), item_url varchar(255), item_path varchar(255),
  created_at timestamp default current_timestamp, updated_at timestamp default current_timestamp);
create table mg_admin_activity_log (entity_id int primary key auto_increment, activity_id int, field_name varchar(255), old_value text, new_value text);
create table mg_admin_activity_detail (entity_id int primary key auto_increment, activity_id int, model_class varchar(255), item_id int);
create table mg_admin_login_log (entity_id int primary key auto_increment, admin_id int, username varchar(40), name varchar(64), remote_ip varchar(40), forwarded_ip varchar(40),
  user_agent text, type varchar(8), status smallint, remarks text, created_at timestamp default current_timestamp);
