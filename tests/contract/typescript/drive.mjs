// Drives a build of the existing TypeScript client against a running stack, as a marketplace's backend would.
//
//   node drive.mjs <build>    the folder of a built @offerhub/sdk; where to go and with what is in the environment:
//   API_URL, API_KEY, API_KEY_WITHOUT_RIGHTS, SANDBOX_URL, PAYEE (a Stellar account outside that trusts the sandbox's USDC)
//
// Prints one line per call that did what it should and ends with 0, or says what was wrong and ends with 1.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

const { API_URL: apiUrl, API_KEY: apiKey, API_KEY_WITHOUT_RIGHTS: readOnlyKey, SANDBOX_URL: sandboxUrl, PAYEE: payee } = process.env;
const build = createRequire(import.meta.url).resolve(process.argv[2]);
const client = await import(pathToFileURL(build).href);
const { OfferHubSDK, UserType, DisputeReason, DisputeOpenedBy, ResolutionDecision } = client;
const sdk = new OfferHubSDK({ apiUrl, apiKey });
const WAIT_MS = 30_000;

function done(call) {
  console.log(call);
}

function has(resource, ...fields) {
  for (const field of fields) assert.ok(resource[field] !== undefined && resource[field] !== null, `${field} in ${JSON.stringify(resource)}`);
}

function holds(resource, expected) {
  for (const [field, value] of Object.entries(expected)) assert.deepEqual(resource[field], value, `${field} in ${JSON.stringify(resource)}`);
}

async function until(look, what) {
  for (const limit = Date.now() + WAIT_MS; Date.now() < limit; await pause(100)) {
    const found = await look();
    if (found) return found;
  }
  assert.fail(`${what}: not within ${WAIT_MS} ms`);
}

async function refused(promise, error, statusCode) {
  await assert.rejects(promise, (refusal) => refusal instanceof error && refusal.statusCode === statusCode);
}

async function user(type) {
  const externalUserId = randomUUID();
  const created = await sdk.users.create({ externalUserId, email: "someone@example.com", type });
  holds(created, { externalUserId, email: "someone@example.com", type });
  has(created, "id", "createdAt", "updatedAt", "wallet");
  return created;
}

async function available(userId, amount) {
  return until(async () => (await sdk.balance.get(userId)).available === amount, `${userId} has ${amount}`);
}

async function paidIn(userId, amount) {
  const { address } = await sdk.wallet.getDepositAddress(userId);
  const body = JSON.stringify({ address, amount });
  const paid = await fetch(`${sandboxUrl}/control/faucet`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  assert.ok(paid.ok, await paid.text());
}

async function funded(buyer, seller, more = {}) {
  const order = await sdk.orders.create({ buyer_id: buyer.id, seller_id: seller.id, amount: "80.00", title: "A logo", ...more });
  holds(await sdk.orders.reserve(order.id), { id: order.id, status: "FUNDS_RESERVED" });
  const escrowed = await sdk.orders.createEscrow(order.id);
  has(escrowed.escrow, "id", "contractId", "amount", "status", "createdAt", "updatedAt");
  const inProgress = await sdk.orders.fundEscrow(order.id);
  holds(inProgress, { status: "IN_PROGRESS" });
  holds(inProgress.escrow, { status: "FUNDED", amount: "80.00" });
  return inProgress;
}

async function walletsAndBalances(buyer) {
  const wallet = await sdk.wallet.getInfo(buyer.id);
  holds(wallet, { type: "INVISIBLE", provider: "STELLAR", isActive: true, isPrimary: true, balance: { usdc: "0.00", xlm: "0.00" } });
  has(wallet, "publicKey", "createdAt");
  done("wallet.getInfo");
  const deposit = await sdk.wallet.getDepositAddress(buyer.id);
  holds(deposit, { provider: "STELLAR", method: "stellar_address", address: wallet.publicKey });
  has(deposit, "network", "instructions");
  has(deposit.asset, "code", "issuer");
  done("wallet.getDepositAddress");
  await paidIn(buyer.id, "500.00");
  await available(buyer.id, "500.00");
  const balance = await sdk.balance.get(buyer.id);
  holds(balance, { userId: buyer.id, available: "500.00", reserved: "0.00", currency: "USDC" });
  has(balance, "updatedAt");
  done("balance.get");
  holds(await sdk.balance.sync(buyer.id), { userId: buyer.id, available: "500.00", reserved: "0.00", currency: "USDC" });
  done("balance.sync");
  const [transaction] = await sdk.wallet.getTransactions(buyer.id, 10);
  holds(transaction, { amount: "500.00" });
  has(transaction, "id", "createdAt");
  done("wallet.getTransactions");
}

async function release(buyer, seller) {
  const milestones = [
    { ref: "design", description: "Mock-ups", amount: "30.00" },
    { ref: "build", description: "The page", amount: "50.00" },
  ];
  const reference = randomUUID();
  const more = { client_order_ref: reference, description: "Two parts", milestones, metadata: { cart: "7" } };
  const order = await funded(buyer, seller, more);
  holds(order, { clientOrderRef: reference, buyerId: buyer.id, sellerId: seller.id, amount: "80.00", currency: "USDC", title: "A logo" });
  holds(order, { description: "Two parts", metadata: { cart: "7" }, dispute: null });
  has(order, "id", "createdAt", "updatedAt");
  done("orders.create, reserve, createEscrow, fundEscrow");
  const shown = await sdk.orders.getMilestones(order.id);
  assert.deepEqual(shown.map(({ ref, description, amount }) => ({ ref, description, amount })), milestones);
  done("orders.getMilestones");
  const completed = await sdk.orders.completeMilestone(order.id, "design");
  holds(completed, { ref: "design", description: "Mock-ups" });
  has(completed, "id", "status", "completedAt");
  done("orders.completeMilestone");
  const before = await sdk.balance.get(seller.id);
  const closed = await sdk.orders.release(order.id, "Delivered");
  holds(closed, { id: order.id, status: "CLOSED", finalStatus: "RELEASED" });
  holds(closed.escrow, { status: "RELEASED" });
  const after = await sdk.balance.get(seller.id);
  assert.equal((Number(after.available) - Number(before.available)).toFixed(2), Number(closed.quote.sellerReceives).toFixed(2));
  done("orders.release");
  holds(await sdk.orders.get(order.id), { id: order.id, status: "CLOSED" });
  done("orders.get");
}

async function refund(buyer, seller) {
  const order = await funded(buyer, seller);
  holds(await sdk.orders.refund(order.id, "Not delivered"), { id: order.id, status: "CLOSED", finalStatus: "REFUNDED" });
  done("orders.refund");
}

async function canceledAndListed(buyer, seller) {
  const wish = { buyer_id: buyer.id, seller_id: seller.id, amount: "1.00", title: "Changed their mind" };
  const [first, second] = [await sdk.orders.create(wish), await sdk.orders.create(wish)];
  await sdk.orders.reserve(first.id);
  holds(await sdk.orders.cancel(first.id), { id: first.id, status: "CLOSED", finalStatus: "CANCELED" });
  holds(await sdk.orders.cancel(second.id, { reason: "Twice" }), { id: second.id, status: "CLOSED" });
  done("orders.cancel");
  const page = await sdk.orders.list({ buyer_id: buyer.id, seller_id: seller.id, status: "CLOSED", limit: 1 });
  assert.deepEqual([page.data.map(({ id }) => id), page.hasMore], [[second.id], true]);
  const next = await sdk.orders.list({ buyer_id: buyer.id, limit: 1, cursor: page.nextCursor });
  assert.deepEqual(next.data.map(({ id }) => id), [first.id]);
  done("orders.list");
  const once = sdk.withIdempotencyKey(randomUUID());
  const [made, again] = [await once.orders.create(wish), await once.orders.create(wish)];
  assert.equal(made.id, again.id);
  done("withIdempotencyKey");
}

async function disputes(buyer, seller) {
  for (const [decision, amounts, finalStatus] of [
    [ResolutionDecision.SPLIT, { releaseAmount: "60.00", refundAmount: "20.00" }, "SPLIT"],
    [ResolutionDecision.FULL_REFUND, {}, "REFUNDED"],
  ]) {
    const order = await funded(buyer, seller);
    const wish = { openedBy: DisputeOpenedBy.BUYER, reason: DisputeReason.NOT_DELIVERED, evidence: ["a letter"] };
    const dispute = await sdk.disputes.open(order.id, wish);
    holds(dispute, { orderId: order.id, openedBy: "BUYER", reason: "NOT_DELIVERED", status: "OPEN" });
    has(dispute, "id", "createdAt", "updatedAt");
    const listed = await sdk.disputes.list({ orderId: order.id, status: "OPEN", openedBy: "BUYER" });
    assert.deepEqual(listed.map(({ id }) => id), [dispute.id]);
    holds(await sdk.disputes.assign(dispute.id, { assignedTo: "ana" }), { id: dispute.id, status: "UNDER_REVIEW" });
    const resolved = await sdk.disputes.resolve(dispute.id, { decision, ...amounts, note: "Half was done" });
    holds(resolved, { id: dispute.id, status: "RESOLVED" });
    holds(await sdk.disputes.get(dispute.id), { id: dispute.id, status: "RESOLVED", orderId: order.id });
    holds(await sdk.orders.get(order.id), { status: "CLOSED", finalStatus });
  }
  done("disputes.open, list, assign, resolve, get");
}

async function withdrawals(seller) {
  const wish = { userId: seller.id, amount: "30.00", currency: "USDC", description: "Earnings", commit: true };
  const paid = await sdk.withdrawals.create({ ...wish, destinationType: "crypto", destinationRef: payee });
  holds(paid, { userId: seller.id, amount: "30.00", currency: "USDC", description: "Earnings" });
  has(paid, "id", "status", "createdAt", "updatedAt");
  done("withdrawals.create");
  const final = await until(async () => {
    const now = await sdk.withdrawals.get(paid.id);
    return now.transactionHash ? now : undefined;
  }, "the withdrawal is paid");
  holds(final, { id: paid.id, userId: seller.id, amount: "30.00" });
  done("withdrawals.get");
  const page = await sdk.withdrawals.list({ limit: 1 });
  assert.deepEqual([page.data.map(({ id }) => id), typeof page.hasMore], [[paid.id], "boolean"]);
  done("withdrawals.list");
}

async function refusals(buyer, seller) {
  const { AuthenticationError, AuthorizationError, NotFoundError, OfferHubError, ValidationError } = client;
  const change = { amount: "1.00", description: "A gift", reference: "r", recipientId: seller.id };
  for (const call of ["credit", "debit", "reserve", "release", "cancelReservation", "deductReserved"]) {
    const { description, reference, recipientId, amount } = change;
    const body = { credit: { amount, description, reference }, debit: { amount, description, reference }, release: { amount, reference, recipientId } };
    await refused(sdk.balance[call](buyer.id, body[call] ?? { amount, reference }), AuthorizationError, 403);
  }
  done("balance.credit, debit, reserve, release, cancelReservation, deductReserved: refused");
  await refused(sdk.orders.get("ord_unknown"), NotFoundError, 404);
  await refused(new OfferHubSDK({ apiUrl, apiKey: "ohk_test_wrong" }).orders.list(), AuthenticationError, 401);
  await refused(new OfferHubSDK({ apiUrl, apiKey: readOnlyKey }).users.create({ externalUserId: randomUUID() }), AuthorizationError, 403);
  const wish = { buyer_id: buyer.id, seller_id: seller.id, amount: "100000.00", title: "Too much" };
  await refused(sdk.orders.create({ ...wish, amount: "1" }), ValidationError, 400);
  const order = await sdk.orders.create(wish);
  await refused(sdk.orders.reserve(order.id), OfferHubError, 422);
  await refused(sdk.orders.release(order.id), OfferHubError, 409);
  done("refusals: 400, 401, 403, 404, 409, 422");
}

const [buyer, seller] = [await user(UserType.BUYER), await user(UserType.SELLER)];
done("users.create");
await walletsAndBalances(buyer);
await canceledAndListed(buyer, seller);
await release(buyer, seller);
await refund(buyer, seller);
await disputes(buyer, seller);
await withdrawals(seller);
await refusals(buyer, seller);
done("everything");
