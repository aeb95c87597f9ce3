package kafka

import (
	"errors"
	"fmt"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// answered is the promise of every record: the client library is done with it. It
// calls this for one record at a time, in order within a partition.
func (p *producer) answered(r *kgo.Record, err error) {
	o := r.Context.(*outgoing)
	if err == nil {
		receipt := o.receipt()
		o.topic.answered(o.info, o.partition)
		p.finish(o, receipt, nil)
		return
	}
	failure := p.outcome(o, err)
	o.topic.failed(o.info, err)
	o.topic.answered(o.info, o.partition)
	p.finish(o, broker.MessageReceipt{}, failure)
}

// receipt tells the message's id only if the library wrote to the topic by the id
// that the id is made of: a topic that is deleted and made anew has another one.
func (o *outgoing) receipt() broker.MessageReceipt {
	r := &o.record
	receipt := broker.MessageReceipt{Partition: r.Partition, Timestamp: r.Timestamp}
	if r.Offset < 0 {
		return receipt
	}
	if o.info.idConfirmed() {
		var buf [messageIDChars]byte
		receipt.ID = string(o.info.lanes[r.Partition].ids.appendID(buf[:0], r.Offset))
	}
	if l := o.info.session.ledger; l.stamping.Load() {
		if t, ok := l.stampOf(o.info.id, r.Partition, r.Offset); ok {
			receipt.Timestamp = t
		}
	}
	return receipt
}

// outcome says what the library's error means for the message. "Failed" is said
// only of a message that is certainly not stored:
//
//   - it was never written to a broker, or
//   - the broker refused the batch it was in, or an earlier one (brokers accept a
//     producer's batches of a partition in order only), or
//   - the library gave it up with no attempt under way,
//
// and no attempt before has left any doubt.
func (p *producer) outcome(o *outgoing, err error) *broker.Error {
	partition := o.record.Partition
	if partition < 0 {
		return p.notStored(o, err)
	}
	st := o.info.session.ledger.standing(o.info.id, o.record.Topic, partition, o.since)
	switch {
	case !st.sent:
		return p.notStored(o, err)
	case st.doubtful, st.open && !st.refusedWith(err):
		return maybeStored(o, err)
	}
	return p.refused(o, err)
}

// refusedWith reports whether err is what a broker answered, rather than what the
// library learned otherwise.
func (s standing) refusedWith(err error) bool {
	e, isKafkas := errors.AsType[*kerr.Error](err)
	return isKafkas && s.refusal == e.Code
}

func maybeStored(o *outgoing, err error) *broker.Error {
	return &broker.Error{
		Code: broker.CodeUnknownOutcome, Topic: o.record.Topic, Partition: o.record.Partition, Retryable: true, Err: err,
		Message: "the message was sent, but no answer says whether it is stored; sending it again may store it twice",
	}
}

// refused is for a message that was sent and, as far as the ledger goes, not
// stored.
func (p *producer) refused(o *outgoing, err error) *broker.Error {
	e := p.explain(o, err)
	if e.Code == broker.CodeInvalidArgument || e.Code == broker.CodeMessageTooLarge {
		e.Retryable = true
		e.Message += "; or another message of the same batch is the reason, and trying again succeeds"
	}
	return e
}

// notStored is for a message that was never sent.
func (p *producer) notStored(o *outgoing, err error) *broker.Error {
	if o.misdirected {
		return &broker.Error{
			Code: broker.CodeUnavailable, Topic: o.record.Topic, Partition: o.partition, Retryable: true,
			Message: "not every Kafka broker knows this partition yet; try again",
		}
	}
	e := p.explain(o, err)
	if e.Code == broker.CodeUnknownOutcome {
		e.Code, e.Message = broker.CodeUnavailable, "the message was not sent, as Kafka doesn't let the proxy begin"
	}
	return e
}

// explain maps the error, knowing that giving up is this producer's doing.
func (p *producer) explain(o *outgoing, err error) *broker.Error {
	e := mapError(err, o.record.Topic, max(o.record.Partition, broker.AnyPartition))
	_, isKafkas := errors.AsType[*kerr.Error](err)
	gaveUp := !isKafkas && o.Context.Err() != nil || errors.Is(err, kgo.ErrClientClosed)
	switch {
	case gaveUp && p.isClosed():
		return broker.ErrClosed
	case gaveUp:
		return p.timedOut(o.record.Topic, e.Partition, err)
	}
	return e
}

func (p *producer) timedOut(topic string, partition int32, err error) *broker.Error {
	return &broker.Error{
		Code: broker.CodeUnavailable, Topic: topic, Partition: partition, Retryable: true, Err: err,
		Message: fmt.Sprintf("the message could not be stored within %v, or waited behind one that could not; "+
			"check that the Kafka brokers run, and that the partition has a leader", p.timeout),
	}
}
