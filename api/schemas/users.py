"""Users and their wallets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from api.schemas.answers import PageQuery
from api.schemas.balances import BalanceFigures, SignedAmount
from api.schemas.fields import Amount, Body, Email, Metadata, NullIs, Reference, Shape, Time

UserType = Literal["BUYER", "SELLER", "BOTH"]
UserStatus = Literal["ACTIVE", "SUSPENDED"]


class CreateUserBody(Body):
    external_user_id: Reference
    email: Email | None = None
    type: Annotated[UserType, NullIs("BOTH")] = "BOTH"
    metadata: Annotated[Metadata, NullIs({})] = Field(default_factory=dict)


class ChangeUserBody(Body):
    """What is not sent, or sent as null, stays. ``metadata`` is merged and a key sent as null removed; ``email`` sent as "" is removed."""

    email: Email | Literal[""] | None = None
    type: UserType | None = None
    status: UserStatus | None = None
    metadata: Annotated[Metadata, NullIs({})] = Field(default_factory=dict)


class UserQuery(PageQuery):
    prefix = "usr"
    type: UserType | None = None
    status: UserStatus | None = None
    external_user_id: Reference | None = None


class ChainBalance(Shape):
    usdc: Amount
    xlm: Amount


class UserWallet(Shape):
    """``publicKey`` and ``createdAt`` are null while the user waits for a wallet. ``balance`` is the ledger's mirror of the account: what
    the books say the chain holds.
    """

    public_key: str | None
    status: Literal["PENDING", "READY"]
    type: Literal["INVISIBLE"]
    provider: Literal["STELLAR"]
    is_active: bool
    is_primary: bool
    balance: ChainBalance
    created_at: Time | None


class User(Shape):
    id: str
    external_user_id: str
    email: str | None
    type: UserType
    status: UserStatus
    metadata: dict[str, Any]
    wallet: UserWallet
    balance: BalanceFigures
    created_at: Time
    updated_at: Time


class Wallet(Shape):
    """``balance`` is the ledger's mirror of the account: what the books say the chain holds."""

    user_id: str
    public_key: str
    status: Literal["PENDING", "READY"]
    type: Literal["INVISIBLE"]
    provider: Literal["STELLAR"]
    is_active: bool
    is_primary: bool
    balance: ChainBalance
    created_at: Time


class Asset(Shape):
    code: str
    issuer: str


class WalletTransaction(Shape):
    """``amount`` is what the account gained or lost, ``from`` and ``to`` are accounts and contracts on the chain; the other one is null
    where the books do not know it: in adjustments. ``transactionHash`` is the chain's inner hash. Existing clients read the kind as
    ``type``, the hash as ``hash`` and the currency as ``asset``; what failed moved nothing and is not listed, so ``successful`` is true.
    """

    id: str
    kind: str
    type: str
    source: str | None = Field(alias="from", examples=["GBRPYHIL2CI3FNQ4BXLFMNDLFJUNPU2HY3ZMFSHONUCEOASW7QC7OX2H"])
    target: str | None = Field(alias="to", examples=["GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"])
    amount: SignedAmount
    currency: Literal["USDC"]
    asset: Literal["USDC"]
    transaction_hash: str
    hash: str
    successful: Literal[True]
    order_id: str | None
    counterparty: str | None
    reference: str
    created_at: Time


class WalletTransactionQuery(PageQuery):
    prefix = "post"
    cursor: Annotated[str, StringConstraints(pattern=r"^post_[1-9]\d{0,17}$")] | None = None

    @property
    def before_id(self) -> int | None:
        return int(self.cursor.removeprefix("post_")) if self.cursor else None


class DepositAddress(Shape):
    """``uri`` is a SEP-7 payment request that wallets open; draw it as a QR code where the payer should scan it."""

    provider: Literal["STELLAR"]
    method: Literal["stellar_address"]
    address: str
    asset: Asset
    network: str
    memo: None
    uri: str
    instructions: str
