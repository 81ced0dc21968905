-- no-transaction
-- Products are found by any part of their name or SKU: trigrams tell which rows can have it. Begun again, it begins anew.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
DROP INDEX CONCURRENTLY IF EXISTS pricing.products_by_part;
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY products_by_part ON pricing.products USING gin ((name || E'\n' || sku) gin_trgm_ops);
