"""The refusals the two escrows (V1) can give here, with the numbers and texts of their sources.

The multi-release contract has numbers of its own, which differ between its builds; names and texts do not.
"""

from __future__ import annotations

from enum import IntEnum


class EscrowError(IntEnum):
    """Of the single-release escrow. Names keep the spelling of the contract's source, mistakes included: clients match on them."""

    AmountCannotBeZero = 1
    EscrowAlreadyInitialized = 2
    EscrowNotFound = 3
    OnlyReleaseSignerCanReleaseEarnings = 4
    EscrowNotCompleted = 5
    EscrowBalanceNotEnoughToSendEarnings = 6
    OnlyServiceProviderChangeMilstoneStatus = 8
    NoMilestoneDefined = 9
    OnlyApproverChangeMilstoneFlag = 11
    OnlyDisputeResolverCanExecuteThisFunction = 12
    EscrowAlreadyInDispute = 13
    EscrowNotInDispute = 14
    InsufficientFundsForResolution = 15
    EscrowOpenedForDisputeResolution = 16
    EscrowAlreadyResolved = 24
    UnauthorizedToChangeDisputeFlag = 26
    TooManyMilestones = 27
    MilestoneHasAlreadyBeenApproved = 29
    EmptyMilestoneStatus = 30
    PlatformFeeTooHigh = 31
    FlagsMustBeFalse = 32
    EscrowPropertiesMismatch = 33
    EscrowAlreadyReleased = 35
    AmountsToBeTransferredShouldBePositive = 38
    DistributionsMustEqualEscrowBalance = 39
    DisputeResolverCannotDisputeTheEscrow = 40
    TotalAmountCannotBeZero = 41
    InsufficientFundsForEscrowFunding = 42
    MilestoneToApproveDoesNotExist = 43
    TooManyDistributions = 45
    MilestoneToUpdateDoesNotExist = 46


class MultiReleaseError(IntEnum):
    """Of the newest build, which numbers them by the alphabet."""

    AmountCannotBeZero = 1
    AmountsToBeTransferredShouldBePositive = 2
    DisputeResolverCannotDisputeTheMilestone = 5
    EmptyMilestoneStatus = 7
    EscrowAlreadyInitialized = 8
    EscrowAlreadyResolved = 9
    EscrowBalanceMustBeZeroOnInitialization = 10
    EscrowBalanceNotEnoughToSendEarnings = 11
    EscrowNotFound = 13
    EscrowNotFullyProcessed = 14
    EscrowPropertiesMismatch = 15
    FlagsMustBeFalse = 16
    InsufficientFundsForEscrowFunding = 19
    InsufficientFundsForResolution = 21
    InvalidMileStoneIndex = 23
    MilestoneAlreadyInDispute = 24
    MilestoneAlreadyReleased = 25
    MilestoneAlreadyResolved = 26
    MilestoneHasAlreadyBeenApproved = 28
    MilestoneNotCompleted = 29
    MilestoneNotFound = 30
    MilestoneNotInDispute = 31
    MilestoneOpenedForDisputeResolution = 32
    MilestoneToApproveDoesNotExist = 33
    MilestoneToUpdateDoesNotExist = 34
    NoMileStoneDefined = 35
    OnlyApproverChangeMilstoneFlag = 36
    OnlyDisputeResolverCanExecuteThisFunction = 37
    OnlyReleaseSignerCanReleaseEarnings = 39
    OnlyServiceProviderChangeMilstoneStatus = 40
    PlatformFeeTooHigh = 43
    TooManyMilestones = 45
    TooManyDistributions = 46
    TotalAmountCannotBeZero = 47
    TotalDisputeFundsMustNotExceedTheMilestoneAmount = 48
    UnauthorizedToChangeDisputeFlag = 49


MESSAGES: dict[str, str] = {
    "AmountCannotBeZero": "Amount cannot be equal to or less than zero",
    "EscrowAlreadyInitialized": "Escrow already initialized",
    "EscrowNotFound": "Escrow not found",
    "OnlyReleaseSignerCanReleaseEarnings": "Only the release signer can release the escrow earnings",
    "EscrowNotCompleted": "The escrow must be completed to release earnings",
    "EscrowBalanceNotEnoughToSendEarnings": ("The escrow balance must be equal to the amount of earnings defined for the escrow"),
    "OnlyServiceProviderChangeMilstoneStatus": "Only the service provider can change milestone status",
    "NoMilestoneDefined": "Escrow initialized without milestone",
    "OnlyApproverChangeMilstoneFlag": "Only the approver can change milestone flag",
    "OnlyDisputeResolverCanExecuteThisFunction": "Only the dispute resolver can execute this function",
    "EscrowAlreadyInDispute": "Escrow already in dispute",
    "EscrowNotInDispute": "Escrow not in dispute",
    "InsufficientFundsForResolution": "Insufficient funds for resolution",
    "EscrowOpenedForDisputeResolution": "Escrow has been opened for dispute resolution",
    "EscrowAlreadyResolved": "This escrow is already resolved",
    "UnauthorizedToChangeDisputeFlag": "You are not authorized to change the dispute flag",
    "TooManyMilestones": "Cannot define more than 50 milestones in an escrow",
    "MilestoneHasAlreadyBeenApproved": "You cannot approve a milestone that has already been approved previously",
    "EmptyMilestoneStatus": "The milestone status cannot be empty",
    "PlatformFeeTooHigh": "The platform fee cannot exceed 99%",
    "FlagsMustBeFalse": ("All flags (approved, disputed, released) must be false in order to execute this function."),
    "EscrowPropertiesMismatch": "The provided escrow properties do not match the stored escrow.",
    "EscrowAlreadyReleased": "The escrow funds have been released.",
    "AmountsToBeTransferredShouldBePositive": "None of the amounts to be transferred should be less or equal than 0.",
    "DistributionsMustEqualEscrowBalance": (
        "The sum of distributions must equal the current escrow balance when resolving an escrow dispute."
    ),
    "DisputeResolverCannotDisputeTheEscrow": "The dispute resolver cannot dispute the escrow.",
    "TotalAmountCannotBeZero": "The total amount to be distributed cannot be equal to zero.",
    "InsufficientFundsForEscrowFunding": "The signer has insufficient funds to fund the escrow.",
    "MilestoneToApproveDoesNotExist": "The milestone to approve does not exist",
    "TooManyDistributions": "Cannot define more than 50 distributions when resolving dispute",
    "MilestoneToUpdateDoesNotExist": "The milestone to update does not exist",
    "DisputeResolverCannotDisputeTheMilestone": "The dispute resolver cannot be the one to raise a dispute on a milestone.",
    "EscrowBalanceMustBeZeroOnInitialization": "The escrow balance must be zero upon initialization.",
    "EscrowNotFullyProcessed": "All milestones must be released or dispute-resolved before withdrawing remaining funds",
    "InvalidMileStoneIndex": "Invalid milestone index",
    "MilestoneAlreadyInDispute": "Milestone already in dispute",
    "MilestoneAlreadyReleased": "This milestone is already released",
    "MilestoneAlreadyResolved": "This milestone is already resolved",
    "MilestoneNotCompleted": "The milestone must be completed to release funds",
    "MilestoneNotFound": "Milestone not found",
    "MilestoneNotInDispute": "Milestone not in dispute",
    "MilestoneOpenedForDisputeResolution": "Milestone has been opened for dispute resolution",
    "NoMileStoneDefined": "Escrow initialized without milestone",
    "TotalDisputeFundsMustNotExceedTheMilestoneAmount": (
        "The total funds to resolve the dispute must not exceed the amount defined for this milestone."
    ),
}
"""By name: of a refusal that both contracts know, the words of the single-release one."""
