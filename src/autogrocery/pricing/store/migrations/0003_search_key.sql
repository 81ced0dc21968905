-- no-transaction
-- Searches compare a key: name and SKU without regard to case and to the form of Unicode. Python computes it
-- (core/search_key.py), so that it is the same with every collation provider. Rows that exist get what SQL can do here,
-- and pricing writes the exact key at its start. Begun again, it begins anew. The index of 0002 stays for a pricing of
-- the version before, which still searches by it.
ALTER TABLE pricing.products ADD COLUMN IF NOT EXISTS search_key text COLLATE "C";
UPDATE pricing.products SET search_key = normalize(lower(normalize(name || E'\n' || sku, NFKC)), NFKC)
 WHERE search_key IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS pricing.products_by_search_key;
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY products_by_search_key ON pricing.products USING gin (search_key gin_trgm_ops);
