// One whole order with the generated types: register, log in, preview, confirm, read. Prints the final order as JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

type Order = components["schemas"]["OrderOut"];
type Problem = components["schemas"]["Problem"];

const [, , baseUrl = "", deviceId = ""] = process.argv;
const client = createClient<paths>({ baseUrl });
const password = "a long enough password";

function must<T>(answer: { data?: T; error?: Problem; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.response.status} ${answer.error?.code}: ${answer.error?.detail}`);
  }
  return answer.data;
}

must(await client.POST("/api/client/register", { body: { device_id: deviceId, password } }));
const tokens = must(await client.POST("/api/client/login", { body: { device_id: deviceId, password } }));
const headers = { authorization: `Bearer ${tokens.access_token}` };

const refused = await client.POST("/api/client/order/preview", {
  headers,
  body: { items: [{ sku: "no-such-thing", quantity: 1 }] },
});
if (refused.error?.code !== "unknown_sku" || refused.error.retryable) {
  throw new Error(`an unknown product was not refused: ${JSON.stringify(refused.error)}`);
}

const quote: Order = must(
  await client.POST("/api/client/order/preview", {
    headers: { ...headers, "Idempotency-Key": "basket-1" },
    body: { items: [{ sku: "milk", quantity: 2 }] },
  }),
);
const confirmed: Order = must(
  await client.POST("/api/client/order/confirm", { headers, body: { order_id: quote.order_id } }),
);
const page = must(await client.GET("/api/client/orders", { headers, params: { query: { limit: 10 } } }));
const order: Order = must(
  await client.GET("/api/client/orders/{order_id}", { headers, params: { path: { order_id: confirmed.order_id } } }),
);
console.log(JSON.stringify({ order, listed: page.data.map((one) => one.order_id) }));
