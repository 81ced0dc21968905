-- The price list. Money is in minor units of the currency; quantity is the stock as last told by UpdateStockMetrics,
-- of which inventory alone knows the truth.
CREATE TABLE pricing.products (
    sku text COLLATE "C" NOT NULL,
    name text NOT NULL,
    aisle_type text NOT NULL,
    unit_price_cents bigint NOT NULL,
    unit_cost_cents bigint NOT NULL DEFAULT 0,
    currency text NOT NULL,
    quantity bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT product_has_one_row PRIMARY KEY (sku),
    CONSTRAINT product_sku_is_short CHECK (length(sku) BETWEEN 1 AND 64),
    CONSTRAINT product_name_is_short CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT product_lies_in_a_known_aisle CHECK (aisle_type IN ('bread', 'dairy', 'meat', 'produce', 'party')),
    CONSTRAINT product_costs_something CHECK (unit_price_cents BETWEEN 1 AND 1000000000000),
    CONSTRAINT product_cost_is_not_negative CHECK (unit_cost_cents BETWEEN 0 AND 1000000000000),
    CONSTRAINT product_currency_is_iso_4217 CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT product_quantity_is_not_negative CHECK (quantity >= 0)
);
