package proof

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// good is an outcome that keeps every promise: a one-time password, an alert whose
// first answer was lost, a long message, and an answer that came in.
func good() outcome {
	return outcome{
		Drained: true,
		Requests: []request{
			{Key: "a", To: "+34610000001", Text: "uno", Class: "otp", Answers: []answer{{Status: 202, ID: "m1"}, {Status: 422, Changed: true}}},
			{Key: "b", To: "+34610000002", Text: "dos", Class: "alert", Answers: []answer{{}, {Status: 202, ID: "m2"}}},
			{Key: "c", To: "+34610000003", Text: "largo", Class: "bulk", Answers: []answer{{Status: 202, ID: "m3"}}},
		},
		API: map[string]string{"m1": "delivered", "m2": "sent", "m3": "sent"},
		Messages: []message{
			{ID: "m1", To: "+34610000001", Text: "uno", Class: "otp", State: "delivered", Segments: 1},
			{ID: "m2", To: "+34610000002", Text: "dos", Class: "alert", State: "sent", Segments: 1, PossibleDuplicate: true},
			{ID: "m3", To: "+34610000003", Text: "largo", Class: "bulk", State: "sent", Segments: 2},
		},
		Attempts: []attempt{
			{ID: 1, Message: "m1", N: 1, SIM: "A", Phase: "done", Outcome: "accepted", MR: 5},
			{ID: 2, Message: "m2", N: 1, SIM: "A", Phase: "done", Outcome: "ambiguous", MR: -1},
			{ID: 3, Message: "m2", N: 1, SIM: "B", Phase: "done", Outcome: "accepted", MR: 9},
			{ID: 4, Message: "m3", N: 1, SIM: "B", Phase: "done", Outcome: "accepted", MR: 10},
			{ID: 5, Message: "m3", N: 2, SIM: "B", Phase: "done", Outcome: "accepted", MR: 11},
		},
		Retries: map[string]int{"m2": 1},
		Ledger: []emulator.Entry{
			{Seq: 1, Type: emulator.EntrySubmit, Accepted: true, DA: "+34610000001", Text: "uno", SIM: "A", MR: 5},
			{Seq: 2, Type: emulator.EntrySubmit, Accepted: true, DA: "+34610000002", Text: "dos", SIM: "A", MR: 6},
			{Seq: 3, Type: emulator.EntrySubmit, Accepted: true, DA: "+34610000002", Text: "dos", SIM: "B", MR: 9},
			{Seq: 4, Type: emulator.EntrySubmit, Accepted: true, DA: "+34610000003", Text: "lar", UDH: "050003C10201", SIM: "B", MR: 10},
			{Seq: 5, Type: emulator.EntrySubmit, Accepted: true, DA: "+34610000003", Text: "go", UDH: "050003C10202", SIM: "B", MR: 11},
			{Seq: 6, Type: emulator.EntryReport, Ref: 1, ST: 0},
			{Seq: 7, Type: emulator.EntryInbound, OA: "+34610000001", Text: "Recibido: uno"},
		},
		Inbound: []inbound{{ID: "i1", From: "+34610000001", Text: "Recibido: uno"}},
		Events: []event{{Type: "inbound.received", ID: "i1"}, {Type: "message.delivered", ID: "m1"},
			{Type: "message.sent", ID: "m2"}, {Type: "message.sent", ID: "m3"}},
	}
}

// TestTheChecker: it finds nothing where nothing is, and every broken promise.
func TestTheChecker(t *testing.T) {
	require.Empty(t, check(good()))
	for name, c := range map[string]struct {
		promise string
		spoil   func(o *outcome)
	}{
		"lost":            {acknowledgedExists, func(o *outcome) { o.Messages = o.Messages[1:] }},
		"not in the API":  {acknowledgedExists, func(o *outcome) { o.API["m2"] = "" }},
		"another text":    {acknowledgedExists, func(o *outcome) { o.Messages[0].Text = "otro" }},
		"refused":         {acknowledgedExists, func(o *outcome) { o.Requests[0].Answers[0].Status = http.StatusInternalServerError }},
		"two of a key":    {oneMessageAKey, func(o *outcome) { m := o.Messages[0]; m.ID = "m9"; o.Messages = append(o.Messages, m) }},
		"two ids":         {oneMessageAKey, func(o *outcome) { o.Requests[1].Answers = append(o.Requests[1].Answers, answer{Status: 202, ID: "m1"}) }},
		"changed":         {changedRefused, func(o *outcome) { o.Requests[0].Answers[1].Status = 202 }},
		"changed, 200":    {changedRefused, func(o *outcome) { o.Requests[0].Answers[1].Status = 200 }},
		"not asked for":   {askedFor, func(o *outcome) { o.Ledger[0].DA = "+34699999999" }},
		"no attempt":      {attemptFirst, func(o *outcome) { o.Attempts = o.Attempts[1:] }},
		"other SIM":       {attemptFirst, func(o *outcome) { o.Ledger[0].SIM = "B" }},
		"otp twice":       {atMostOnce, func(o *outcome) { o.Ledger = append(o.Ledger, o.Ledger[0]) }},
		"bulk part twice": {atMostOnce, func(o *outcome) { o.Ledger = append(o.Ledger, o.Ledger[4]) }},
		"still queued":    {atLeastOnce, func(o *outcome) { o.Messages[1].State = "queued" }},
		"never left":      {acceptedIsThere, func(o *outcome) { o.Ledger = o.Ledger[3:]; o.Attempts[2].Outcome = "ambiguous" }},
		"no such":         {acceptedIsThere, func(o *outcome) { o.Ledger = o.Ledger[1:] }},
		"misattributed":   {rightReference, func(o *outcome) { o.Attempts[0].MR = 6 }},
		"not flagged":     {duplicatesFlagged, func(o *outcome) { o.Messages[1].PossibleDuplicate = false }},
		"once too often":  {duplicatesFlagged, func(o *outcome) { o.Retries["m2"] = 0 }},
		"invisible": {ambiguousVisible, func(o *outcome) {
			o.Messages[1].PossibleDuplicate = false
			o.Ledger = append(o.Ledger[:1], o.Ledger[2:]...)
		}},
		"mixed references": {longWhole, func(o *outcome) { o.Ledger[4].UDH = "050003C20202" }},
		"inbound lost":     {inboundOnce, func(o *outcome) { o.Inbound = nil }},
		"inbound twice":    {inboundOnce, func(o *outcome) { o.Inbound = append(o.Inbound, inbound{ID: "i2", Text: "Recibido: uno"}) }},
		"event twice":      {inboundOnce, func(o *outcome) { o.Events = append(o.Events, o.Events[0]) }},
		"inbound invented": {inboundOnce, func(o *outcome) { o.Ledger = o.Ledger[:6] }},
		"not delivered":    {reportsRight, func(o *outcome) { o.Ledger[5].ST = 0x43 }},
		"not told":         {eventsTold, func(o *outcome) { o.Events = o.Events[:3] }},
		"held":             {nothingHeld, func(o *outcome) { o.Messages[1].State = "held" }},
		"open":             {nothingOpen, func(o *outcome) { o.Attempts[1].Phase = "prepared" }},
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			c.spoil(&o)
			var promises []string
			for _, v := range check(o) {
				promises = append(promises, v.Promise)
			}
			require.Contains(t, promises, c.promise)
		})
	}
}
