"""The same for the calls that freeze, divide and empty an escrow, and for all calls of the multi-release contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from stellar_sdk import Address, scval, xdr

from offerhub.domain.intents import EscrowIntent, is_multi_release
from offerhub.stellar.ledger_keys import balance_key, code_key, trustline_key
from tests.unit.stellar.offered import (
    BUYER,
    FREEZE,
    MULTI,
    MULTI_APPROVE,
    MULTI_DEPLOY,
    MULTI_ESCROW,
    MULTI_FREEZE,
    MULTI_FUND,
    MULTI_RELEASE,
    MULTI_RESOLVE,
    MULTI_STATUS,
    NETWORK,
    NOW,
    PLATFORM,
    RESOLVE,
    SELLER,
    STRANGER,
    WITHDRAW,
    contract,
    named,
    offer,
)
from tests.unit.stellar.tampering import (
    Attack,
    Envelope,
    address_credentials,
    argument,
    authorized,
    call,
    code,
    first_written_twice,
    in_escrow,
    instance,
    invoke,
    muxed,
    no_resources,
    payment,
    plain,
    preconditions,
    reads,
    resource,
    restores,
    root,
    second_operation,
    set_on,
    set_transfer,
    sign,
    soroban,
    struct,
    time_bounds,
    transfer_below,
    tx,
    upload,
    writes,
)

Change = Callable[[Envelope], object]
Share = tuple[str, int]
PAYING = (RESOLVE, MULTI_RELEASE, MULTI_RESOLVE, WITHDRAW)
SHARED_OUT = ((RESOLVE, 2), (MULTI_RESOLVE, 3), (WITHDRAW, 2))
SINGLE_CODE, MULTI_CODE = (bytes.fromhex(text) for text in (NETWORK.escrow_wasm_hash, NETWORK.multi_release_wasm_hash))
ZERO = scval.to_uint32(0)


def around(intent: EscrowIntent) -> tuple[Attack, ...]:
    """What can be bent about any call, whatever it says."""
    trustline_field = "footprint.trustlines" if intent in PAYING else "footprint.read_write"
    changes: tuple[tuple[str, str, Change], ...] = (
        ("pre-signed", "signatures", sign),
        ("other source", "source", set_on(tx, "source_account", plain(STRANGER))),
        ("muxed source", "source", set_on(tx, "source_account", muxed(intent.source))),
        ("other operation source", "operation.source", set_on(operation_of, "source_account", plain(STRANGER))),
        ("no sequence", "sequence", set_on(tx, "seq_num", xdr.SequenceNumber(xdr.Int64(0)))),
        ("memo", "memo", set_on(tx, "memo", xdr.Memo(xdr.MemoType.MEMO_ID, id=xdr.Uint64(1)))),
        ("no time bounds", "preconditions", set_on(tx, "cond", xdr.Preconditions(xdr.PreconditionType.PRECOND_NONE))),
        ("far end", "max_time", time_bounds(0, NOW + 301)),
        ("minimum sequence", "preconditions", preconditions(min_seq_num=xdr.SequenceNumber(xdr.Int64(1)))),
        ("second operation", "operations", second_operation),
        ("payment instead", "operation.type", payment),
        ("upload instead", "host_function.type", upload),
        ("fee", "fee", set_on(tx, "fee", xdr.Uint32(20_000_001))),
        ("resource fee above the fee", "resource_fee", set_on(soroban, "resource_fee", xdr.Int64(10_000_000))),
        ("no resources", "soroban_data", no_resources),
        ("instructions", "instructions", resource("instructions", 400_000_001)),
        ("writes another contract", "footprint.read_write", writes(instance(contract("other")))),
        ("writes the token contract", "footprint.read_write", writes(instance(NETWORK.usdc_contract))),
        ("writes another contract's balance", "footprint.read_write", writes(balance_key(NETWORK, contract("other")))),
        ("writes other code", "footprint.read_write", writes(code("evil"))),
        (
            "writes the other escrow's code",
            "footprint.read_write",
            writes(code_key(SINGLE_CODE if is_multi_release(intent) else MULTI_CODE)),
        ),
        ("writes a stranger's trustline", trustline_field, writes(trustline_key(NETWORK, STRANGER))),
        ("writes an entry twice", "footprint.read_write", first_written_twice),
        ("reads another contract", "footprint.read_only", reads(instance(contract("other")))),
        ("restores what is not written", "archived_entries", restores(40)),
        ("no auth", "auth", lambda envelope: invoke(envelope).auth.clear()),
        ("second entry", "auth", lambda envelope: invoke(envelope).auth.append(invoke(envelope).auth[0])),
        ("address credentials", "auth.credentials", address_credentials),
        ("hidden transfer", "auth.sub_invocations", hidden_transfer(intent.source)),
        ("other function in the tree", "auth.tree", set_on(authorized, "function_name", xdr.SCSymbol(b"release_funds"))),
        ("other contract in the tree", "auth.tree", set_on(authorized, "contract_address", sc_address(contract("other")))),
        ("no arguments in the tree", "auth.tree", set_on(authorized, "args", [])),
        ("another argument in the tree", "auth.tree", lambda envelope: authorized(envelope).args.__setitem__(-1, scval.to_void())),
        ("other contract", "contract", set_on(call, "contract_address", sc_address(contract("other")))),
        ("account as contract", "contract", set_on(call, "contract_address", sc_address(STRANGER))),
        ("other function", "function", set_on(call, "function_name", xdr.SCSymbol(b"update_escrow"))),
        ("extra argument", "arguments", both(lambda args: args.append(scval.to_void()))),
    )
    return tuple(Attack(f"{named(intent)}: {name}", field, intent, change) for name, field, change in changes)


def operation_of(envelope: Envelope) -> xdr.Operation:
    return tx(envelope).operations[0]


def sc_address(address: str) -> xdr.SCAddress:
    return Address(address).to_xdr_sc_address()


def hidden_transfer(source: str) -> Change:
    return lambda envelope: root(envelope).sub_invocations.append(transfer_below(source, STRANGER, 1))


def both(change: Callable[[list[xdr.SCVal]], object]) -> Change:
    """In the call and in its auth tree alike."""

    def changed(envelope: Envelope) -> None:
        for args in (call(envelope).args, authorized(envelope).args):
            change(args)

    return changed


def raw_map(*entries: tuple[xdr.SCVal, xdr.SCVal]) -> xdr.SCVal:
    """In the order given, whatever the host thinks of it."""
    return xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap([xdr.SCMapEntry(key, value) for key, value in entries]))


def divided(*shares: Share) -> xdr.SCVal:
    return raw_map(*((scval.to_address(address), scval.to_int128(amount)) for address, amount in shares))


def honest_order(shares: Sequence[Share]) -> list[Share]:
    return sorted(shares, key=lambda share: scval.to_address(share[0]).to_xdr_bytes())


def on_shares(intent: EscrowIntent, position: int) -> tuple[Attack, ...]:
    honest = xdr.TransactionEnvelope.from_xdr(offer(intent).envelope_xdr)
    found = call(honest).args[position].map
    assert found is not None
    (first, least), (second, most) = [(scval.from_address(entry.key).address, scval.from_int128(entry.val)) for entry in found.sc_map]
    keys = [scval.to_address(first), scval.to_address(second)]
    stranger = honest_order([(first, least), (second, most), (STRANGER, 1)])
    values: tuple[tuple[str, str, xdr.SCVal], ...] = (
        ("one stroop more", f"distributions.{first}", divided((first, least + 1), (second, most))),
        ("one stroop less", f"distributions.{second}", divided((first, least), (second, most - 1))),
        ("one stroop from one to the other", f"distributions.{first}", divided((first, least + 1), (second, most - 1))),
        ("shares swapped", f"distributions.{first}", divided((first, most), (second, least))),
        ("nothing for one", f"distributions.{first}", divided((first, 0), (second, most))),
        ("a negative share", f"distributions.{first}", divided((first, -least), (second, most))),
        ("another recipient", "distributions", divided(*honest_order([(STRANGER, least), (second, most)]))),
        ("a contract as recipient", "distributions", divided((second, most), (contract("thief"), least))),
        ("a share too many", "distributions", divided(*stranger)),
        ("a share too few", "distributions", divided((first, least))),
        ("all to one", "distributions", divided((first, least + most))),
        ("no share", "distributions", divided()),
        ("not in order", "distributions", divided((second, most), (first, least))),
        ("a payee twice", "distributions", divided((first, least), (first, least), (second, most))),
        ("other integers", f"distributions.{first}", raw_map((keys[0], scval.to_uint64(1)), (keys[1], scval.to_int128(most)))),
        ("names for addresses", "distributions", raw_map((scval.to_string(first), scval.to_int128(least)))),
        ("a list of pairs", "distributions", scval.to_vec([scval.to_vec([keys[0], scval.to_int128(least)])])),
        ("no map at all", "distributions", scval.to_void()),
    )
    return tuple(Attack(f"{named(intent)}: {name}", field, intent, argument(position, value)) for name, field, value in values)


def on_argument(intent: EscrowIntent, position: int, field: str, *values: xdr.SCVal) -> tuple[Attack, ...]:
    return tuple(
        Attack(f"{named(intent)}: {field} {number}", field, intent, argument(position, value)) for number, value in enumerate(values)
    )


def addresses(*others: str) -> list[xdr.SCVal]:
    return [scval.to_address(address) for address in (STRANGER, *others)]


INDICES = (ZERO, scval.to_uint32(2), scval.to_int32(1), scval.to_int128(1), scval.to_void())
FEE_ADDRESSES = (*addresses(SELLER, contract("fees")), scval.to_void())
ARGUMENT_ATTACKS = (
    *on_argument(FREEZE, 0, "signer", *addresses(BUYER, PLATFORM)),
    *on_argument(MULTI_FREEZE, 0, "milestone_index", *INDICES),
    *on_argument(MULTI_FREEZE, 1, "signer", *addresses(BUYER, PLATFORM)),
    *on_argument(RESOLVE, 0, "dispute_resolver", *addresses(BUYER)),
    *on_argument(RESOLVE, 1, "trustless_work_address", *FEE_ADDRESSES),
    *on_argument(MULTI_RESOLVE, 0, "dispute_resolver", *addresses(BUYER)),
    *on_argument(MULTI_RESOLVE, 1, "milestone_index", *INDICES),
    *on_argument(MULTI_RESOLVE, 2, "trustless_work_address", *FEE_ADDRESSES),
    *on_argument(WITHDRAW, 0, "dispute_resolver", *addresses(BUYER)),
    *on_argument(WITHDRAW, 1, "trustless_work_address", *FEE_ADDRESSES),
    *on_argument(MULTI_RELEASE, 0, "release_signer", *addresses(SELLER)),
    *on_argument(MULTI_RELEASE, 1, "trustless_work_address", *FEE_ADDRESSES),
    *on_argument(MULTI_RELEASE, 2, "milestone_index", *INDICES),
    *on_argument(MULTI_STATUS, 0, "milestone_index", *INDICES),
    *on_argument(MULTI_STATUS, 1, "new_status", scval.to_string("rejected"), scval.to_symbol("completed")),
    *on_argument(MULTI_STATUS, 2, "new_evidence", scval.to_string(""), scval.to_void()),
    *on_argument(MULTI_STATUS, 3, "service_provider", *addresses(BUYER)),
    *on_argument(MULTI_APPROVE, 0, "milestone_index", *INDICES),
    *on_argument(MULTI_APPROVE, 1, "approver", *addresses(SELLER)),
    *on_argument(MULTI_FUND, 0, "signer", *addresses(SELLER)),
    *on_argument(MULTI_FUND, 2, "amount", *(scval.to_int128(MULTI_FUND.amount_stroops + more) for more in (1, -1)), scval.to_uint64(1)),
    *on_argument(MULTI_DEPLOY, 0, "signer", *addresses(PLATFORM)),
    *on_argument(MULTI_DEPLOY, 1, "wasm_hash", scval.to_bytes(sha256(b"evil").digest()), scval.to_bytes(SINGLE_CODE)),
    *on_argument(MULTI_DEPLOY, 2, "salt", scval.to_bytes(b"short"), scval.to_void()),
    *on_argument(MULTI_DEPLOY, 3, "init_fn", scval.to_symbol("update_escrow"), scval.to_string("initialize_escrow")),
    *on_argument(MULTI_DEPLOY, 4, "init_args", scval.to_vec([]), scval.to_void()),
    *on_argument(MULTI_DEPLOY, 5, "constructor_args", scval.to_vec([scval.to_void()])),
)


def milestones_of(args: list[xdr.SCVal], position: int) -> list[xdr.SCVal]:
    found = args[position]
    if found.vec is not None:
        found = found.vec.sc_vec[0]
    milestones = struct(found, "milestones").val.vec
    assert milestones is not None
    return milestones.sc_vec


def in_milestone(position: int, index: int, path: str, value: xdr.SCVal) -> Change:
    *steps, last = path.split(".")

    def change(args: list[xdr.SCVal]) -> None:
        found = milestones_of(args, position)[index]
        for step in steps:
            found = struct(found, step).val
        struct(found, last).val = value

    return both(change)


def added_field(position: int, path: str, name: str, value: xdr.SCVal) -> Change:
    """A field of the single-release escrow, where the multi-release one has none."""

    def change(args: list[xdr.SCVal]) -> None:
        found = args[position]
        if found.vec is not None:
            found = found.vec.sc_vec[0]
        if path:
            found = struct(found, path).val
        assert found.map is not None
        found.map.sc_map.append(xdr.SCMapEntry(scval.to_symbol(name), value))
        found.map.sc_map.sort(key=lambda entry: entry.key.to_xdr_bytes()[8:])

    return both(change)


YES = scval.to_bool(True)
ESCROW_FIELDS = (
    ("description", scval.to_string("other")),
    ("engagement_id", scval.to_string("other")),
    ("platform_fee", scval.to_uint32(501)),
    ("receiver_memo", scval.to_uint32(1)),
    ("roles.approver", scval.to_address(STRANGER)),
    ("roles.dispute_resolver", scval.to_address(SELLER)),
    ("roles.platform", scval.to_address(STRANGER)),
    ("roles.release_signer", scval.to_address(SELLER)),
    ("roles.service_provider", scval.to_address(STRANGER)),
    ("title", scval.to_string("other")),
    ("trustline.address", scval.to_address(contract("token"))),
    ("milestones", scval.to_vec([])),
)
MILESTONE_FIELDS = (
    (0, "amount", scval.to_int128(300_000_001)),
    (1, "amount", scval.to_int128(499_999_999)),
    (0, "amount", scval.to_uint64(300_000_000)),
    (0, "receiver", scval.to_address(STRANGER)),
    (1, "receiver", scval.to_address(BUYER)),
    (0, "description", scval.to_string("other")),
    (0, "evidence", scval.to_string("seen")),
    (1, "status", scval.to_string("completed")),
    (0, "flags.approved", YES),
    (0, "flags.disputed", YES),
    (1, "flags.released", YES),
    (1, "flags.resolved", YES),
)


def on_escrow(intent: EscrowIntent, position: int, where: str) -> tuple[Attack, ...]:
    """``where`` is how the refusal calls the struct at this position."""
    title = named(intent)
    fields = (Attack(f"{title}: {path}", f"{where}.{path}", intent, in_escrow(position, path, value)) for path, value in ESCROW_FIELDS)
    milestones = (
        Attack(
            f"{title}: milestone {index} {path}", f"{where}.milestones[{index}].{path}", intent, in_milestone(position, index, path, value)
        )
        for index, path, value in MILESTONE_FIELDS
    )
    shapes: tuple[tuple[str, str, Change], ...] = (
        ("milestones swapped", ".milestones[0].amount", both(lambda args: milestones_of(args, position).reverse())),
        ("a milestone more", ".milestones", both(lambda args: milestones_of(args, position).append(milestones_of(args, position)[0]))),
        ("a milestone less", ".milestones", both(lambda args: milestones_of(args, position).pop())),
        ("an amount for all", "", added_field(position, "", "amount", scval.to_int128(1))),
        ("flags for all", "", added_field(position, "", "flags", scval.to_void())),
        ("a receiver for all", ".roles", added_field(position, "roles", "receiver", scval.to_address(STRANGER))),
    )
    others = (Attack(f"{title}: {name}", f"{where}{path}", intent, change) for name, path, change in shapes)
    return (*fields, *milestones, *others)


def mainnet(fee_position: int, *changes: Change) -> Change:
    """The layout without the fee account, then bent; positions are those that are left."""

    def change(envelope: Envelope) -> None:
        both(lambda args: args.pop(fee_position))(envelope)
        for further in changes:
            further(envelope)

    return change


def thieves(shares: Sequence[Share]) -> xdr.SCVal:
    return divided(*honest_order([(STRANGER, shares[0][1]), *shares[1:]]))


MAINNET_ATTACKS = (
    Attack("mainnet: resolver", "dispute_resolver", RESOLVE, mainnet(1, argument(0, scval.to_address(SELLER)))),
    Attack("mainnet: shares", "distributions", RESOLVE, mainnet(1, argument(1, thieves(RESOLVE.shares)))),
    Attack("mainnet: milestone resolved", "milestone_index", MULTI_RESOLVE, mainnet(2, argument(1, ZERO))),
    Attack("mainnet: shares of a milestone", "distributions", MULTI_RESOLVE, mainnet(2, argument(2, thieves(MULTI_RESOLVE.shares)))),
    Attack("mainnet: shares of the remainder", "distributions", WITHDRAW, mainnet(1, argument(1, thieves(WITHDRAW.shares)))),
    Attack("mainnet: milestone released", "milestone_index", MULTI_RELEASE, mainnet(1, argument(1, ZERO))),
    Attack("mainnet: no milestone", "arguments", MULTI_RELEASE, mainnet(1, both(lambda args: args.pop()))),
    Attack("mainnet: two arguments missing", "arguments", MULTI_RESOLVE, mainnet(2, both(lambda args: args.pop()))),
)
FUNDED = MULTI_FUND.amount_stroops
LAYOUT_ATTACKS = (
    Attack("nobody freezes", "arguments", FREEZE, both(lambda args: args.pop())),
    Attack("no milestone to freeze", "arguments", MULTI_FREEZE, both(lambda args: args.pop(0))),
    Attack("no shares in a resolution", "distributions", RESOLVE, both(lambda args: args.pop())),
    Attack("no shares in a milestone's resolution", "distributions", MULTI_RESOLVE, both(lambda args: args.pop())),
    Attack("no shares in a withdrawal", "distributions", WITHDRAW, both(lambda args: args.pop())),
    Attack("no milestone to release", "milestone_index", MULTI_RELEASE, both(lambda args: args.pop())),
    Attack("fee account and milestone swapped", "trustless_work_address", MULTI_RELEASE, both(lambda args: args.insert(2, args.pop(1)))),
    Attack(
        "single-release's factory function",
        "function",
        MULTI_DEPLOY,
        set_on(call, "function_name", xdr.SCSymbol(b"tw_new_single_release_escrow")),
    ),
    Attack("another factory", "contract", MULTI_DEPLOY, set_on(call, "contract_address", sc_address(contract("factory")))),
    Attack("larger transfer to a multi-release escrow", "auth.tree", MULTI_FUND, set_transfer(BUYER, MULTI_ESCROW, FUNDED + 1)),
    Attack("transfer past a multi-release escrow", "auth.tree", MULTI_FUND, set_transfer(BUYER, STRANGER, FUNDED)),
    Attack(
        "no transfer to a multi-release escrow", "auth.sub_invocations", MULTI_FUND, lambda envelope: root(envelope).sub_invocations.clear()
    ),
)
SETTLEMENT_ATTACKS = (
    *(attack for intent in (FREEZE, RESOLVE, *MULTI) for attack in around(intent)),
    *ARGUMENT_ATTACKS,
    *(attack for intent, position in SHARED_OUT for attack in on_shares(intent, position)),
    *on_escrow(MULTI_DEPLOY, 4, "init_args[0]"),
    *on_escrow(MULTI_FUND, 1, "expected_escrow"),
    *LAYOUT_ATTACKS,
    *MAINNET_ATTACKS,
)
