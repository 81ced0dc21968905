// A plain inventory and a plain pricing, in memory, with unary calls only. Written from docs/CONTRACT.md and the .proto
// files, as another team would: nothing of the gateway's own code is used or known here.
//
//   node peer.js inventory|pricing PORT PROTO_DIRECTORY
//
// GATEWAY_WEBHOOK_URL and WEBHOOK_SECRET as in the contract. ROBOT_TOKEN: robots call with this bearer token; without
// it the peer has robots of its own, which pick PICK_AFTER_MS after a dispatch. STATE_FILE: kept from stop to start.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [kind, port, protos] = process.argv.slice(2);
const STATE_FILE = process.env.STATE_FILE || "";
const ROBOT_TOKEN = process.env.ROBOT_TOKEN || "";
const PICK_AFTER_MS = Number(process.env.PICK_AFTER_MS || 200);
const GATEWAY = process.env.GATEWAY_WEBHOOK_URL || "";
const WEBHOOK_TIMEOUT_MS = 3000;
const WEBHOOK_CAP_MS = 30000;
const ROBOT_ID = "robot-dairy-1";
const AISLES = ["bread", "dairy", "meat", "produce", "party"];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const MAX_CENTS = 1e10; // 100 lines of 999 units at this price are exact in a double
const CURRENCY = "USD";
const MARGIN_PERCENT = 30;
const REFUSAL = {SHORTAGE: 1, RELEASED: 2, ITEMS_DIFFER: 3, UNKNOWN_SKU: 4};
const RESULT = {RELEASED: 1, ALREADY_ASSIGNED: 2};
const STATE = {UNKNOWN: 0, HELD: 1, LAPSED: 2, ASSIGNED: 3, COMPLETED: 4, FAILED: 5, RELEASED: 6};
const RESTOCK = {UNKNOWN: 0, RECEIVING: 1, RECEIVED: 2, REJECTED: 3};
const REPORT = {ACCEPTED: 1, DUPLICATE: 2, STALE_FENCE: 3};
const REASON_CANCEL = 1;
const ORDER_TYPE = {PICK: 0, PUTAWAY: 1};

// What is kept. An order: {state, asked, granted, until, started, picked}, baskets as objects by SKU.
let kept = {stock: {}, aisles: {}, orders: {}, deliveries: {}, webhooks: {}, fences: {}, lastFence: 0, products: {}};
if (STATE_FILE && fs.existsSync(STATE_FILE)) {
  kept = JSON.parse(fs.readFileSync(STATE_FILE, "utf8"));
}
const held = new Set(Object.keys(kept.orders).filter((id) => kept.orders[id].state === STATE.HELD));

class Refused extends Error {}

function uuid(text) {
  if (!UUID.test(text)) throw new Refused("the id is not a UUID");
  return text.toLowerCase();
}

function sku(text) {
  const odd = !text || text.length > 64 || /[\u0000-\u001f\u007f]/.test(text) || text === "__proto__";
  if (odd) throw new Refused("a SKU has 1 to 64 printable characters");
  return text;
}

function own(object, key) {
  return Object.prototype.hasOwnProperty.call(object, key);
}

function basket(items) {
  const found = {};
  for (const item of items) {
    if (item.quantity < 1 || item.quantity > 999) throw new Refused("a quantity is 1 to 999");
    found[sku(item.sku)] = (own(found, item.sku) ? found[item.sku] : 0) + item.quantity;
  }
  const lines = Object.values(found);
  if (lines.length < 1 || lines.length > 100 || Math.max(...lines) > 999) {
    throw new Refused("a basket has 1 to 100 lines of 1 to 999 units");
  }
  return found;
}

function same(one, other) {
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => own(other, key) && one[key] === other[key]);
}

const items = (found) => Object.entries(found).map(([one, quantity]) => ({sku: one, quantity}));
const move = (units, sign) => Object.entries(units).forEach(([one, n]) => { kept.stock[one] += sign * n; });

// ---- Orders. Node runs one call at a time, and no call waits in the middle: each is one step.

function lapse() {
  const now = Date.now();
  for (const id of held) {
    const order = kept.orders[id];
    if (order.until <= now) {
      move(order.granted, 1);
      order.state = STATE.LAPSED;
      held.delete(id);
    }
  }
}

function find(id) {
  lapse();
  return kept.orders[id] || {state: STATE.UNKNOWN, asked: {}, granted: {}, picked: null};
}

function put(id, order) {
  kept.orders[id] = order;
  if (order.state === STATE.HELD) held.add(id);
  else held.delete(id);
  return order;
}

const DISPATCHED = [STATE.ASSIGNED, STATE.COMPLETED, STATE.FAILED];

function reserveItems(request) {
  const id = uuid(request.order_id);
  const wanted = basket(request.items);
  if (request.hold_seconds < 1 || request.hold_seconds > 86400) throw new Refused("hold_seconds is 1 to 86400");
  const order = find(id);
  const no = (refusal, shortages = []) => ({order_id: id, success: false, refusal, shortages});
  const yes = (one) => ({
    order_id: id,
    success: true,
    items: items(one.granted),
    expires_at: {seconds: Math.floor(one.until / 1000), nanos: Math.floor(one.until % 1000) * 1e6},
  });
  if (order.state === STATE.RELEASED) return no(REFUSAL.RELEASED);
  const until = Date.now() + request.hold_seconds * 1000;
  if (order.state !== STATE.UNKNOWN && order.state !== STATE.LAPSED) {
    const repeated = same(wanted, order.asked) && (request.allow_partial || same(wanted, order.granted));
    if (!repeated) return no(REFUSAL.ITEMS_DIFFER);
    order.until = Math.max(order.until || 0, until);
    return yes(order);
  }
  if (Object.keys(wanted).some((one) => !own(kept.stock, one))) return no(REFUSAL.UNKNOWN_SKU);
  const short = Object.entries(wanted).filter(([one, n]) => kept.stock[one] < n);
  const granted = {};
  for (const [one, n] of Object.entries(wanted)) {
    if (kept.stock[one] > 0) granted[one] = Math.min(n, kept.stock[one]);
  }
  if ((short.length && !request.allow_partial) || !Object.keys(granted).length) {
    return no(REFUSAL.SHORTAGE, short.map(([one, n]) => ({sku: one, requested: n, available: kept.stock[one]})));
  }
  move(granted, -1);
  return yes(put(id, {state: STATE.HELD, asked: wanted, granted, until, picked: null}));
}

function assignment(id, order) {
  const lines = items(order.granted);
  return {assignment_id: id, robot_id: ROBOT_ID, robot_class: "dairy", aisle: "dairy", items: lines, order_type: ORDER_TYPE.PICK};
}

function assignRobots(request) {
  const id = uuid(request.order_id);
  const wanted = basket(request.items);
  const order = find(id);
  const no = (message) => ({order_id: id, success: false, message});
  const yes = (one) => ({order_id: id, success: true, assignments: [assignment(id, one)]});
  if (order.state === STATE.RELEASED) return no("the order is released");
  if (DISPATCHED.includes(order.state)) return same(wanted, order.granted) ? yes(order) : no("dispatched with other items");
  const had = order.state === STATE.HELD ? order.granted : {};
  const lacks = Object.entries(wanted).some(
    ([one, n]) => !own(kept.stock, one) || kept.stock[one] + (own(had, one) ? had[one] : 0) < n,
  );
  if (lacks) return no("not enough stock");
  move(had, 1);
  move(wanted, -1);
  const asked = same(wanted, had) ? order.asked : wanted;
  const until = order.until || Date.now();
  const sent = put(id, {state: STATE.ASSIGNED, asked, granted: wanted, until, started: false, picked: null});
  if (!ROBOT_TOKEN) setTimeout(pickAll, PICK_AFTER_MS, id);
  return yes(sent);
}

function releaseItems(request) {
  const id = uuid(request.order_id);
  const order = find(id);
  const withdrawn = order.state === STATE.ASSIGNED && request.reason === REASON_CANCEL && !order.started;
  if (DISPATCHED.includes(order.state) && !withdrawn) return {order_id: id, result: RESULT.ALREADY_ASSIGNED};
  if (order.state === STATE.HELD || withdrawn) move(order.granted, 1);
  put(id, {state: STATE.RELEASED, asked: {}, granted: {}, picked: null});
  return {order_id: id, result: RESULT.RELEASED};
}

function getOrder(request) {
  const id = uuid(request.order_id);
  const order = find(id);
  const picked = Object.entries(order.picked || {}).map(([one, n]) => ({sku: one, picked: n}));
  return {order_id: id, state: order.state, items: picked};
}

function checkAvailability(request) {
  lapse();
  const known = request.skus.filter((one) => own(kept.stock, one));
  return {items: known.map((one) => ({sku: one, available: kept.stock[one]}))};
}

// ---- Deliveries

function restockItems(request) {
  const id = uuid(request.order_id);
  if (!request.items.length || request.items.length > 1000) throw new Refused("a delivery has 1 to 1,000 lines");
  for (const line of request.items) {
    if (!AISLES.includes(line.aisle_type)) throw new Refused("no such aisle");
    if (line.quantity < 1 || line.quantity > 1e6) throw new Refused("a quantity is 1 to 1,000,000");
    const aisle = own(kept.aisles, sku(line.sku)) ? kept.aisles[line.sku] : line.aisle_type;
    if (aisle !== line.aisle_type) return {order_id: id, success: false, message: `${line.sku} is in aisle ${aisle}`};
  }
  const content = JSON.stringify(request);
  if (own(kept.deliveries, id)) {
    const repeated = kept.deliveries[id].content === content;
    return {order_id: id, success: repeated, message: repeated ? "" : "another delivery has this id"};
  }
  const lines = {};
  for (const line of request.items) {
    kept.aisles[line.sku] = line.aisle_type;
    if (!own(kept.stock, line.sku)) kept.stock[line.sku] = 0;
    if (request.shelved) kept.stock[line.sku] += line.quantity;
    lines[line.sku] = {announced: line.quantity, received: 0, damaged: 0};
  }
  const state = request.shelved ? RESTOCK.RECEIVED : RESTOCK.RECEIVING;
  kept.deliveries[id] = {content, state, lines, robot_class: request.items[0].aisle_type};
  if (!request.shelved && !ROBOT_TOKEN) setTimeout(putAwayAll, PICK_AFTER_MS, id);
  return {order_id: id, success: true};
}

function totals(delivery) {
  return Object.entries(delivery.lines).map(([one, n]) => ({sku: one, received: n.received, damaged: n.damaged}));
}

function getRestock(request) {
  const id = uuid(request.order_id);
  const delivery = own(kept.deliveries, id) ? kept.deliveries[id] : null;
  if (!delivery) return {order_id: id, state: RESTOCK.UNKNOWN, items: []};
  return {order_id: id, state: delivery.state, items: totals(delivery)};
}

function putAway(id, counts, done) {
  const delivery = kept.deliveries[id];
  let changed = false;
  for (const {sku: one, received, damaged} of counts) {
    const line = own(delivery.lines, one) ? delivery.lines[one] : null;
    if (!line || received < line.received || received - damaged < line.received - line.damaged) continue;
    changed = changed || received !== line.received || damaged !== line.damaged;
    kept.stock[one] += received - damaged - (line.received - line.damaged);
    Object.assign(line, {received, damaged});
  }
  if (done && delivery.state === RESTOCK.RECEIVING) {
    delivery.state = RESTOCK.RECEIVED;
    changed = true;
  }
  if (changed) {
    const status = delivery.state === RESTOCK.RECEIVED ? "RECEIVED" : "RECEIVING";
    webhook("update-restock", {order_id: id, status, items: totals(delivery), occurred_at: new Date().toISOString()});
  }
  return changed;
}

// ---- Robots: of our own, or called by their token

function finish(id, picked) {
  const order = kept.orders[id];
  order.picked = picked;
  order.state = Object.values(picked).some((n) => n > 0) ? STATE.COMPLETED : STATE.FAILED;
  const status = order.state === STATE.COMPLETED ? "COMPLETED" : "FAILED";
  const told = Object.entries(picked).map(([one, n]) => ({sku: one, picked: n}));
  const robots = [{robot_id: ROBOT_ID, robot_class: "dairy", assignment_id: id}];
  webhook("update-order", {order_id: id, status, items: told, robots, occurred_at: new Date().toISOString()});
}

function pickAll(id) {
  const order = kept.orders[id];
  if (order.state !== STATE.ASSIGNED) return;
  order.started = true;
  finish(id, {...order.granted});
}

function putAwayAll(id) {
  const lines = Object.entries(kept.deliveries[id].lines);
  putAway(id, lines.map(([one, n]) => ({sku: one, received: n.announced, damaged: 0})), true);
}

function listWork(request) {
  const picks = Object.entries(kept.orders)
    .filter(([, order]) => order.state === STATE.ASSIGNED)
    .map(([id, order]) => assignment(id, order));
  const putaways = Object.entries(kept.deliveries)
    .filter(([, one]) => one.state === RESTOCK.RECEIVING && one.robot_class === request.robot_class)
    .map(([id, one]) => ({
      assignment_id: id,
      robot_id: "",
      robot_class: one.robot_class,
      aisle: one.robot_class,
      items: Object.entries(one.lines).map(([name, n]) => ({sku: name, quantity: n.announced})),
      order_type: ORDER_TYPE.PUTAWAY,
    }));
  return {assignments: [...picks.slice(0, 50), ...putaways].slice(0, Math.max(request.limit, 0) || 50)};
}

function startPick(request) {
  const id = uuid(request.assignment_id);
  const order = find(id);
  const delivery = own(kept.deliveries, id) ? kept.deliveries[id] : null;
  const open = order.state === STATE.ASSIGNED || (delivery && delivery.state === RESTOCK.RECEIVING);
  if (!open) return {granted: false};
  if (order.state === STATE.ASSIGNED) order.started = true;
  kept.lastFence += 1;
  kept.fences[id] = kept.lastFence;
  const until = {seconds: Math.floor(Date.now() / 1000) + 60, nanos: 0};
  return {granted: true, fence: kept.lastFence, lease_until: until, items: delivery ? totals(delivery) : []};
}

function reportPick(request) {
  const id = uuid(request.assignment_id);
  const order = find(id);
  if (request.fence !== kept.fences[id]) return {result: REPORT.STALE_FENCE};
  if (order.state !== STATE.ASSIGNED) return {result: REPORT.DUPLICATE};
  const whole = request.status === 1; // PICKED: lines that are not listed were picked in full
  const picked = Object.fromEntries(Object.entries(order.granted).map(([one, n]) => [one, whole ? n : 0]));
  for (const item of request.items) {
    const most = own(order.granted, item.sku) ? order.granted[item.sku] : 0;
    if (item.picked < 0 || item.picked > most) throw new Refused("more was picked than was ordered");
    picked[item.sku] = item.picked;
  }
  finish(id, picked);
  return {result: REPORT.ACCEPTED};
}

function reportPutaway(request) {
  const id = uuid(request.assignment_id);
  if (!own(kept.deliveries, id)) throw new Refused("no such putaway");
  if (request.fence !== kept.fences[id]) return {result: REPORT.STALE_FENCE};
  return {result: putAway(id, request.items, request.done) ? REPORT.ACCEPTED : REPORT.DUPLICATE};
}

// ---- Webhooks: Standard Webhooks 1.0, repeated until acknowledged, always the same id and bytes

const agent = new http.Agent({keepAlive: true, maxSockets: 64});

function key() {
  const secret = (process.env.WEBHOOK_SECRET || "").split(",")[0].trim();
  return secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret, "utf8");
}

function webhook(name, content) {
  if (!GATEWAY) return;
  const id = `msg_${crypto.randomUUID()}`;
  kept.webhooks[id] = {name, body: JSON.stringify(content), attempts: 0};
  send(id);
}

function send(id) {
  const one = kept.webhooks[id];
  const at = Math.floor(Date.now() / 1000);
  const signature = crypto.createHmac("sha256", key()).update(`${id}.${at}.${one.body}`).digest("base64");
  const request = http.request(`${GATEWAY}/internal/webhook/${one.name}`, {
    method: "POST",
    agent,
    timeout: WEBHOOK_TIMEOUT_MS,
    headers: {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(one.body),
      "webhook-id": id,
      "webhook-timestamp": String(at),
      "webhook-signature": `v1,${signature}`,
    },
  });
  let over = false;
  const settle = (status) => {
    if (over) return;
    over = true;
    if (status >= 200 && status < 300) {
      delete kept.webhooks[id];
      return;
    }
    one.attempts += 1;
    const wait = Math.min(WEBHOOK_CAP_MS, 500 * 2 ** Math.min(one.attempts - 1, 16));
    setTimeout(send, wait * (0.5 + Math.random() / 2), id);
  };
  request.on("response", (response) => {
    response.resume();
    settle(response.statusCode);
  });
  request.on("timeout", () => request.destroy(new Error("no answer in time")));
  request.on("error", () => settle(0));
  request.end(one.body);
}

// ---- Pricing

const product = (one) => ({...one, currency: CURRENCY});

function quote(request) {
  const id = uuid(request.order_id);
  const wanted = basket(request.items);
  const lines = [];
  const unknown = [];
  for (const [one, quantity] of Object.entries(wanted)) {
    if (!own(kept.products, one)) {
      unknown.push(one);
      continue;
    }
    const {name, unit_price_cents: price} = kept.products[one];
    lines.push({sku: one, name, quantity, unit_price_cents: price, line_total_cents: price * quantity});
  }
  const total = lines.reduce((sum, line) => sum + line.line_total_cents, 0);
  return {order_id: id, currency: CURRENCY, lines, total_cents: total, unknown_skus: unknown};
}

function listProducts(request) {
  if (request.limit < 0) throw new Refused("limit is not below 0");
  const limit = Math.min(request.limit || 50, 200);
  const query = request.query.toLowerCase();
  const found = Object.values(kept.products)
    .filter((one) => one.sku.toLowerCase().includes(query) || one.name.toLowerCase().includes(query))
    .filter((one) => one.sku > request.cursor)
    .sort((one, other) => (one.sku < other.sku ? -1 : 1));
  const page = found.slice(0, limit);
  return {products: page.map(product), next_cursor: found.length > limit ? page[page.length - 1].sku : ""};
}

function getPrice(request) {
  return own(kept.products, request.sku) ? {product: product(kept.products[request.sku])} : {};
}

function updateStockMetrics(request) {
  const changed = request.updates.map((one) => {
    const {unit_price_cents: given, unit_cost_cents: cost} = one;
    if (given < 0 || cost < 0 || one.quantity < 0) throw new Refused("prices, costs and quantities are not below 0");
    const price = given || Math.ceil((cost * (100 + MARGIN_PERCENT)) / 100);
    if (price > MAX_CENTS || one.name.length > 200) throw new Refused("a price or a name is too long");
    if (one.aisle_type && !AISLES.includes(one.aisle_type)) throw new Refused("no such aisle");
    const before = own(kept.products, sku(one.sku)) ? kept.products[one.sku] : {name: one.sku, aisle_type: "", unit_price_cents: 0};
    return {
      sku: one.sku,
      name: one.name || before.name,
      aisle_type: one.aisle_type || before.aisle_type,
      unit_price_cents: price || before.unit_price_cents,
    };
  });
  for (const one of changed) kept.products[one.sku] = one;
  return {updated: changed.length};
}

// ---- Serving

function unary(action) {
  return (call, callback) => {
    try {
      callback(null, action(call.request));
    } catch (error) {
      const refused = error instanceof Refused;
      if (!refused) console.error(error);
      callback({code: refused ? grpc.status.INVALID_ARGUMENT : grpc.status.INTERNAL, details: refused ? error.message : "a bug"});
    }
  };
}

function robots(action) {
  return (call, callback) => {
    const [given] = call.metadata.get("authorization");
    if (!ROBOT_TOKEN || given !== `Bearer ${ROBOT_TOKEN}`) {
      callback({code: grpc.status.UNAUTHENTICATED, details: "no valid robot token"});
      return;
    }
    unary(action)(call, callback);
  };
}

const SERVICES = {
  inventory: ["InventoryService", {
    ReserveItems: unary(reserveItems),
    AssignRobots: unary(assignRobots),
    ReleaseItems: unary(releaseItems),
    GetOrder: unary(getOrder),
    CheckAvailability: unary(checkAvailability),
    RestockItems: unary(restockItems),
    GetRestock: unary(getRestock),
    ListWork: robots(listWork),
    StartPick: robots(startPick),
    Heartbeat: robots(() => ({lost_fences: []})),
    ReportPick: robots(reportPick),
    ReportPutaway: robots(reportPutaway),
  }],
  pricing: ["PricingService", {
    Quote: unary(quote),
    ListProducts: unary(listProducts),
    GetPrice: unary(getPrice),
    UpdateStockMetrics: unary(updateStockMetrics),
  }],
};

const [service, methods] = SERVICES[kind];
const definition = loader.loadSync(path.join(protos, "autogrocery", "contracts", kind, "v1", `${kind}.proto`), {
  keepCase: true,
  longs: Number,
  enums: Number,
  defaults: true,
  oneofs: true,
  includeDirs: [protos],
});
const server = new grpc.Server({"grpc.max_receive_message_length": 1 << 20});
server.addService(grpc.loadPackageDefinition(definition).autogrocery[kind].v1[service].service, methods);
server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) {
    console.error(`${kind}: ${error.message}`);
    process.exit(1);
  }
  Object.keys(kept.webhooks).forEach(send);
  console.log(`${kind} serves at 127.0.0.1:${port}`);
});

function stop() {
  server.forceShutdown();
  if (STATE_FILE) fs.writeFileSync(STATE_FILE, JSON.stringify(kept), {mode: 0o600});
  process.exit(0);
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
