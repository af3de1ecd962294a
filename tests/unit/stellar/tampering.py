"""Every way we know to bend an envelope: the field that must be named in the refusal, the intent, the change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import Address, Keypair, MuxedAccount, scval, xdr

from offerhub.domain.intents import EscrowIntent
from offerhub.stellar.ledger_keys import trustline_key
from tests.unit.stellar.offered import (
    APPROVE,
    DEPLOY,
    ESCROW,
    FUND,
    NETWORK,
    NOW,
    PLATFORM,
    RELEASE,
    SELLER,
    STATUS,
    STRANGER,
    contract,
)

Envelope = xdr.TransactionEnvelope


@dataclass(frozen=True)
class Attack:
    name: str
    field: str
    intent: EscrowIntent
    change: Callable[[Envelope], object]


def tx(envelope: Envelope) -> xdr.Transaction:
    assert envelope.v1 is not None
    return envelope.v1.tx


def operation(envelope: Envelope) -> xdr.Operation:
    return tx(envelope).operations[0]


def invoke(envelope: Envelope) -> xdr.InvokeHostFunctionOp:
    found = operation(envelope).body.invoke_host_function_op
    assert found is not None
    return found


def call(envelope: Envelope) -> xdr.InvokeContractArgs:
    found = invoke(envelope).host_function.invoke_contract
    assert found is not None
    return found


def root(envelope: Envelope) -> xdr.SorobanAuthorizedInvocation:
    return invoke(envelope).auth[0].root_invocation


def authorized(envelope: Envelope) -> xdr.InvokeContractArgs:
    found = root(envelope).function.contract_fn
    assert found is not None
    return found


def soroban(envelope: Envelope) -> xdr.SorobanTransactionData:
    found = tx(envelope).ext.soroban_data
    assert found is not None
    return found


def struct(value: xdr.SCVal, name: str) -> xdr.SCMapEntry:
    assert value.map is not None
    return next(entry for entry in value.map.sc_map if entry.key.sym is not None and entry.key.sym.sc_symbol == name.encode())


def muxed(address: str) -> xdr.MuxedAccount:
    return MuxedAccount(address, 7).to_xdr_object()


def plain(address: str) -> xdr.MuxedAccount:
    return MuxedAccount(address).to_xdr_object()


def argument(index: int, value: xdr.SCVal) -> Callable[[Envelope], None]:
    """Bend the call and its auth tree alike, so that only the comparison with the intent can notice."""

    def change(envelope: Envelope) -> None:
        call(envelope).args[index] = value
        authorized(envelope).args[index] = value

    return change


def in_escrow(index: int, path: str, value: xdr.SCVal) -> Callable[[Envelope], None]:
    def change(envelope: Envelope) -> None:
        for args in (call(envelope).args, authorized(envelope).args):
            found = args[index]
            if found.vec is not None:
                found = found.vec.sc_vec[0]
            *steps, last = path.split(".")
            for step in steps:
                found = struct(found, step).val
            struct(found, last).val = value

    return change


def preconditions(**other: object) -> Callable[[Envelope], None]:
    def change(envelope: Envelope) -> None:
        fields: dict[str, object] = {
            "time_bounds": tx(envelope).cond.time_bounds,
            "ledger_bounds": None,
            "min_seq_num": None,
            "min_seq_age": xdr.Duration(xdr.Uint64(0)),
            "min_seq_ledger_gap": xdr.Uint32(0),
            "extra_signers": [],
        }
        v2 = xdr.PreconditionsV2(**(fields | other))  # type: ignore[arg-type]
        tx(envelope).cond = xdr.Preconditions(xdr.PreconditionType.PRECOND_V2, v2=v2)

    return change


def time_bounds(least: int, most: int) -> Callable[[Envelope], None]:
    def change(envelope: Envelope) -> None:
        bounds = xdr.TimeBounds(xdr.TimePoint(xdr.Uint64(least)), xdr.TimePoint(xdr.Uint64(most)))
        tx(envelope).cond = xdr.Preconditions(xdr.PreconditionType.PRECOND_TIME, time_bounds=bounds)

    return change


def transfer_below(sender: str, recipient: str, amount_stroops: int, token: str = NETWORK.usdc_contract) -> xdr.SorobanAuthorizedInvocation:
    function = xdr.InvokeContractArgs(
        Address(token).to_xdr_sc_address(),
        xdr.SCSymbol(b"transfer"),
        [scval.to_address(sender), scval.to_address(recipient), scval.to_int128(amount_stroops)],
    )
    kind = xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN
    return xdr.SorobanAuthorizedInvocation(xdr.SorobanAuthorizedFunction(kind, contract_fn=function), [])


def set_transfer(*arguments: object) -> Callable[[Envelope], None]:
    def change(envelope: Envelope) -> None:
        root(envelope).sub_invocations[0] = transfer_below(*arguments)  # type: ignore[arg-type]

    return change


def nested_below_transfer(envelope: Envelope) -> None:
    root(envelope).sub_invocations[0].sub_invocations.append(transfer_below(FUND.source, STRANGER, 1))


def address_credentials(envelope: Envelope) -> None:
    of_address = xdr.SorobanAddressCredentials(Address(APPROVE.source).to_xdr_sc_address(), xdr.Int64(1), xdr.Uint32(99), scval.to_void())
    kind = xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS
    invoke(envelope).auth[0].credentials = xdr.SorobanCredentials(kind, address=of_address)


def second_operation(envelope: Envelope) -> None:
    tx(envelope).operations.append(operation(envelope))


def payment(envelope: Envelope) -> None:
    body = xdr.PaymentOp(plain(STRANGER), xdr.Asset(xdr.AssetType.ASSET_TYPE_NATIVE), xdr.Int64(1))
    operation(envelope).body = xdr.OperationBody(xdr.OperationType.PAYMENT, payment_op=body)


def upload(envelope: Envelope) -> None:
    kind = xdr.HostFunctionType.HOST_FUNCTION_TYPE_UPLOAD_CONTRACT_WASM
    invoke(envelope).host_function = xdr.HostFunction(kind, wasm=b"code")


def sign(envelope: Envelope) -> None:
    assert envelope.v1 is not None
    envelope.v1.signatures.append(Keypair.random().sign_decorated(bytes(32)).to_xdr_object())


def writes(key: bytes) -> Callable[[Envelope], None]:
    return lambda envelope: soroban(envelope).resources.footprint.read_write.append(xdr.LedgerKey.from_xdr_bytes(key))


def reads(*keys: bytes) -> Callable[[Envelope], None]:
    return lambda envelope: soroban(envelope).resources.footprint.read_only.extend(xdr.LedgerKey.from_xdr_bytes(key) for key in keys)


def restores(*places: int) -> Callable[[Envelope], None]:
    entries = xdr.SorobanResourcesExtV0([xdr.Uint32(place) for place in places])
    return lambda envelope: setattr(soroban(envelope), "ext", xdr.SorobanTransactionDataExt(1, resource_ext=entries))


def resource(name: str, value: int) -> Callable[[Envelope], None]:
    return lambda envelope: setattr(soroban(envelope).resources, name, xdr.Uint32(value))


def code(name: str) -> bytes:
    key = xdr.LedgerKeyContractCode(xdr.Hash(sha256(name.encode()).digest()))
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=key).to_xdr_bytes()


def first_written_twice(envelope: Envelope) -> None:
    written = soroban(envelope).resources.footprint.read_write
    written.append(written[0])


def instance(contract_id: str) -> bytes:
    data = xdr.LedgerKeyContractData(
        Address(contract_id).to_xdr_sc_address(),
        xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
        xdr.ContractDataDurability.PERSISTENT,
    )
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr_bytes()


def native_trustlines(envelope: Envelope) -> None:
    for key in soroban(envelope).resources.footprint.read_write:
        if key.trust_line is not None:
            key.trust_line.asset = xdr.TrustLineAsset(xdr.AssetType.ASSET_TYPE_NATIVE)


def set_on(of: Callable[[Envelope], object], name: str, value: object) -> Callable[[Envelope], None]:
    return lambda envelope: setattr(of(envelope), name, value)


def no_resources(envelope: Envelope) -> None:
    tx(envelope).ext = xdr.TransactionExt(0)


ENVELOPE_ATTACKS = (
    Attack("pre-signed", "signatures", APPROVE, sign),
    Attack("other source", "source", APPROVE, set_on(tx, "source_account", plain(STRANGER))),
    Attack("muxed source", "source", APPROVE, set_on(tx, "source_account", muxed(APPROVE.source))),
    Attack("other operation source", "operation.source", APPROVE, set_on(operation, "source_account", plain(STRANGER))),
    Attack("muxed operation source", "operation.source", APPROVE, set_on(operation, "source_account", muxed(APPROVE.source))),
    Attack("no sequence", "sequence", APPROVE, set_on(tx, "seq_num", xdr.SequenceNumber(xdr.Int64(0)))),
    Attack("memo", "memo", APPROVE, set_on(tx, "memo", xdr.Memo(xdr.MemoType.MEMO_TEXT, text=b"x"))),
    Attack("no time bounds", "preconditions", APPROVE, set_on(tx, "cond", xdr.Preconditions(xdr.PreconditionType.PRECOND_NONE))),
    Attack("no end", "max_time", APPROVE, time_bounds(0, 0)),
    Attack("far end", "max_time", APPROVE, time_bounds(0, NOW + 301)),
    Attack("about to expire", "max_time", APPROVE, time_bounds(0, NOW + 19)),
    Attack("valid later only", "min_time", APPROVE, time_bounds(NOW + 1, NOW + 100)),
    Attack("ledger bounds", "preconditions", APPROVE, preconditions(ledger_bounds=xdr.LedgerBounds(xdr.Uint32(1), xdr.Uint32(0)))),
    Attack("minimum sequence", "preconditions", APPROVE, preconditions(min_seq_num=xdr.SequenceNumber(xdr.Int64(1)))),
    Attack(
        "extra signer",
        "preconditions",
        APPROVE,
        preconditions(extra_signers=[xdr.SignerKey(xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519, ed25519=xdr.Uint256(bytes(32)))]),
    ),
    Attack("second operation", "operations", APPROVE, second_operation),
    Attack("no operation", "operations", APPROVE, lambda envelope: tx(envelope).operations.clear()),
    Attack("payment instead", "operation.type", APPROVE, payment),
    Attack("upload instead", "host_function.type", APPROVE, upload),
    Attack("fee", "fee", APPROVE, set_on(tx, "fee", xdr.Uint32(20_000_001))),
    Attack("resource fee above the fee", "resource_fee", APPROVE, set_on(soroban, "resource_fee", xdr.Int64(600_000))),
    Attack("negative resource fee", "resource_fee", APPROVE, set_on(soroban, "resource_fee", xdr.Int64(-1))),
    Attack("no resources", "soroban_data", APPROVE, no_resources),
    Attack("writes another contract", "footprint.read_write", APPROVE, writes(instance(contract("other")))),
    Attack("writes the token contract", "footprint.read_write", FUND, writes(instance(NETWORK.usdc_contract))),
    Attack("writes a stranger's trustline", "footprint.read_write", FUND, writes(trustline_key(NETWORK, STRANGER))),
    Attack("one trustline too many", "footprint.trustlines", RELEASE, writes(trustline_key(NETWORK, STRANGER))),
    Attack("other trustlines", "footprint.read_write", RELEASE, native_trustlines),
    Attack("writes an entry twice", "footprint.read_write", APPROVE, first_written_twice),
    Attack("reads another contract", "footprint.read_only", APPROVE, reads(instance(contract("other")))),
    Attack("reads very much", "footprint.read_only", APPROVE, reads(*(code(f"code {number}") for number in range(16)))),
    Attack("instructions", "instructions", APPROVE, resource("instructions", 400_000_001)),
    Attack("bytes read", "disk_read_bytes", APPROVE, resource("disk_read_bytes", 200_001)),
    Attack("bytes written", "write_bytes", APPROVE, resource("write_bytes", 132_097)),
    Attack("restores what is not written", "archived_entries", APPROVE, restores(1)),
    Attack("restores an entry twice", "archived_entries", APPROVE, restores(0, 0)),
    Attack("restores nothing", "archived_entries", APPROVE, restores()),
    Attack("restores a trustline", "archived_entries", FUND, restores(0)),
)
AUTHORIZATION_ATTACKS = (
    Attack("no auth", "auth", APPROVE, lambda envelope: invoke(envelope).auth.clear()),
    Attack("second entry", "auth", APPROVE, lambda envelope: invoke(envelope).auth.append(invoke(envelope).auth[0])),
    Attack("address credentials", "auth.credentials", APPROVE, address_credentials),
    Attack(
        "hidden transfer",
        "auth.sub_invocations",
        APPROVE,
        lambda envelope: root(envelope).sub_invocations.append(transfer_below(APPROVE.source, STRANGER, 1)),
    ),
    Attack("no transfer on fund", "auth.sub_invocations", FUND, lambda envelope: root(envelope).sub_invocations.clear()),
    Attack(
        "second transfer on fund",
        "auth.sub_invocations",
        FUND,
        lambda envelope: root(envelope).sub_invocations.append(transfer_below(FUND.source, STRANGER, 1)),
    ),
    Attack("larger transfer", "auth.tree", FUND, set_transfer(FUND.source, ESCROW, FUND.amount_stroops + 1)),
    Attack("transfer elsewhere", "auth.tree", FUND, set_transfer(FUND.source, STRANGER, FUND.amount_stroops)),
    Attack("transfer of another token", "auth.tree", FUND, set_transfer(FUND.source, ESCROW, FUND.amount_stroops, contract("token"))),
    Attack("call below the transfer", "auth.tree", FUND, nested_below_transfer),
    Attack("other function in the tree", "auth.tree", APPROVE, set_on(authorized, "function_name", xdr.SCSymbol(b"release_funds"))),
    Attack("other arguments in the tree", "auth.tree", APPROVE, set_on(authorized, "args", [])),
)
CALL_ATTACKS = (
    Attack("other contract", "contract", APPROVE, set_on(call, "contract_address", Address(contract("other")).to_xdr_sc_address())),
    Attack("account as contract", "contract", APPROVE, set_on(call, "contract_address", Address(STRANGER).to_xdr_sc_address())),
    Attack("other function", "function", APPROVE, set_on(call, "function_name", xdr.SCSymbol(b"release_funds"))),
    Attack("extra argument", "arguments", APPROVE, lambda envelope: call(envelope).args.append(scval.to_void())),
    Attack("missing argument", "arguments", APPROVE, lambda envelope: call(envelope).args.pop()),
    Attack("milestone to approve", "milestone_index", APPROVE, argument(0, scval.to_uint32(0))),
    Attack("type of the index", "milestone_index", APPROVE, argument(0, scval.to_int32(1))),
    Attack("approver", "approver", APPROVE, argument(1, scval.to_address(STRANGER))),
    Attack("milestone delivered", "milestone_index", STATUS, argument(0, scval.to_uint32(0))),
    Attack("status", "new_status", STATUS, argument(1, scval.to_string("rejected"))),
    Attack("status as a symbol", "new_status", STATUS, argument(1, scval.to_symbol("completed"))),
    Attack("evidence", "new_evidence", STATUS, argument(2, scval.to_string(b"\xff"))),
    Attack("provider", "service_provider", STATUS, argument(3, scval.to_address(STRANGER))),
    Attack("release signer", "release_signer", RELEASE, argument(0, scval.to_address(STRANGER))),
    Attack("fee receiver", "trustless_work_address", RELEASE, argument(1, scval.to_address(STRANGER))),
    Attack("funder", "signer", FUND, argument(0, scval.to_address(STRANGER))),
    Attack("amount funded", "amount", FUND, argument(2, scval.to_int128(FUND.amount_stroops * 10))),
    Attack("receiver when funding", "expected_escrow.roles.receiver", FUND, in_escrow(1, "roles.receiver", scval.to_address(STRANGER))),
    Attack("fee when funding", "expected_escrow.platform_fee", FUND, in_escrow(1, "platform_fee", scval.to_uint32(9_000))),
    Attack("flag when funding", "expected_escrow.flags.disputed", FUND, in_escrow(1, "flags.disputed", scval.to_bool(True))),
    Attack("deployer", "signer", DEPLOY, argument(0, scval.to_address(STRANGER))),
    Attack("code", "wasm_hash", DEPLOY, argument(1, scval.to_bytes(sha256(b"evil").digest()))),
    Attack("salt", "salt", DEPLOY, argument(2, scval.to_bytes(b"short"))),
    Attack("initialiser", "init_fn", DEPLOY, argument(3, scval.to_symbol("update_escrow"))),
    Attack("two escrows", "init_args", DEPLOY, argument(4, scval.to_vec([]))),
    Attack("constructor", "constructor_args", DEPLOY, argument(5, scval.to_vec([scval.to_void()]))),
    Attack("deploy contract", "contract", DEPLOY, set_on(call, "contract_address", Address(contract("factory")).to_xdr_sc_address())),
    *(
        Attack(f"deployed {path}", f"init_args[0].{path}", DEPLOY, in_escrow(4, path, value))
        for path, value in (
            ("amount", scval.to_int128(1)),
            ("description", scval.to_string("other")),
            ("engagement_id", scval.to_string("other")),
            ("flags.released", scval.to_bool(True)),
            ("flags.resolved", scval.to_bool(True)),
            ("platform_fee", scval.to_uint32(501)),
            ("receiver_memo", scval.to_uint32(1)),
            ("roles.approver", scval.to_address(STRANGER)),
            ("roles.dispute_resolver", scval.to_address(SELLER)),
            ("roles.platform", scval.to_address(STRANGER)),
            ("roles.receiver", scval.to_address(STRANGER)),
            ("roles.release_signer", scval.to_address(PLATFORM)),
            ("roles.service_provider", scval.to_address(STRANGER)),
            ("title", scval.to_string("other")),
            ("trustline.address", scval.to_address(contract("token"))),
            ("milestones", scval.to_vec([])),
        )
    ),
)
ATTACKS = ENVELOPE_ATTACKS + AUTHORIZATION_ATTACKS + CALL_ATTACKS
