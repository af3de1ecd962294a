"""The refusals the single-release escrow (V1) can give here, with the numbers and texts of its source."""

from __future__ import annotations

from enum import IntEnum


class EscrowError(IntEnum):
    """Names keep the spelling of the contract's source, mistakes included: clients match on them."""

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


MESSAGES = {
    EscrowError.AmountCannotBeZero: "Amount cannot be equal to or less than zero",
    EscrowError.EscrowAlreadyInitialized: "Escrow already initialized",
    EscrowError.EscrowNotFound: "Escrow not found",
    EscrowError.OnlyReleaseSignerCanReleaseEarnings: "Only the release signer can release the escrow earnings",
    EscrowError.EscrowNotCompleted: "The escrow must be completed to release earnings",
    EscrowError.EscrowBalanceNotEnoughToSendEarnings: ("The escrow balance must be equal to the amount of earnings defined for the escrow"),
    EscrowError.OnlyServiceProviderChangeMilstoneStatus: "Only the service provider can change milestone status",
    EscrowError.NoMilestoneDefined: "Escrow initialized without milestone",
    EscrowError.OnlyApproverChangeMilstoneFlag: "Only the approver can change milestone flag",
    EscrowError.OnlyDisputeResolverCanExecuteThisFunction: "Only the dispute resolver can execute this function",
    EscrowError.EscrowAlreadyInDispute: "Escrow already in dispute",
    EscrowError.EscrowNotInDispute: "Escrow not in dispute",
    EscrowError.InsufficientFundsForResolution: "Insufficient funds for resolution",
    EscrowError.EscrowOpenedForDisputeResolution: "Escrow has been opened for dispute resolution",
    EscrowError.EscrowAlreadyResolved: "This escrow is already resolved",
    EscrowError.UnauthorizedToChangeDisputeFlag: "You are not authorized to change the dispute flag",
    EscrowError.TooManyMilestones: "Cannot define more than 50 milestones in an escrow",
    EscrowError.MilestoneHasAlreadyBeenApproved: "You cannot approve a milestone that has already been approved previously",
    EscrowError.EmptyMilestoneStatus: "The milestone status cannot be empty",
    EscrowError.PlatformFeeTooHigh: "The platform fee cannot exceed 99%",
    EscrowError.FlagsMustBeFalse: ("All flags (approved, disputed, released) must be false in order to execute this function."),
    EscrowError.EscrowPropertiesMismatch: "The provided escrow properties do not match the stored escrow.",
    EscrowError.EscrowAlreadyReleased: "The escrow funds have been released.",
    EscrowError.AmountsToBeTransferredShouldBePositive: "None of the amounts to be transferred should be less or equal than 0.",
    EscrowError.DistributionsMustEqualEscrowBalance: (
        "The sum of distributions must equal the current escrow balance when resolving an escrow dispute."
    ),
    EscrowError.DisputeResolverCannotDisputeTheEscrow: "The dispute resolver cannot dispute the escrow.",
    EscrowError.TotalAmountCannotBeZero: "The total amount to be distributed cannot be equal to zero.",
    EscrowError.InsufficientFundsForEscrowFunding: "The signer has insufficient funds to fund the escrow.",
    EscrowError.MilestoneToApproveDoesNotExist: "The milestone to approve does not exist",
    EscrowError.TooManyDistributions: "Cannot define more than 50 distributions when resolving dispute",
    EscrowError.MilestoneToUpdateDoesNotExist: "The milestone to update does not exist",
}
