package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"recado/queue"
)

// job is one attempt that is to be made.
type job struct {
	endpoint *endpoint
	delivery int64 // webhook_delivery.seq
	event    int64
	attempts int
	first    int64 // tick
}

// result is what came of it.
type result struct {
	job
	tick    int64 // when the attempt began
	at      time.Time
	outcome outcome
	status  int
	reason  string        // of a failure
	wait    time.Duration // Retry-After; 0 none
}

type outcome int

const (
	arrived outcome = iota
	failed
	gone   // 410
	erased // there is nothing left to tell
	cut    // we stopped: it does not count
)

// post makes one attempt. It never errs: what went wrong is in the result.
func (o *Outbox) post(ctx context.Context, j job) result {
	r := result{job: j, tick: o.clock.tick(), at: o.wall.Now(), outcome: failed}
	event, err := o.event(ctx, j.event)
	switch {
	case errors.Is(err, ErrErased):
		r.outcome = erased
		return r
	case err != nil:
		r.reason = reasonEvent.of("")
		o.log.Error("an event for a webhook cannot be read", "seq", j.event, "err", err)
		return r.unless(ctx)
	}
	secrets, err := o.secrets(j.endpoint, r.tick)
	if err != nil {
		r.reason = reasonSealed.of("")
		return r
	}
	request, err := o.request(ctx, j.endpoint, event, secrets)
	if err != nil {
		r.reason = reasonAddress.of("")
		return r
	}
	client := o.public
	if j.endpoint.private {
		client = o.private
	}
	began := time.Now()
	answer, err := client.Do(request)
	o.metrics.took.Observe(time.Since(began).Seconds())
	if err != nil {
		r.reason = explain(err)
		return r.unless(ctx)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	_ = answer.Body.Close()
	r.status = answer.StatusCode
	switch {
	case r.status >= 200 && r.status < 300:
		r.outcome = arrived
	case r.status == http.StatusGone:
		r.outcome, r.reason = gone, reasonGone.of("")
	case r.status >= 300 && r.status < 400:
		r.reason = reasonRedirect.of(strconv.Itoa(r.status))
	default:
		r.reason = reasonStatus.of(strconv.Itoa(r.status))
		r.wait = retryAfter(answer.Header)
	}
	return r
}

// unless says that it was we who ended the attempt.
func (r result) unless(ctx context.Context) result {
	if ctx.Err() != nil {
		r.outcome = cut
	}
	return r
}

// event reads what is to be told; ErrErased when it is gone, or has nothing in it
// any more.
func (o *Outbox) event(ctx context.Context, seq int64) (queue.Event, error) {
	e := queue.Event{Seq: seq}
	var when int64
	var data string
	err := o.db.Read().QueryRowContext(ctx, `SELECT id, type, at, data FROM event WHERE seq = ?`, seq).Scan(&e.ID, &e.Type, &when, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return e, ErrErased
	}
	if err != nil {
		return e, err
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(data), &fields) != nil || len(fields) == 0 || string(fields["erased"]) == "true" {
		return e, ErrErased
	}
	e.At, e.Data = time.UnixMilli(when).UTC(), json.RawMessage(data)
	return e, nil
}

// secrets that sign now: the new one, and for a day after a rotation the old.
func (o *Outbox) secrets(e *endpoint, tick int64) ([][]byte, error) {
	now, err := o.seal.open(e.id, e.secret)
	if err != nil {
		return nil, err
	}
	list := [][]byte{now}
	if len(e.oldSecret) > 0 && tick < e.oldUntil {
		if old, err := o.seal.open(e.id, e.oldSecret); err == nil {
			list = append(list, old)
		}
	}
	return list, nil
}

func (o *Outbox) request(ctx context.Context, e *endpoint, event queue.Event, secrets [][]byte) (*http.Request, error) {
	body := Body{Type: event.Type, Timestamp: event.At, Sequence: event.Seq, Data: event.Data}
	if !o.wall.Trusted() {
		body.ClockTrusted = new(false)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	now := o.wall.Now().Unix()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Recado")
	r.Header.Set("webhook-id", event.ID)
	r.Header.Set("webhook-timestamp", strconv.FormatInt(now, 10))
	r.Header.Set("webhook-signature", sign(secrets, event.ID, now, raw))
	// Never on the wire: it lets net/http use another connection when the one
	// that was kept turns out to be closed.
	r.Header["Idempotency-Key"] = nil
	return r, nil
}

// explain says what went wrong without naming more than it must.
func explain(err error) string {
	var (
		no   *refusal
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		host x509.HostnameError
		unit x509.UnknownAuthorityError
		wire *net.OpError
		late interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &no):
		return no.Error()
	case errors.Is(err, ErrRefused):
		return reasonRefused.of("")
	case errors.As(err, &dns) && dns.IsNotFound:
		return reasonNoName.of("")
	case errors.As(err, &dns):
		return reasonLookup.of("")
	case errors.As(err, &host):
		return reasonCertHost.of("")
	case errors.As(err, &unit):
		return reasonCertUnit.of("")
	case errors.As(err, &cert):
		return reasonCert.of("")
	case errors.As(err, &wire) && wire.Op == "dial" && wire.Timeout():
		return reasonNoLink.of("")
	case errors.As(err, &wire) && wire.Op == "dial":
		return reasonDial.of(root(wire).Error())
	case errors.As(err, &late) && late.Timeout():
		return reasonSlow.of("")
	}
	return reasonBroken.of("")
}

// root is the system's own word.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
