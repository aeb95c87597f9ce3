package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// verdict is what an error of Kafka's means in the terms of the contract.
type verdict struct {
	code      broker.Code
	retryable bool
	advice    string // for a person: what happened, what to do
}

// The verdicts that several errors share.
var (
	verdictBusy         = verdict{broker.CodeUnavailable, true, "Kafka can't serve this now; it is tried again, and if it lasts, look at the state of the Kafka brokers"}
	verdictReplicas     = verdict{broker.CodeUnavailable, true, "too few replicas of the partition are in sync; bring the Kafka brokers that hold them back"}
	verdictMaybeStored  = verdict{broker.CodeUnknownOutcome, true, "the Kafka broker wrote the message but did not confirm it in time; it may be stored"}
	verdictServerError  = verdict{broker.CodeUnknownOutcome, true, "the Kafka broker failed in a way it doesn't explain; its log does"}
	verdictUnreachable  = verdict{broker.CodeUnavailable, true, "the Kafka broker can't be reached or doesn't answer; check its address, that it runs, and the network"}
	verdictNoTopic      = verdict{broker.CodeTopicNotFound, true, "the topic doesn't exist; create it, or check its name"}
	verdictTopicName    = verdict{broker.CodeTopicNotFound, false, "Kafka allows no topic of this name: letters, digits, '.', '_' and '-', at most 249 of them"}
	verdictTooLarge     = verdict{broker.CodeMessageTooLarge, false, "the message is larger than the topic takes; raise the topic's max.message.bytes, or send less"}
	verdictRefused      = verdict{broker.CodeInvalidArgument, false, "Kafka refused the message"}
	verdictTimestamp    = verdict{broker.CodeInvalidArgument, false, "the message's timestamp is outside of what the topic accepts; see its message.timestamp.before.max.ms and message.timestamp.after.max.ms"}
	verdictTopicDenied  = verdict{broker.CodePermissionDenied, false, "Kafka doesn't let the proxy use the topic; grant its user the right in Kafka's ACLs"}
	verdictDenied       = verdict{broker.CodePermissionDenied, false, "Kafka doesn't let the proxy do this; grant its user the right in Kafka's ACLs"}
	verdictGroupDenied  = verdict{broker.CodePermissionDenied, false, "Kafka doesn't let the proxy use the consumer group of the subscription's name; grant its user READ on the group in Kafka's ACLs"}
	verdictLogin        = verdict{broker.CodeUnauthenticated, false, "Kafka doesn't accept the proxy's credentials; check user, password and SASL mechanism"}
	verdictOldBroker    = verdict{broker.CodeUnsupported, false, "the Kafka broker is too old for what is asked of it; use Kafka 2.8 or newer"}
	verdictMembership   = verdict{broker.CodeUnavailable, true, "the consumer has lost its place in the subscription and joins again"}
	verdictGroupSetting = verdict{broker.CodeInvalidArgument, false, "Kafka refuses the subscription's settings; check its name and the session timeout"}
	verdictGroupClash   = verdict{broker.CodeUnavailable, true, "the consumer group of the subscription's name is in use by other software; stop that, or use another name"}
	verdictSequence     = verdict{broker.CodeUnknownOutcome, true, "Kafka lost track of the producer's messages; this one may be stored"}
	verdictConfig       = verdict{broker.CodeInvalidArgument, false, "Kafka refuses to create the topic; check the cluster's defaults and policy for new topics"}
	verdictNever        = verdict{broker.CodeInternal, false, "Kafka answered with an error that has no place here; please report it"}
)

// verdicts has every error that Kafka knows.
var verdicts = map[*kerr.Error]verdict{
	kerr.UnknownServerError:           verdictServerError,
	kerr.RequestTimedOut:              verdictMaybeStored,
	kerr.NotEnoughReplicasAfterAppend: verdictMaybeStored,
	kerr.NotEnoughReplicas:            verdictReplicas,

	kerr.UnknownTopicOrPartition: verdictNoTopic,
	kerr.UnknownTopicID:          verdictNoTopic,
	kerr.InconsistentTopicID:     verdictNoTopic,
	kerr.InvalidTopicException:   verdictTopicName,

	kerr.MessageTooLarge:             verdictTooLarge,
	kerr.RecordListTooLarge:          verdictTooLarge,
	kerr.CorruptMessage:              verdictRefused,
	kerr.InvalidRecord:               verdictRefused,
	kerr.InvalidRequiredAcks:         verdictRefused,
	kerr.UnsupportedForMessageFormat: verdictOldBroker,
	kerr.UnsupportedCompressionType:  verdictOldBroker,
	kerr.InvalidTimestamp:            verdictTimestamp,

	kerr.TopicAuthorizationFailed:           verdictTopicDenied,
	kerr.GroupAuthorizationFailed:           verdictGroupDenied,
	kerr.ClusterAuthorizationFailed:         verdictDenied,
	kerr.TransactionalIDAuthorizationFailed: verdictDenied,
	kerr.DelegationTokenAuthorizationFailed: verdictDenied,
	kerr.SecurityDisabled:                   verdictDenied,

	kerr.UnsupportedSaslMechanism:         verdictLogin,
	kerr.IllegalSaslState:                 verdictLogin,
	kerr.SaslAuthenticationFailed:         verdictLogin,
	kerr.DelegationTokenAuthDisabled:      verdictLogin,
	kerr.DelegationTokenNotFound:          verdictLogin,
	kerr.DelegationTokenOwnerMismatch:     verdictLogin,
	kerr.DelegationTokenRequestNotAllowed: verdictLogin,
	kerr.DelegationTokenExpired:           verdictLogin,
	kerr.InvalidPrincipalType:             verdictLogin,
	kerr.PrincipalDeserializationFailure:  verdictLogin,
	kerr.UnacceptableCredential:           verdictLogin,

	kerr.UnsupportedVersion: verdictOldBroker,
	kerr.InvalidRequest:     verdictOldBroker,

	kerr.LeaderNotAvailable:          verdictBusy,
	kerr.NotLeaderForPartition:       verdictBusy,
	kerr.BrokerNotAvailable:          verdictBusy,
	kerr.ReplicaNotAvailable:         verdictBusy,
	kerr.StaleControllerEpoch:        verdictBusy,
	kerr.CoordinatorLoadInProgress:   verdictBusy,
	kerr.CoordinatorNotAvailable:     verdictBusy,
	kerr.NotCoordinator:              verdictBusy,
	kerr.NotController:               verdictBusy,
	kerr.KafkaStorageError:           verdictBusy,
	kerr.LogDirNotFound:              verdictBusy,
	kerr.OperationNotAttempted:       verdictBusy,
	kerr.ReassignmentInProgress:      verdictBusy,
	kerr.FetchSessionIDNotFound:      verdictBusy,
	kerr.InvalidFetchSessionEpoch:    verdictBusy,
	kerr.FetchSessionTopicIDError:    verdictBusy,
	kerr.ListenerNotFound:            verdictBusy,
	kerr.FencedLeaderEpoch:           verdictBusy,
	kerr.UnknownLeaderEpoch:          verdictBusy,
	kerr.StaleBrokerEpoch:            verdictBusy,
	kerr.OffsetNotAvailable:          verdictBusy,
	kerr.PreferredLeaderNotAvailable: verdictBusy,
	kerr.EligibleLeadersNotAvailable: verdictBusy,
	kerr.ElectionNotNeeded:           verdictBusy,
	kerr.UnstableOffsetCommit:        verdictBusy,
	kerr.ThrottlingQuotaExceeded:     verdictBusy,
	kerr.NewLeaderElected:            verdictBusy,
	kerr.OffsetMovedToTieredStorage:  verdictBusy,
	kerr.ShareSessionLimitReached:    verdictBusy,
	kerr.RebootstrapRequired:         verdictBusy,
	kerr.OffsetOutOfRange:            verdictBusy,
	kerr.DuplicateBrokerRegistration: verdictBusy,
	kerr.BrokerIDNotRegistered:       verdictBusy,
	kerr.ControllerIDNotRegistered:   verdictBusy,
	kerr.UnknownControllerID:         verdictBusy,
	kerr.IneligibleReplica:           verdictBusy,
	kerr.NetworkException:            verdictUnreachable,

	kerr.IllegalGeneration:         verdictMembership,
	kerr.UnknownMemberID:           verdictMembership,
	kerr.RebalanceInProgress:       verdictMembership,
	kerr.MemberIDRequired:          verdictMembership,
	kerr.FencedInstanceID:          verdictMembership,
	kerr.FencedMemberEpoch:         verdictMembership,
	kerr.StaleMemberEpoch:          verdictMembership,
	kerr.UnreleasedInstanceID:      verdictMembership,
	kerr.GroupIDNotFound:           verdictMembership,
	kerr.InvalidGroupID:            verdictGroupSetting,
	kerr.InvalidSessionTimeout:     verdictGroupSetting,
	kerr.OffsetMetadataTooLarge:    verdictGroupSetting,
	kerr.InvalidCommitOffsetSize:   verdictGroupSetting,
	kerr.UnsupportedAssignor:       verdictGroupSetting,
	kerr.InvalidRegularExpression:  verdictGroupSetting,
	kerr.InconsistentGroupProtocol: verdictGroupClash,
	kerr.NonEmptyGroup:             verdictGroupClash,
	kerr.GroupMaxSizeReached:       verdictGroupClash,
	kerr.GroupSubscribedToTopic:    verdictGroupClash,
	kerr.GroupDeletionFailed:       verdictGroupClash,

	kerr.OutOfOrderSequenceNumber: verdictSequence,
	kerr.DuplicateSequenceNumber:  verdictSequence,
	kerr.InvalidProducerEpoch:     verdictSequence,
	kerr.InvalidProducerIDMapping: verdictSequence,
	kerr.UnknownProducerID:        verdictSequence,
	kerr.ProducerFenced:           verdictSequence,

	kerr.InvalidPartitions:        verdictConfig,
	kerr.InvalidReplicationFactor: verdictConfig,
	kerr.InvalidReplicaAssignment: verdictConfig,
	kerr.InvalidConfig:            verdictConfig,
	kerr.PolicyViolation:          verdictConfig,

	// What only other requests than this backend's are answered with.
	kerr.InvalidFetchSize:                       verdictNever,
	kerr.TopicAlreadyExists:                     verdictNever,
	kerr.InvalidTxnState:                        verdictNever,
	kerr.InvalidTransactionTimeout:              verdictNever,
	kerr.ConcurrentTransactions:                 verdictNever,
	kerr.TransactionCoordinatorFenced:           verdictNever,
	kerr.TopicDeletionDisabled:                  verdictNever,
	kerr.NoReassignmentInProgress:               verdictNever,
	kerr.ResourceNotFound:                       verdictNever,
	kerr.DuplicateResource:                      verdictNever,
	kerr.InconsistentVoterSet:                   verdictNever,
	kerr.InvalidUpdateVersion:                   verdictNever,
	kerr.FeatureUpdateFailed:                    verdictNever,
	kerr.SnapshotNotFound:                       verdictNever,
	kerr.PositionOutOfRange:                     verdictNever,
	kerr.InconsistentClusterID:                  verdictNever,
	kerr.TransactionalIDNotFound:                verdictNever,
	kerr.MismatchedEndpointType:                 verdictNever,
	kerr.UnsupportedEndpointType:                verdictNever,
	kerr.UnknownSubscriptionID:                  verdictNever,
	kerr.TelemetryTooLarge:                      verdictNever,
	kerr.InvalidRegistration:                    verdictNever,
	kerr.TransactionAbortable:                   verdictNever,
	kerr.InvalidRecordState:                     verdictNever,
	kerr.ShareSessionNotFound:                   verdictNever,
	kerr.InvalidShareSessionEpoch:               verdictNever,
	kerr.FencedStateEpoch:                       verdictNever,
	kerr.InvalidVoterKey:                        verdictNever,
	kerr.DuplicateVoter:                         verdictNever,
	kerr.VoterNotFound:                          verdictNever,
	kerr.StreamsInvalidTopology:                 verdictNever,
	kerr.StreamsInvalidTopologyEpoch:            verdictNever,
	kerr.StreamsTopologyFenced:                  verdictNever,
	kerr.StreamsTopologyDescriptionUpdateFailed: verdictNever,
}

// mapError turns an error of Kafka's, of the client library's or of the network
// into the contract's. topic may be empty, and partition AnyPartition, if the
// error is about none. An error that already is a *broker.Error stays as it is;
// nil stays nil.
//
// CodeUnknownOutcome is meant for producing: of any other request it says that
// the broker may have carried it out.
func mapError(err error, topic string, partition int32) *broker.Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*broker.Error](err); ok {
		return e
	}
	v := verdictOf(err)
	return &broker.Error{
		Code: v.code, Topic: topic, Partition: partition, Retryable: v.retryable, Message: v.advice, Err: err,
	}
}

func verdictOf(err error) verdict {
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		if v, ok := verdicts[e]; ok {
			return v
		}
		return verdictServerError // what a code that nobody knows yet means too
	}
	if e, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		return verdict{broker.CodeUnavailable, true, "the Kafka broker closed the connection at once; " +
			"check whether it expects TLS or SASL: " + e.Error()}
	}
	switch {
	case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, net.ErrClosed):
		return verdict{broker.CodeClosed, false, "the Kafka client was closed meanwhile"}
	case isNetworkError(err),
		errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrRecordRetries):
		return verdictUnreachable
	}
	return verdict{broker.CodeInternal, false, "an error that this backend has no advice for; please report it"}
}

// isNetworkError includes timeouts and requests that were given up.
func isNetworkError(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*os.SyscallError](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		kgo.IsRetryableBrokerErr(err)
}

func errNoSuchPartition(topic string, partition int32, count int) *broker.Error {
	return &broker.Error{
		Code: broker.CodePartitionNotFound, Topic: topic, Partition: partition, Retryable: true,
		Message: fmt.Sprintf("the topic has %d partitions, numbered from 0", count),
	}
}
