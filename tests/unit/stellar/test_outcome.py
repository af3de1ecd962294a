"""The decision table of an attempt's fate: what is proof, and that no single hint is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stellar_sdk import scval, xdr

from offerhub.stellar.failure import ContractError, Trace, read_failure
from offerhub.stellar.horizon_records import AccountRecord, LedgerRecord, Lookup, Observation, TransactionRecord
from offerhub.stellar.outcome import Applied, Attempt, Dead, Pending, Refused, decide
from tests.unit.stellar.offered import BUYER, ESCROW, NETWORK, SEQUENCE

MAX_TIME = 1_800_000_100
ATTEMPT = Attempt("ab" * 32, BUYER, SEQUENCE, MAX_TIME)
IN_TIME = LedgerRecord(60, MAX_TIME)
AFTER = LedgerRecord(60, MAX_TIME + 1)
RECORD = TransactionRecord("cd" * 32, ATTEMPT.inner_hash, True, 59, MAX_TIME - 5, "AAAAAAAAAGQAAAAAAAAAAAAAAAA=", None, 120)


def account(sequence: int, ledger: int | None = 60) -> AccountRecord:
    return AccountRecord(BUYER, sequence, 0, 0, True, None, None, 1, 0, 3, ledger)


BEFORE_OURS, OURS, PAST_OURS = SEQUENCE - 1, SEQUENCE, SEQUENCE + 5


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(Observation(Lookup(None, 60)), id="a 404 alone"),
        pytest.param(Observation(Lookup(None, None)), id="a 404 of a Horizon that does not say where it looked"),
        pytest.param(Observation(Lookup(None, 60), account(BEFORE_OURS), IN_TIME), id="a ledger that closed at max_time"),
        pytest.param(Observation(Lookup(None, None), account(OURS), IN_TIME), id="the account has gone on"),
        pytest.param(Observation(Lookup(None, 59), account(PAST_OURS), IN_TIME), id="gone on, looked up behind it"),
        pytest.param(Observation(Lookup(None, None), account(PAST_OURS), AFTER), id="too late and gone on, but who knows where it looked"),
        pytest.param(Observation(Lookup(None, 59), account(PAST_OURS), AFTER), id="too late, looked up behind it"),
        pytest.param(Observation(Lookup(None, None), None, AFTER), id="too late, no account"),
        pytest.param(Observation(Lookup(None, 59), account(BEFORE_OURS, 59), AFTER), id="unused in an older ledger than the late one"),
        pytest.param(Observation(Lookup(None, None), account(BEFORE_OURS, None), AFTER), id="unused in an unknown ledger"),
        pytest.param(Observation(Lookup(None, 60), account(PAST_OURS, None), IN_TIME), id="gone on in an unknown ledger"),
        pytest.param(
            Observation(Lookup(None, None), account(OURS), IN_TIME, ATTEMPT.inner_hash), id="our own transaction took the sequence"
        ),
    ],
)
def test_no_hint_alone_is_proof_of_death(seen: Observation) -> None:
    outcome = decide(ATTEMPT, seen)
    assert isinstance(outcome, Pending)
    assert outcome.why


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        pytest.param(Observation(Lookup(None, None), account(BEFORE_OURS), AFTER), "unused", id="unused in a ledger after max_time"),
        pytest.param(Observation(Lookup(None, 60), None, AFTER), "Not in any ledger", id="looked up in the late ledger"),
        pytest.param(Observation(Lookup(None, 61), account(PAST_OURS), AFTER), "Not in any ledger", id="looked up after it"),
        pytest.param(Observation(Lookup(None, 60), account(OURS), IN_TIME), "sequence", id="gone on, looked up at the same ledger"),
        pytest.param(Observation(Lookup(None, None), account(OURS), IN_TIME, "ef" * 32), "was used by", id="another took the sequence"),
    ],
)
def test_proofs_of_death(seen: Observation, word: str) -> None:
    outcome = decide(ATTEMPT, seen)
    assert isinstance(outcome, Dead)
    assert word in outcome.proof


def test_an_attempt_without_an_end_is_not_accepted() -> None:
    """Every ledger closes after 0, so such an attempt would look dead while it may be applied at any time."""
    with pytest.raises(ValueError, match="max_time"):
        replace(ATTEMPT, max_time=0)


@pytest.mark.parametrize("hinted", [False, True])
def test_what_is_in_a_ledger_is_decided_by_its_record_alone(*, hinted: bool) -> None:
    failed = replace(RECORD, successful=False)
    hints = (account(PAST_OURS), AFTER, "ef" * 32) if hinted else (None, None, None)
    assert decide(ATTEMPT, Observation(Lookup(RECORD, 60), *hints)) == Applied(RECORD)
    assert isinstance(decide(ATTEMPT, Observation(Lookup(failed, 60), *hints)), Refused)


def trapped_result() -> str:
    code = xdr.InvokeHostFunctionResultCode.INVOKE_HOST_FUNCTION_TRAPPED
    tr = xdr.OperationResultTr(xdr.OperationType.INVOKE_HOST_FUNCTION, invoke_host_function_result=xdr.InvokeHostFunctionResult(code))
    operation = xdr.OperationResult(xdr.OperationResultCode.opINNER, tr=tr)
    inner = xdr.InnerTransactionResult(
        xdr.Int64(0),
        xdr.InnerTransactionResultResult(xdr.TransactionResultCode.txFAILED, results=[operation]),
        xdr.InnerTransactionResultExt(0),
    )
    pair = xdr.InnerTransactionResultPair(xdr.Hash(bytes(32)), inner)
    result = xdr.TransactionResultResult(xdr.TransactionResultCode.txFEE_BUMP_INNER_FAILED, inner_result_pair=pair)
    return xdr.TransactionResult(xdr.Int64(200), result, xdr.TransactionResultExt(0)).to_xdr()


def event(contract_id: str, number: int) -> xdr.DiagnosticEvent:
    from stellar_sdk import StrKey

    error = xdr.SCVal(xdr.SCValType.SCV_ERROR, error=xdr.SCError(xdr.SCErrorType.SCE_CONTRACT, contract_code=xdr.Uint32(number)))
    body = xdr.ContractEventBody(0, v0=xdr.ContractEventV0([xdr.SCVal(xdr.SCValType.SCV_VOID), error], xdr.SCVal(xdr.SCValType.SCV_VOID)))
    emitter = xdr.ContractID(xdr.Hash(StrKey.decode_contract(contract_id)))
    of_contract = xdr.ContractEvent(xdr.ExtensionPoint(0), emitter, xdr.ContractEventType.DIAGNOSTIC, body)
    return xdr.DiagnosticEvent(in_successful_contract_call=False, event=of_contract)


FAILED = replace(RECORD, successful=False, result_xdr=trapped_result())


def test_the_contract_s_error_is_named_from_the_diagnostic_events() -> None:
    trace = Trace((event(ESCROW, 33).to_xdr(),), NETWORK.usdc_contract)
    failure = read_failure(FAILED, trace)
    assert failure.codes == ("tx_fee_bump_inner_failed", "tx_failed", "trapped")
    assert failure.contract_error == ContractError(33, "EscrowPropertiesMismatch")
    assert "EscrowPropertiesMismatch (#33)" in failure.sentence


def test_an_error_of_the_token_is_not_taken_for_the_escrow_s() -> None:
    trace = Trace((event(NETWORK.usdc_contract, 10).to_xdr(), event(ESCROW, 10).to_xdr()), NETWORK.usdc_contract)
    assert read_failure(FAILED, trace).contract_error == ContractError(10, "BalanceError")


@pytest.mark.parametrize(
    ("number", "probably"), [(24, "MilestoneAlreadyInDispute"), (15, "EscrowPropertiesMismatch"), (51, None), (0, None)]
)
def test_a_number_of_the_multi_release_contract_is_only_a_hint(number: int, probably: str | None) -> None:
    """Its builds number their errors differently; 24 is EscrowAlreadyResolved in the single-release contract."""
    failure = read_failure(FAILED, Trace((event(ESCROW, number).to_xdr(),), NETWORK.usdc_contract, is_multi_release=True))
    assert failure.contract_error == ContractError(number, None, probably)
    assert ("newest build" in failure.sentence) is (probably is not None)
    assert "unknown error" in failure.sentence


def test_the_host_s_own_words_name_an_error_whatever_its_number() -> None:
    spelled_out = event(ESCROW, 3)
    spelled_out.event.body.v0.data = scval.to_string("MilestoneNotInDispute")  # type: ignore[union-attr]
    trace = Trace((spelled_out.to_xdr(),), NETWORK.usdc_contract, is_multi_release=True)
    assert read_failure(FAILED, trace).sentence == "The contract refused: MilestoneNotInDispute (#3)."
    spelled_out.event.body.v0.data = scval.to_string("escalating error to VM trap")  # type: ignore[union-attr]
    assert read_failure(FAILED, Trace((spelled_out.to_xdr(),))).contract_error == ContractError(3, "EscrowNotFound")


def test_an_error_of_the_token_keeps_its_name_in_a_multi_release_call() -> None:
    trace = Trace((event(NETWORK.usdc_contract, 13).to_xdr(),), NETWORK.usdc_contract, is_multi_release=True)
    assert read_failure(FAILED, trace).contract_error == ContractError(13, "TrustlineMissingError")


def test_the_meta_is_read_where_horizon_gives_it() -> None:
    no_changes = xdr.LedgerEntryChanges([])
    v4 = xdr.TransactionMetaV4(xdr.ExtensionPoint(0), no_changes, [], no_changes, None, [], [event(ESCROW, 6)])
    record = replace(FAILED, result_meta_xdr=xdr.TransactionMeta(4, v4=v4).to_xdr())
    failure = read_failure(record, Trace())
    assert failure.contract_error == ContractError(6, "EscrowBalanceNotEnoughToSendEarnings")


@pytest.mark.parametrize(("number", "name"), [(1, "AmountCannotBeZero"), (46, "MilestoneToUpdateDoesNotExist"), (47, None), (0, None)])
def test_numbers_outside_the_table_have_no_name(number: int, name: str | None) -> None:
    trace = Trace((event(ESCROW, number).to_xdr(),), NETWORK.usdc_contract)
    assert read_failure(FAILED, trace).contract_error == ContractError(number, name)


@pytest.mark.parametrize("garbage", ["", "AAAA", "no base64 at all", "AAAAAAAAAGT////6"])
def test_unreadable_xdr_never_hides_the_refusal(garbage: str) -> None:
    record = replace(FAILED, result_xdr=garbage, result_meta_xdr=garbage)
    outcome = decide(ATTEMPT, Observation(Lookup(record, 60)), Trace((garbage,)))
    assert isinstance(outcome, Refused)
    assert outcome.failure.contract_error is None
    assert outcome.failure.codes == ("unreadable",)
