-- invariant: history_is_gapless — every order has one history row for each version from 1 to its own
SELECT o.order_id FROM grocery_orders o
 WHERE o.version <> (SELECT count(*) FROM order_history h WHERE h.order_id = o.order_id AND h.version BETWEEN 1 AND o.version)
    OR EXISTS (SELECT FROM order_history h WHERE h.order_id = o.order_id AND h.version > o.version);

-- invariant: history_ends_at_the_row — the last history row names the order's status
SELECT o.order_id FROM grocery_orders o JOIN order_history h ON h.order_id = o.order_id AND h.version = o.version
 WHERE h.to_status <> o.status;

-- invariant: history_is_a_path — each history row starts where the one before ended, along an edge of the table
SELECT h.order_id FROM order_history h JOIN order_history p ON p.order_id = h.order_id AND p.version = h.version - 1
 WHERE h.from_status IS DISTINCT FROM p.to_status
    OR NOT EXISTS (SELECT FROM order_edges e WHERE e.from_status = h.from_status AND e.to_status = h.to_status);

-- invariant: totals_are_sums — quoted and charged totals are the sums of the lines; a FAILED order costs nothing
SELECT o.order_id FROM grocery_orders o
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(l.unit_price_cents * l.quantity), 0) AS quoted,
           coalesce(sum(l.unit_price_cents * coalesce(s.picked, l.quantity)), 0) AS picked, coalesce(sum(l.quantity), 0) AS items,
           count(*) AS lines
      FROM order_lines l LEFT JOIN short_picks s USING (order_id, line_no) WHERE l.order_id = o.order_id) sums
 WHERE o.quoted_total_cents <> sums.quoted OR (o.item_count, o.line_count) IS DISTINCT FROM (sums.items, sums.lines)
    OR o.total_cents <> CASE o.status WHEN 'COMPLETED' THEN sums.picked WHEN 'FAILED' THEN 0 ELSE sums.quoted END;

-- invariant: short_picks_are_short — a short pick is less than its line, on a COMPLETED order that is PARTIAL
SELECT s.order_id FROM short_picks s JOIN order_lines l USING (order_id, line_no) JOIN grocery_orders o USING (order_id)
 WHERE s.picked >= l.quantity OR o.outcome IS DISTINCT FROM 'PARTIAL';

-- invariant: outcome_tells_short_picks — PARTIAL has a short pick, FULL has none
SELECT o.order_id FROM grocery_orders o
 WHERE o.outcome IS NOT NULL
   AND (o.outcome = 'PARTIAL') <> EXISTS (SELECT FROM short_picks s WHERE s.order_id = o.order_id);

-- invariant: expiry_is_not_early — no order expired before its time
SELECT order_id FROM grocery_orders WHERE status = 'EXPIRED' AND finished_at < expires_at;

-- invariant: no_quote_lingers — an idle quote is released within 60 s of its time
SELECT order_id FROM grocery_orders WHERE status = 'PREVIEWED' AND intent IS NULL AND expires_at < now() - interval '60 seconds';

-- invariant: no_intent_lingers — no call has been owed to inventory for 30 s beyond its due time
SELECT order_id FROM grocery_orders WHERE intent IS NOT NULL AND due_at < now() - interval '30 seconds';

-- invariant: completed_orders_have_one_receipt — a receipt row for each COMPLETED order and for no other
SELECT o.order_id FROM grocery_orders o LEFT JOIN receipt_outbox r USING (order_id)
 WHERE (o.status = 'COMPLETED') <> (r.order_id IS NOT NULL);

-- invariant: outbox_drains — no receipt has been due for more than 60 s
SELECT order_id FROM receipt_outbox WHERE done_at IS NULL AND dead_at IS NULL AND next_attempt_at < now() - interval '60 seconds';

-- invariant: alerts_drain — no alert has been due for more than 60 s
SELECT order_id FROM alert_outbox WHERE done_at IS NULL AND dead_at IS NULL AND next_attempt_at < now() - interval '60 seconds';

-- invariant: alerts_tell_the_truth — an alert says how its order ended, to the device whose order it is
SELECT a.order_id FROM alert_outbox a JOIN grocery_orders o USING (order_id)
 WHERE a.user_id <> o.user_id
    OR a.event <> CASE WHEN o.status = 'FAILED' THEN 'FAILED' WHEN o.outcome = 'PARTIAL' THEN 'PARTIAL' ELSE o.status END;

-- invariant: who_wants_no_alert_gets_none — none was made or sent later than 60 s after its device opted out
SELECT a.order_id FROM alert_outbox a JOIN smart_devices d ON d.id = a.user_id
 WHERE a.created_at > d.alerts_off_at + interval '60 seconds'
    OR (a.last_error IS NULL AND a.done_at > d.alerts_off_at + interval '60 seconds');

-- invariant: every_change_has_its_metric — each history row carries a number of its own in an epoch that is known
WITH history AS (
  SELECT order_id, epoch, sequence FROM order_history UNION ALL SELECT order_id, epoch, sequence FROM restock_history)
SELECT h.order_id FROM history h LEFT JOIN metric_epochs e USING (epoch) WHERE e.epoch IS NULL OR h.sequence < 1
UNION ALL
SELECT min(order_id::text)::uuid FROM history GROUP BY epoch, sequence HAVING count(*) > 1;

-- invariant: nothing_asks_for_attention — no living order contradicts what inventory says
SELECT order_id FROM grocery_orders WHERE attention IS NOT NULL AND finished_at IS NULL;

-- invariant: restock_history_is_gapless — every restock has one history row for each version from 1 to its own
SELECT r.order_id FROM restock_orders r
 WHERE r.version <> (SELECT count(*) FROM restock_history h WHERE h.order_id = r.order_id AND h.version BETWEEN 1 AND r.version)
    OR EXISTS (SELECT FROM restock_history h WHERE h.order_id = r.order_id AND h.version > r.version);

-- invariant: restock_history_ends_at_the_row — the last history row names the restock's status
SELECT r.order_id FROM restock_orders r JOIN restock_history h ON h.order_id = r.order_id AND h.version = r.version
 WHERE h.to_status <> r.status;

-- invariant: restock_history_is_a_path — each history row starts where the one before ended, along an edge of the table
SELECT h.order_id FROM restock_history h JOIN restock_history p ON p.order_id = h.order_id AND p.version = h.version - 1
 WHERE h.from_status IS DISTINCT FROM p.to_status
    OR NOT EXISTS (SELECT FROM restock_edges e WHERE e.from_status = h.from_status AND e.to_status = h.to_status);

-- invariant: restock_totals_are_sums — a restock counts the lines and units of its manifest
SELECT r.order_id FROM restock_orders r
  CROSS JOIN LATERAL (SELECT count(*) AS lines, coalesce(sum(l.quantity), 0) AS items FROM restock_lines l WHERE l.order_id = r.order_id) sums
 WHERE (r.line_count, r.item_count) IS DISTINCT FROM (sums.lines, sums.items);

-- invariant: nothing_is_received_unaccepted — no goods are counted of a restock that inventory has not accepted
SELECT DISTINCT r.order_id FROM restock_orders r JOIN restock_lines l USING (order_id)
 WHERE r.status = 'ANNOUNCED' AND (l.received > 0 OR l.damaged > 0);

-- invariant: no_restock_lingers — no call for a restock has been owed for 30 s beyond its due time
SELECT order_id FROM restock_orders WHERE intent IS NOT NULL AND due_at < now() - interval '30 seconds';

-- invariant: no_restock_asks_for_attention — no living restock contradicts what inventory says
SELECT order_id FROM restock_orders WHERE attention IS NOT NULL AND finished_at IS NULL;
