package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

func TestSubmitKeepsWhatWasAsked(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{To: []string{"600 111 222"}, Text: "Su código: 1234 ñ", Class: OTP, Reference: "r-1", Report: true, SIM: line(2).ICCID})
	b.restart()
	got := b.get(m.ID)
	require.Equal(t, m, got)
	require.Equal(t, "+34600111222", got.To)
	require.Equal(t, Queued, got.State)
	require.Equal(t, AtMostOnce, got.Delivery)
	require.Equal(t, 10*time.Minute, got.ExpiresAt.Sub(got.CreatedAt))
	require.Len(t, got.Segments, 1)
	back := pdu.DecodeSubmit(got.Segments[0].TPDU)
	require.NoError(t, back.Err)
	require.Equal(t, "Su código: 1234 ñ", back.Text)
	require.Equal(t, "+34600111222", back.Address)
	require.True(t, back.Report)
}

func TestSubmitRefuses(t *testing.T) {
	b := newBox(t)
	to := []string{"+34600111222"}
	for name, row := range map[string]struct {
		Request
		field string
	}{
		"no recipient":        {Request{Text: "a"}, "to"},
		"too many recipients": {Request{Text: "a", To: make([]string, 1001)}, "to"},
		"empty":               {Request{To: to}, "text"},
		"blanks":              {Request{To: to, Text: " \n\t\u00a0"}, "text"},
		"not UTF-8":           {Request{To: to, Text: "a\xff"}, "text"},
		"long":                {Request{To: to, Text: strings.Repeat("a", 40_001), MaxSegments: 255}, "text"},
		"segments":            {Request{To: to, Text: strings.Repeat("a", 153*10+1)}, "text"},
		"max_segments":        {Request{To: to, Text: "a", MaxSegments: 256}, "max_segments"},
		"class":               {Request{To: to, Text: "a", Class: "urgent"}, "class"},
		"delivery":            {Request{To: to, Text: "a", Delivery: "twice"}, "delivery"},
		"encoding":            {Request{To: to, Text: "a", Encoding: "utf8"}, "encoding"},
		"gsm7":                {Request{To: to, Text: "日本", Encoding: "gsm7"}, "text"},
		"valid_for short":     {Request{To: to, Text: "a", ValidFor: time.Second}, "valid_for"},
		"valid_for long":      {Request{To: to, Text: "a", ValidFor: 8 * 24 * time.Hour}, "valid_for"},
		"send_at":             {Request{To: to, Text: "a", SendAt: b.clock.Now().Add(400 * 24 * time.Hour)}, "send_at"},
		"reference":           {Request{To: to, Text: "a", Reference: strings.Repeat("ñ", 129)}, "reference"},
	} {
		_, err := b.Submit(context.Background(), row.Request, nil)
		bad, ok := errors.AsType[*Invalid](err)
		require.True(t, ok, "%s: %v", name, err)
		require.Equal(t, row.field, bad.Field, name)
		require.NotEmpty(t, bad.Detail, name)
	}
	res, err := b.Submit(context.Background(), Request{To: []string{"x", "+4915112345678"}, Text: "a"}, nil)
	require.ErrorIs(t, err, ErrAllRejected)
	require.Len(t, res.Rejected, 2)
	list, _, err := b.Messages(context.Background(), Filter{})
	require.NoError(t, err)
	require.Empty(t, list, "nothing half-done")
}

func TestSubmitToMany(t *testing.T) {
	b := newBox(t)
	var to []string
	for i := range 998 {
		to = append(to, fmt.Sprintf("+34600%06d", i))
	}
	to = append(to, "600000007", "nobody")
	text := strings.Repeat("Corte de agua mañana. ", 20)
	res, err := b.Submit(context.Background(), Request{To: to, Text: text, Class: Bulk}, nil)
	require.NoError(t, err)
	require.Len(t, res.Messages, 998)
	require.Equal(t, []RejectCode{Duplicate, InvalidNumber}, []RejectCode{res.Rejected[0].Code, res.Rejected[1].Code})
	require.Equal(t, "600000007", res.Rejected[0].To)
	depth, err := b.Depth(context.Background())
	require.NoError(t, err)
	require.Equal(t, 998, depth[Queued][Bulk])
	var parts []pdu.Received
	for _, g := range b.get(res.Messages[500].ID).Segments {
		parts = append(parts, pdu.DecodeSubmit(g.TPDU))
	}
	require.Equal(t, text, pdu.JoinText(parts))
}

// Every long message to a number has its own concatenation reference, also
// when many are submitted at once and over restarts.
func TestConcatenationReferences(t *testing.T) {
	b := newBox(t)
	long := strings.Repeat("largo ", 60)
	refs := map[uint16]int{}
	var mu sync.Mutex
	send := func() {
		m := b.submit(Request{Text: long})
		c := pdu.DecodeSubmit(m.Segments[0].TPDU).Concat
		mu.Lock()
		defer mu.Unlock()
		refs[c.Ref]++
		for _, g := range b.get(m.ID).Segments {
			got := pdu.DecodeSubmit(g.TPDU).Concat
			require.Equal(t, c.Ref, got.Ref, "what is stored is what was answered")
		}
	}
	for range 2 {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 8 {
					send()
				}
			})
		}
		wg.Wait()
		b.restart()
	}
	require.Len(t, refs, 128, "128 messages, as many references")
	short := b.submit(Request{Text: "corto"})
	require.Nil(t, pdu.DecodeSubmit(short.Segments[0].TPDU).Concat)
}

func TestIdempotency(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	req := Request{To: []string{"+34600111222"}, Text: "una vez"}
	key := func(hash string) *Idempotency {
		return &Idempotency{Scope: "key1", Key: "k", Hash: []byte(hash), Answer: func(r Result) []byte { return []byte(r.Messages[0].ID) }}
	}
	var wg sync.WaitGroup
	first := make([]string, 20)
	for i := range first {
		wg.Go(func() {
			res, err := b.Submit(ctx, req, key("body"))
			require.NoError(t, err)
			if res.Replayed != nil {
				first[i] = string(res.Replayed)
			} else {
				first[i] = res.Messages[0].ID
			}
		})
	}
	wg.Wait()
	for _, id := range first {
		require.Equal(t, first[0], id)
	}
	b.restart()
	b.clock.forward(72 * time.Hour)
	b.wake()
	_, err := b.Submit(ctx, req, key("other body"))
	require.ErrorIs(t, err, ErrMismatch)
	res, err := b.Submit(ctx, req, key("body"))
	require.NoError(t, err)
	require.Equal(t, first[0], string(res.Replayed))
	list, _, err := b.Messages(ctx, Filter{})
	require.NoError(t, err)
	require.Len(t, list, 1)

	other := key("other body")
	other.Scope = "key2"
	res, err = b.Submit(ctx, req, other)
	require.NoError(t, err)
	require.Len(t, res.Messages, 1, "another application's key is another key")

	b.clock.forward(25 * time.Hour)
	res, err = b.Submit(ctx, req, key("third body"))
	require.NoError(t, err)
	require.Nil(t, res.Replayed, "forgotten after four days")
}

func TestQuote(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	q, err := b.Quote(ctx, Request{To: []string{"600111222", "600111223", "600111222"}, Text: "Año 日"})
	require.NoError(t, err)
	require.Equal(t, 3, q.Recipients)
	require.Equal(t, 2, q.Accepted)
	require.Equal(t, Duplicate, q.Rejected[0].Code)
	require.Equal(t, pdu.UCS2, q.Encoding)
	require.Equal(t, 2, q.TotalSegments)
	require.Equal(t, "日", q.OutsideGSM7[0].Char)
	q, err = b.Quote(ctx, Request{To: []string{"600111222"}, Text: strings.Repeat("x", 2000)})
	require.NoError(t, err, "a text that Submit refuses is measured, so that a page can show by how much")
	require.Equal(t, 14, q.Segments)
	_, err = b.Quote(ctx, Request{To: []string{"600111222"}, Text: " "})
	require.Error(t, err)
	depth, err := b.Depth(ctx)
	require.NoError(t, err)
	require.Zero(t, depth[Queued][Normal])
}
