// Drives a build of the existing TypeScript client against a running stack, as a marketplace's backend would.
//
//   node drive.mjs <build>    the folder of a built @offerhub/sdk; where to go and with what is in the environment:
//   API_URL, API_KEY, API_KEY_WITHOUT_RIGHTS, SANDBOX_URL, PAYEE (a Stellar account outside that trusts the sandbox's USDC)
//
// Every answer is held against the type that the build's own declarations give its call. Prints one line per call that did what it should
// and ends with 0, or says what was wrong and ends with 1.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Witness, declarations } from "./declared.mjs";

const { API_URL: apiUrl, API_KEY: apiKey, API_KEY_WITHOUT_RIGHTS: readOnlyKey, SANDBOX_URL: sandboxUrl, PAYEE: payee } = process.env;
const build = createRequire(import.meta.url).resolve(process.argv[2]);
const client = await import(pathToFileURL(build).href);
const { OfferHubSDK, UserType, DisputeReason, DisputeOpenedBy, ResolutionDecision } = client;
const witness = new Witness(declarations(build));
const sdk = witness.watch(new OfferHubSDK({ apiUrl, apiKey }));
const WAIT_MS = 60_000;
const PROTOCOL_FEE_BPS = 30n;
// AirTM's, for which there is no provider here.
const OUT_OF_SCOPE = ["topups.", "users.linkAirtm", "withdrawals.commit", "withdrawals.refresh"];

function done(call) {
  console.log(call);
}

function has(resource, ...fields) {
  for (const field of fields) assert.ok(resource[field] !== undefined && resource[field] !== null, `${field} in ${JSON.stringify(resource)}`);
}

function holds(resource, expected) {
  for (const [field, value] of Object.entries(expected)) assert.deepEqual(resource[field], value, `${field} in ${JSON.stringify(resource)}`);
}

function stroops(amount) {
  const [whole, fraction = ""] = amount.split(".");
  return BigInt(whole + fraction.padEnd(7, "0"));
}

/** What the contract pays of a share: both fees are floored. */
function net(amount, order) {
  const share = stroops(amount);
  return share - (share * PROTOCOL_FEE_BPS) / 10_000n - (share * BigInt(order.platformFeeBps)) / 10_000n;
}

async function gains(user, expected, action) {
  const before = stroops((await sdk.balance.get(user.id)).available);
  const answer = await action();
  assert.equal(stroops((await sdk.balance.get(user.id)).available) - before, expected);
  return answer;
}

async function until(look, what) {
  for (const limit = Date.now() + WAIT_MS; Date.now() < limit; await pause(100)) {
    const found = await look();
    if (found) return found;
  }
  assert.fail(`${what}: not within ${WAIT_MS} ms`);
}

/** The order once nothing is under way any more: on a slow machine a command is answered with 202 before it is done. */
async function settled(orderId) {
  return until(async () => {
    const order = await sdk.orders.get(orderId);
    return order.operation ? undefined : order;
  }, `${orderId} has nothing under way`);
}

async function refused(promise, error, statusCode) {
  await assert.rejects(promise, (refusal) => refusal instanceof error && refusal.statusCode === statusCode);
}

async function user(type) {
  const externalUserId = randomUUID();
  const created = await sdk.users.create({ externalUserId, email: "someone@example.com", type });
  holds(created, { externalUserId, email: "someone@example.com", type });
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
  const wish = { buyer_id: buyer.id, seller_id: seller.id, amount: "80.0000033", title: "A logo", ...more };
  const order = await sdk.orders.create(wish);
  const parties = { id: order.id, buyerId: buyer.id, sellerId: seller.id, amount: "80.0000033", currency: "USDC", title: "A logo" };
  holds(order, { ...parties, status: "ORDER_CREATED", escrow: null, dispute: null });
  const before = await sdk.balance.get(buyer.id);
  holds(await sdk.orders.reserve(order.id), { ...parties, status: "FUNDS_RESERVED" });
  const reserved = await sdk.balance.get(buyer.id);
  assert.equal(stroops(before.available) - stroops(reserved.available), stroops("80.0000033"));
  assert.equal(stroops(reserved.reserved) - stroops(before.reserved), stroops("80.0000033"));
  holds(await sdk.orders.createEscrow(order.id), parties);
  const { escrow } = await settled(order.id);
  holds(escrow, { orderId: order.id, amount: "80.0000033", currency: "USDC", status: "CREATED" });
  has(escrow, "contractId", "txHash");
  holds(await sdk.orders.fundEscrow(order.id), parties);
  const inProgress = await settled(order.id);
  holds(inProgress, { ...parties, status: "IN_PROGRESS" });
  holds(inProgress.escrow, { id: escrow.id, contractId: escrow.contractId, amount: "80.0000033", status: "FUNDED" });
  assert.notEqual(inProgress.escrow.txHash, escrow.txHash);
  holds(await sdk.balance.get(buyer.id), { available: reserved.available, reserved: before.reserved });
  return inProgress;
}

async function walletsAndBalances(buyer) {
  const wallet = await sdk.wallet.getInfo(buyer.id);
  holds(wallet, { type: "INVISIBLE", provider: "STELLAR", isActive: true, isPrimary: true, balance: { usdc: "0.00", xlm: "0.00" } });
  holds(wallet, { publicKey: buyer.wallet.publicKey, createdAt: buyer.wallet.createdAt });
  done("wallet.getInfo");
  const deposit = await sdk.wallet.getDepositAddress(buyer.id);
  holds(deposit, { provider: "STELLAR", method: "stellar_address", address: wallet.publicKey });
  assert.equal(deposit.asset.code, "USDC");
  done("wallet.getDepositAddress");
  await paidIn(buyer.id, "500.00");
  await available(buyer.id, "500.00");
  const expected = { userId: buyer.id, available: "500.00", reserved: "0.00", currency: "USDC" };
  holds(await sdk.balance.get(buyer.id), expected);
  done("balance.get");
  holds(await sdk.balance.sync(buyer.id), expected);
  done("balance.sync");
  holds(await sdk.balance.verify(buyer.id), { ...expected, status: "AGREES", onChain: "500.00" });
  done("balance.verify");
  const [transaction] = await sdk.wallet.getTransactions(buyer.id, 10);
  holds(transaction, { type: "deposit", to: wallet.publicKey, amount: "500.00", asset: "USDC", successful: true });
  done("wallet.getTransactions");
}

async function release(buyer, seller) {
  const milestones = [
    { ref: "design", description: "Mock-ups", amount: "30.00" },
    { ref: "build", description: "The page", amount: "50.0000033" },
  ];
  const reference = randomUUID();
  const facts = { description: "Two parts", metadata: { cart: "7" } };
  const order = await funded(buyer, seller, { ...facts, client_order_ref: reference, milestones });
  holds(order, { ...facts, clientOrderRef: reference });
  done("orders.create, reserve, createEscrow, fundEscrow");
  const shown = await sdk.orders.getMilestones(order.id);
  assert.deepEqual(shown.map(({ ref, description, amount }) => ({ ref, description, amount })), milestones);
  assert.deepEqual(shown, order.milestones);
  done("orders.getMilestones");
  const delivered = { id: shown[0].id, orderId: order.id, ref: "design", description: "Mock-ups" };
  holds(await sdk.orders.completeMilestone(order.id, "design"), delivered);
  const [completed] = (await settled(order.id)).milestones;
  holds(completed, { ...delivered, status: "COMPLETED" });
  has(completed, "completedAt");
  done("orders.completeMilestone");
  const closed = await gains(seller, net(order.amount, order), async () => {
    holds(await sdk.orders.release(order.id, "Delivered"), { id: order.id });
    return settled(order.id);
  });
  holds(closed, { id: order.id, status: "CLOSED", finalStatus: "RELEASED" });
  holds(closed.escrow, { status: "RELEASED" });
  const [paid] = await sdk.wallet.getTransactions(seller.id, 1);
  holds(paid, { from: order.escrow.contractId, to: seller.wallet.publicKey, hash: closed.escrow.txHash });
  assert.equal(stroops(paid.amount), net(order.amount, order));
  done("orders.release");
  holds(await sdk.orders.get(order.id), { id: order.id, status: "CLOSED", finalStatus: "RELEASED" });
  done("orders.get");
}

async function refund(buyer, seller) {
  const order = await funded(buyer, seller);
  const closed = await gains(buyer, net(order.amount, order), async () => {
    holds(await sdk.orders.refund(order.id, "Not delivered"), { id: order.id });
    return settled(order.id);
  });
  holds(closed, { id: order.id, status: "CLOSED", finalStatus: "REFUNDED" });
  holds(closed.escrow, { status: "REFUNDED" });
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
  const once = witness.watch(new OfferHubSDK({ apiUrl, apiKey }).withIdempotencyKey(randomUUID()));
  const [made, again] = [await once.orders.create(wish), await once.orders.create(wish)];
  assert.equal(made.id, again.id);
  done("withIdempotencyKey");
}

async function disputes(buyer, seller) {
  const split = { releaseAmount: "60.0000011", refundAmount: "20.0000022" };
  for (const [decision, amounts, finalStatus, shares] of [
    [ResolutionDecision.SPLIT, split, "SPLIT", ["60.0000011", "20.0000022"]],
    [ResolutionDecision.FULL_REFUND, {}, "REFUNDED", ["0.00", "80.0000033"]],
    [ResolutionDecision.FULL_RELEASE, {}, "RELEASED", ["80.0000033", "0.00"]],
  ]) {
    const order = await funded(buyer, seller);
    const wish = { openedBy: DisputeOpenedBy.BUYER, reason: DisputeReason.NOT_DELIVERED, evidence: ["a letter"] };
    const dispute = await sdk.disputes.open(order.id, wish);
    holds(dispute, { orderId: order.id, openedBy: "BUYER", reason: "NOT_DELIVERED", status: "OPEN" });
    await settled(order.id);
    const listed = await sdk.disputes.list({ orderId: order.id, status: "OPEN", openedBy: "BUYER" });
    assert.deepEqual(listed.map(({ id }) => id), [dispute.id]);
    holds(await sdk.disputes.assign(dispute.id, { assignedTo: "ana" }), { id: dispute.id, status: "UNDER_REVIEW" });
    const resolve = async () => {
      holds(await sdk.disputes.resolve(dispute.id, { decision, ...amounts, note: "Half was done" }), { id: dispute.id, orderId: order.id });
      return settled(order.id);
    };
    const [toSeller, toBuyer] = shares.map((share) => net(share, order));
    const closed = await gains(seller, toSeller, () => gains(buyer, toBuyer, resolve));
    holds(closed, { status: "CLOSED", finalStatus });
    const outcome = { id: dispute.id, orderId: order.id, status: "RESOLVED", resolutionDecision: decision, decisionNote: "Half was done" };
    holds(await sdk.disputes.get(dispute.id), outcome);
  }
  done("disputes.open, list, assign, resolve, get");
}

async function withdrawals(seller) {
  const wish = { userId: seller.id, amount: "30.00", currency: "USDC", description: "Earnings", commit: true };
  const paid = await sdk.withdrawals.create({ ...wish, destinationType: "crypto", destinationRef: payee });
  holds(paid, { userId: seller.id, amount: "30.00", currency: "USDC", description: "Earnings" });
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
assert.deepEqual(witness.missing(OUT_OF_SCOPE), []);
done("everything");
