"""Keep the platform's own accounts alive and a stock of ready wallets at hand, so that a new user has one at once."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from offerhub.domain.messages import PlannedStep, PlatformAccount
from workflows import calls
from workflows.chain_step import StepRefused, Walk

_ASK_AGAIN = timedelta(seconds=10)
_AFTER_REFUSAL = timedelta(seconds=30)


@workflow.defn(name="WalletStock")
class WalletStockWorkflow:
    """``wallet-stock``, one for the whole installation."""

    def __init__(self) -> None:
        self._walk = Walk()

    @workflow.run
    async def run(self) -> None:
        """First the platform's accounts, then wallets, batch after batch, whenever the stock runs low."""
        await calls.open_payments_cursor()
        await self._open_platform_accounts(await calls.make_platform_accounts())
        while True:
            try:
                await self._fill_stock()
                self._walk.note = "The stock is full; watching it."
                self._walk.show()
                await calls.watch_stock()
            except (ActivityError, ApplicationError) as error:
                # Nothing may end the keeping of the stock: it is shown, and tried again.
                self._walk.note = f"**Interrupted: {error.cause or error}** Trying again."
                self._walk.show()
                await workflow.sleep(_AFTER_REFUSAL, summary="the wallet stock is not being filled, trying again")
            _begin_again_if_long()

    async def _open_platform_accounts(self, accounts: list[PlatformAccount]) -> None:
        missing = [account for account in accounts if not account.ready]
        await self._fund(missing)
        for account in missing:
            if account.kind == "PLATFORM":
                trust = PlannedStep(f"platform/{account.public_key}/trust", "trust_asset", "the platform's USDC trustline", "horizon")
                await self._persist(trust)
            await calls.book_platform_account(account.public_key)

    async def _fund(self, accounts: list[PlatformAccount]) -> None:
        """Where the network has a friendbot it is asked; elsewhere this waits for the operator, naming the addresses."""
        while True:
            waiting = [account for account in accounts if not await calls.fund_account(account.public_key, account.kind)]
            if not waiting:
                return
            lines = [f"- {account.kind}: `{account.public_key}`" for account in waiting]
            workflow.set_current_details("\n".join(["**Send XLM to these accounts**; this goes on by itself when they exist.", "", *lines]))
            await workflow.sleep(_ASK_AGAIN, summary="platform accounts wait to be funded")
            _begin_again_if_long()
            accounts = waiting

    async def _fill_stock(self) -> None:
        await calls.make_wallets()
        batch = await calls.begin_activation()
        while batch.step is not None:
            await self._persist(batch.step)
            await calls.confirm_accounts(batch.public_keys, f"read back {len(batch.public_keys)} wallets")
            await calls.book_activation(batch.public_keys)
            self._walk = Walk()
            batch = await calls.begin_activation()

    async def _persist(self, step: PlannedStep) -> None:
        """Nothing works without these accounts, so a refusal is shown and tried again until the operator has removed its cause."""
        while True:
            try:
                await self._walk.carry_out(step)
            except StepRefused as refused:
                self._walk.note = f"**Refused: {refused.message}** Trying again."
                self._walk.show()
                await workflow.sleep(_AFTER_REFUSAL, summary="refused, trying again")
                _begin_again_if_long()
            else:
                self._walk.note = ""
                return


def _begin_again_if_long() -> None:
    """Wherever this may wait for a person for days: the server ends a workflow whose history is too long. All it knows is stored."""
    if workflow.info().is_continue_as_new_suggested():
        workflow.continue_as_new()
