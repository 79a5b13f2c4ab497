package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestMessagesAreListedInPages(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	var all []string
	for i := range 25 {
		class := Normal
		if i%2 == 0 {
			class = Bulk
		}
		m := b.submit(Request{To: []string{fmt.Sprintf("+346000000%02d", i%5)}, Text: fmt.Sprintf("aviso %d%% _%d_", i, i), Class: class, Reference: fmt.Sprint("r", i%3)})
		all = append([]string{m.ID}, all...)
		b.clock.forward(time.Second)
	}
	start := b.clock.Now().Add(-25 * time.Second)
	list := func(f Filter) (ids []string) {
		t.Helper()
		for {
			page, next, err := b.Messages(ctx, f)
			require.NoError(t, err)
			for _, m := range page {
				require.Len(t, m.Segments, 1)
				ids = append(ids, m.ID)
			}
			if next == "" {
				return ids
			}
			require.Len(t, page, f.Limit)
			f.Cursor = next
		}
	}
	require.Equal(t, all, list(Filter{Limit: 4}))
	require.Equal(t, all, list(Filter{Limit: 25}))
	for range 5 {
		b.sent(line(1), 1) // the lower lane waits: normal ones
	}
	require.Equal(t, all, list(Filter{Limit: 3, States: []State{Queued, Sent, Failed}}))
	require.Len(t, list(Filter{Limit: 3, States: []State{Sent}}), 5)
	require.Len(t, list(Filter{Limit: 3, States: []State{Sent}, Class: Bulk}), 0)
	require.Len(t, list(Filter{Limit: 3, States: []State{Queued}, Class: Normal}), 7)
	require.Len(t, list(Filter{Limit: 9, To: "+34600000003"}), 5)
	require.Len(t, list(Filter{Limit: 9, Reference: "r1"}), 8)
	require.Len(t, list(Filter{Limit: 9, SIM: line(1).ICCID}), 5)
	require.Equal(t, all[:10], list(Filter{Limit: 9, Since: start.Add(15 * time.Second)}))
	require.Equal(t, all[20:], list(Filter{Limit: 9, Until: start.Add(5 * time.Second)}))
	require.Len(t, list(Filter{Limit: 9, Search: "7%"}), 2, "the wildcards of LIKE are letters")
	require.Len(t, list(Filter{Limit: 9, Search: "_7_"}), 1)
	require.Len(t, list(Filter{Limit: 9, Search: "000003"}), 5)
	_, _, err := b.Messages(ctx, Filter{Cursor: "1; DROP TABLE message"})
	require.Error(t, err)
	_, err = b.Message(ctx, "nobody")
	require.ErrorIs(t, err, ErrNotFound)
}

func TestEventsCarryTheMessageWithoutItsText(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	hint, stop := b.Watch()
	m := b.submit(Request{Text: "secreto", Reference: "r"})
	b.sent(line(1), 3)
	<-hint
	list, err := b.Events(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.NotContains(t, string(list[0].Data), "secreto")
	var data map[string]any
	require.NoError(t, json.Unmarshal(list[0].Data, &data))
	require.Equal(t, m.ID, data["id"])
	require.Equal(t, "sent", data["state"])
	require.Equal(t, float64(3), data["segments"].([]any)[0].(map[string]any)["mr"])
	require.Nil(t, data["delivered_at"])
	require.Nil(t, data["error"])
	stop()
	require.NoError(t, b.Emit(ctx, "modem.state", map[string]string{"id": "m1"}))
	list, err = b.Events(ctx, list[0].Seq, 10)
	require.NoError(t, err)
	require.Equal(t, "modem.state", list[0].Type)
	select {
	case <-hint:
		// A hint from before stop may be left; there is none after it.
	default:
	}
	require.NoError(t, b.Emit(ctx, "modem.state", nil))
	require.Empty(t, hint)
}

func TestSIMsKeepWhatAPersonEntered(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	require.NoError(t, b.SawSIM(ctx, SIMRow{ICCID: l.ICCID, IMSI: l.IMSI, OwnNumber: "+34600000001", Operator: "Uno", Emulated: true}))
	require.NoError(t, b.SawSIM(ctx, SIMRow{ICCID: line(2).ICCID}))
	require.Error(t, b.SawSIM(ctx, SIMRow{}))
	require.NoError(t, b.UpdateSIM(ctx, l.ICCID, SIMPatch{Name: new("Recepción"), Number: new("+34600000009"), Enabled: new(false)}))
	require.ErrorIs(t, b.UpdateSIM(ctx, line(2).ICCID, SIMPatch{Name: new("Recepción")}), ErrSIMName)
	morning := SendWindow{From: 8 * 60, To: 14*60 + 30, Days: 0b11111}
	require.NoError(t, b.UpdateSIM(ctx, l.ICCID, SIMPatch{Pace: new(5), Window: &morning, Paused: new(true)}))
	for _, bad := range []SIMPatch{
		{Pace: new(-2)}, {Pace: new(601)}, {Window: &SendWindow{From: 24 * 60, Days: AllDays}},
		{Window: &SendWindow{To: -1, Days: AllDays}}, {Window: &SendWindow{To: 60}}, {Window: &SendWindow{To: 60, Days: AllDays + 1}},
	} {
		var invalid *Invalid
		require.ErrorAs(t, b.UpdateSIM(ctx, l.ICCID, bad), &invalid)
	}
	require.ErrorIs(t, b.UpdateSIM(ctx, "nobody", SIMPatch{}), ErrNoSIM)
	b.clock.forward(time.Minute)
	require.NoError(t, b.SawSIM(ctx, SIMRow{ICCID: l.ICCID, Operator: "Dos", Emulated: true}))
	b.submit(Request{})
	b.sent(l, 8)
	b.restart()
	list, err := b.SIMs(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	now := b.clock.Now()
	require.Equal(t, SIMRow{ICCID: l.ICCID, IMSI: l.IMSI, Name: "Recepción", Number: "+34600000009", OwnNumber: "+34600000001", Operator: "Dos",
		Emulated: true, FirstSeen: now.Add(-time.Minute), LastSeen: now, SentTotal: 1, SentDay: 1, LastSentAt: now,
		Pace: 5, Window: morning, Paused: true}, list[0])
	require.True(t, list[1].Enabled)
	require.True(t, list[1].Window.None())
	require.False(t, list[1].Paused)
}

func TestSettings(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	v, err := b.Setting(ctx, "paused")
	require.NoError(t, err)
	require.Empty(t, v)
	for _, want := range []string{"1", "0"} {
		require.NoError(t, b.SetSetting(ctx, "paused", want))
		b.restart()
		v, err = b.Setting(ctx, "paused")
		require.NoError(t, err)
		require.Equal(t, want, v)
	}
}

func TestTheDayBeginsAnew(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: OTP})
	_, a := b.gated(line(1))
	b.outcome(a, lost())
	st, err := b.Stats(context.Background())
	require.NoError(t, err)
	require.Equal(t, 1, st.Today[Uncertain])
	require.Equal(t, 1, st.Uncertain)
	b.clock.forward(24 * time.Hour)
	st, err = b.Stats(context.Background())
	require.NoError(t, err)
	require.Equal(t, 0, st.Today[Uncertain])
	require.Equal(t, 1, st.Uncertain, "now")
	_, err = b.Resolve(context.Background(), m.ID, ResolveFailed, "eva")
	require.NoError(t, err)
	st, err = b.Stats(context.Background())
	require.NoError(t, err)
	require.Zero(t, st.Uncertain)
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	b := newBox(t)
	reg := prometheus.NewPedanticRegistry()
	s, err := New(context.Background(), b.db, Options{Clock: b.clock, Registerer: reg})
	require.NoError(t, err)
	_, err = s.Submit(context.Background(), Request{To: []string{"+34600111222"}, Text: "a"}, nil)
	require.NoError(t, err)
	got, err := reg.Gather()
	require.NoError(t, err)
	accepted := -1.0
	for _, family := range got {
		if family.GetName() == "recado_messages_accepted_total" {
			accepted = family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	require.Equal(t, 1.0, accepted)
	_, err = New(context.Background(), b.db, Options{Clock: b.clock, Registerer: reg})
	require.Error(t, err)
}
