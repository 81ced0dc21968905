-- One row for each status change. The sorting key ends with the identity of the change, and begins with the minute in
-- which it occurred, which is the same however often the change is inserted: a repeated row replaces its equal.
-- shard by cityHash64(store_id, order_id)
CREATE TABLE IF NOT EXISTS facts (
  store_id    LowCardinality(String),
  order_id    UUID,
  version     UInt32,
  status      LowCardinality(String),
  occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  duration_ms UInt32 CODEC(ZSTD),
  total_cents Int64 CODEC(ZSTD),
  item_count  UInt16 CODEC(ZSTD),
  line_count  UInt16 CODEC(ZSTD),
  epoch       UInt64 CODEC(ZSTD),
  sequence    UInt64 CODEC(Delta, ZSTD),
  batch       UInt64 CODEC(ZSTD)               -- when it was written, in Unix microseconds; of each write another
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
PRIMARY KEY (store_id, toStartOfMinute(occurred_at))
ORDER BY (store_id, toStartOfMinute(occurred_at), order_id, version, status)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 60,
         ttl_only_drop_parts = 1;

-- Figures of a minute, computed as a whole from its facts. As facts are only ever added, the row that counts the most
-- changes is the latest: computing a minute twice, late, or from a replica that lags behind can do no harm.
-- shard by cityHash64(store_id, minute)
CREATE TABLE IF NOT EXISTS order_minutes (
  store_id    LowCardinality(String),
  minute      DateTime('UTC'),
  status      LowCardinality(String),
  changes     UInt64,
  total_cents Int64,
  items       UInt64,
  lines       UInt64,
  busy_ms     UInt64,                            -- sum of the durations
  basket      AggregateFunction(quantiles(0.5, 0.9, 0.99), UInt16),
  duration_ms AggregateFunction(quantiles(0.5, 0.9, 0.99), UInt32),
  computed_at DateTime('UTC') DEFAULT now('UTC')
) ENGINE = ReplacingMergeTree(changes)
PARTITION BY toYYYYMM(minute)
ORDER BY (store_id, minute, status)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 60,
         ttl_only_drop_parts = 1;
