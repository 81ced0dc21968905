-- Lines of completed orders of which less was picked than granted.
-- shard by cityHash64(store_id, order_id)
CREATE TABLE IF NOT EXISTS short_lines (
  store_id         LowCardinality(String),
  order_id         UUID,
  ended_at         DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  sku              String CODEC(ZSTD),
  name             String CODEC(ZSTD),
  granted          UInt32 CODEC(ZSTD),
  picked           UInt32 CODEC(ZSTD),
  unit_price_cents Int64 CODEC(ZSTD),
  written_at       DateTime('UTC') DEFAULT now('UTC')
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ended_at)
PRIMARY KEY (store_id, toStartOfMinute(ended_at))
ORDER BY (store_id, toStartOfMinute(ended_at), order_id, sku)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 60,
         ttl_only_drop_parts = 1;

-- Units of deliveries that have ended, by aisle; `damaged` is part of `received`.
-- shard by cityHash64(store_id, order_id)
CREATE TABLE IF NOT EXISTS delivered (
  store_id   LowCardinality(String),
  order_id   UUID,
  ended_at   DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  aisle      LowCardinality(String),
  announced  UInt64,
  received   UInt64,
  damaged    UInt64,
  missing    UInt64,
  surplus    UInt64,
  written_at DateTime('UTC') DEFAULT now('UTC')
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ended_at)
PRIMARY KEY (store_id, toStartOfMinute(ended_at))
ORDER BY (store_id, toStartOfMinute(ended_at), order_id, aisle)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 60,
         ttl_only_drop_parts = 1;

-- Assignments that robots have reported on.
-- shard by cityHash64(store_id, order_id)
CREATE TABLE IF NOT EXISTS picks (
  store_id      LowCardinality(String),
  order_id      UUID,
  assignment_id UUID,
  robot_id      LowCardinality(String),
  aisle         LowCardinality(String),
  units         UInt32 CODEC(ZSTD),
  picked        UInt32 CODEC(ZSTD),
  short_skus    Array(String) CODEC(ZSTD),
  assigned_at   DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  closed_at     DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  written_at    DateTime('UTC') DEFAULT now('UTC')
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(closed_at)
PRIMARY KEY (store_id, toStartOfMinute(closed_at))
ORDER BY (store_id, toStartOfMinute(closed_at), order_id, assignment_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 60,
         ttl_only_drop_parts = 1;
