package webhook

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestSignatureIsTheLibrarys: what we sign the library of Standard Webhooks signs
// the same, for any body.
func TestSignatureIsTheLibrarys(t *testing.T) {
	s, err := newSealer(testKey)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		id := rapid.StringMatching(`[0-9a-f-]{1,36}`).Draw(t, "id")
		now := time.Now()
		shown, sealed := s.fresh("endpoint")
		raw, err := s.open("endpoint", sealed)
		require.NoError(t, err)
		oracle, err := standardwebhooks.NewWebhook(shown)
		require.NoError(t, err)
		want, err := oracle.Sign(id, now, body)
		require.NoError(t, err)
		_, old := s.fresh("endpoint")
		second, err := s.open("endpoint", old)
		require.NoError(t, err)
		got := sign([][]byte{second, raw}, id, now.Unix(), body)
		require.Equal(t, want, strings.Fields(got)[1])
		head := http.Header{}
		head.Set("webhook-id", id)
		head.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		head.Set("webhook-signature", got)
		require.NoError(t, oracle.Verify(body, head), "the old secret still verifies beside the new one")
		require.Error(t, oracle.Verify(append(body, 'x'), head))
	})
}

func TestSecretsAreSealed(t *testing.T) {
	b := newBench(t)
	s := newSink(t)
	e, secret, err := b.o.Create(t.Context(), Endpoint{URL: s.http.URL, Events: []string{"*"}, Active: true, AllowPrivate: true})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(secret, "whsec_"))
	r, err := b.o.row(t.Context(), e.ID)
	require.NoError(t, err)
	raw, err := b.o.seal.open(e.ID, r.secret)
	require.NoError(t, err)
	require.Len(t, raw, secretSize)
	_, err = b.o.seal.open("another", r.secret)
	require.ErrorIs(t, err, ErrSealed, "a row copied to another endpoint opens nothing")
	other, err := newSealer([]byte("another key of 32 octets, really"))
	require.NoError(t, err)
	_, err = other.open(e.ID, r.secret)
	require.ErrorIs(t, err, ErrSealed)
	_, err = newSealer([]byte("short"))
	require.Error(t, err)
	for _, file := range []string{b.path, b.path + "-wal"} {
		octets, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(octets), string(raw))
		require.NotContains(t, string(octets), secret[len(secretPrefix):])
	}
}

// TestOtherKey: with another recado.key nothing is sent under a wrong signature;
// the endpoint says what to do, and rotating helps.
func TestOtherKey(t *testing.T) {
	b := newBench(t)
	s := newSink(t)
	e := b.add(s, "message.*")
	b.shut()
	b.change = func(o *Options) { o.Key = []byte("another key of 32 octets, really") }
	b.open()
	b.run()
	b.emit("message.sent", 0, 1)
	e = b.until(e.ID, func(e Endpoint) bool { return e.LastError != "" })
	require.Contains(t, e.LastError, "rotate")
	s.silent(t)
	_, secret, err := b.o.Rotate(t.Context(), e.ID)
	require.NoError(t, err)
	s.mu.Lock()
	s.checks = nil
	s.mu.Unlock()
	s.know(t, secret)
	b.pass(11 * time.Second)
	require.Equal(t, 0, s.next(t).n())
}

func TestRotation(t *testing.T) {
	b := newBench(t)
	b.run()
	s := newSink(t)
	e := b.add(s, "message.*")
	b.emit("message.sent", 0, 1)
	s.next(t)
	b.until(e.ID, func(e Endpoint) bool { return e.Pending == 0 })
	e, secret, err := b.o.Rotate(t.Context(), e.ID)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(RotationOverlap), e.OldSecretUntil, time.Minute)
	s.know(t, secret) // from now on the sink demands that both verify
	b.emit("message.sent", 1, 2)
	require.Len(t, strings.Fields(s.next(t).head.Get("webhook-signature")), 2)
	b.until(e.ID, func(e Endpoint) bool { return e.Pending == 0 })
	b.pass(RotationOverlap + time.Second)
	s.mu.Lock()
	s.checks = s.checks[1:]
	s.mu.Unlock()
	b.emit("message.sent", 2, 3)
	require.Len(t, strings.Fields(s.next(t).head.Get("webhook-signature")), 1, "the old one signs for 24 hours")
	e, err = b.o.Get(t.Context(), e.ID)
	require.NoError(t, err)
	require.Zero(t, e.OldSecretUntil)
}
